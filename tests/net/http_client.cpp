#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
using testing::simulation;

namespace {
using script = std::function<std::string(std::string const& request)>;

/// Answers each connection's request with what `reply` says, then closes, or goes on silently when it says so.
net::task<void> serve(net::environment& env, script reply, std::vector<std::string>& requests, bool hang,
                      std::size_t step) {
    auto listener = env.network.listen({{}, 80}).value();
    for (;;) {
        auto client = (co_await listener->accept()).value();
        std::string request;
        std::array<std::byte, 1000> place{};
        while (request.find("\r\n\r\n") == request.npos) {
            auto const got = co_await client->read_some(place);
            if (!got) break;
            request += as_text(byte_view{place}.first(got.value()));
        }
        requests.push_back(request);
        auto const text = reply(request);
        for (std::size_t i = 0; i < text.size(); i += step) {
            if (!co_await client->write_all(as_bytes(std::string_view{text}.substr(i, step)))) break;
            if (step < 100) co_await env.clock.sleep(1ms);
        }
        if (hang) co_await env.clock.sleep(1h);
    }
}

struct outcome {
    result<net::http_reply> reply = net::errc::closed;
    std::vector<std::string> requests;
    duration took{};
};
struct setting {
    net::http_limits limits = {};
    bool hang = false;
    std::size_t step = std::size_t{1} << 20;
};

/// Fetches `url` on host 1 from a scripted server, which is host 0 and has the name `tracker.example`.
outcome fetch(std::string url, script reply, setting with = {}) {
    outcome out;
    simulation sim{7};
    sim.name("tracker.example", sim.address_of(0));
    sim.name("two.example", *ip_address::parse("192.0.2.1"));
    sim.name("two.example", sim.address_of(0));
    bool done = false;
    auto const body = [&]() -> net::task<void> {
        auto const start = sim.now();
        out.reply = co_await net::http_get(sim.host(1), url, with.limits);
        out.took = sim.now() - start;
        done = true;
    };
    sim.spawn("server", serve(sim.host(0), std::move(reply), out.requests, with.hang, with.step));
    sim.spawn("client", body());
    CHECK(sim.run_until([&] { return done; }, 1h));
    return out;
}
script always(std::string text) {
    return [text = std::move(text)](std::string const&) { return text; };
}
std::string ok(std::string body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
}  // namespace

TEST_CASE("a reply is read whole, however its body is delimited and cut", "[net]") {
    auto const step = GENERATE(std::size_t{1}, std::size_t{1} << 20);
    for (std::string const& text : std::vector<std::string>{
             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", "HTTP/1.0 200 OK\r\nx-a:  b\r\n\r\nhello",
             "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: "
             "t\r\n\r\n",
             "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello",
             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello and more"}) {
        INFO(text);
        auto const out = fetch("http://tracker.example/announce?a=%01&b", always(text), {.step = step});
        REQUIRE(out.reply.has_value());
        CHECK(out.reply.value().status == 200);
        CHECK(out.reply.value().body == "hello");
        CHECK(out.reply.value().field("x-A") == "b");
        CHECK(out.reply.value().remote.to_string() == "10.0.0.1:80");
    }
}

TEST_CASE("the request names the host, keeps the encoding and offers no compression", "[net]") {
    net::http_limits limits;
    limits.user_agent = "test/1";
    auto const out =
        fetch("http://tracker.example:80/a%20b?info_hash=%ff%00#part", always(ok("x")), {.limits = limits});
    REQUIRE(out.requests.size() == 1);
    CHECK(out.requests[0] ==
          "GET /a%20b?info_hash=%ff%00 HTTP/1.1\r\nHost: tracker.example\r\nUser-Agent: test/1\r\n"
          "Accept: */*\r\nConnection: close\r\n\r\n");
    auto const bare = fetch("http://10.0.0.1", always(ok("x")));
    CHECK(bare.requests.at(0).substr(0, 36) == "GET / HTTP/1.1\r\nHost: 10.0.0.1\r\nAcce");
}

TEST_CASE("a status that is no success is a reply", "[net]") {
    auto const out = fetch("http://tracker.example/", always("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
    REQUIRE(out.reply.has_value());
    CHECK(out.reply.value().status == 404);
}

TEST_CASE("what is not HTTP is refused", "[net]") {
    for (std::string const& text : std::vector<std::string>{
             "HTTP", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
             "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
             "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
             "d8:intervali1800e5:peers0:e", std::string(100, '\0'), "ICY 200 OK\r\n\r\n", "\r\n\r\n\r\n"}) {
        INFO(escaped(text));
        auto const out = fetch("http://tracker.example/", always(text));
        REQUIRE_FALSE(out.reply.has_value());
        CHECK(is(out.reply.error(), condition::peer_fault));
    }
    auto const nothing = fetch("http://tracker.example/", always(""));
    CHECK((!nothing.reply && nothing.reply.error() == net::errc::closed));
    std::string endless;
    for (int i = 0; i < 10; ++i) endless += "HTTP/1.1 100 Continue\r\n\r\n";
    auto const out = fetch("http://tracker.example/", always(endless + ok("x")));
    CHECK((!out.reply && out.reply.error() == net::errc::http_malformed));
}

TEST_CASE("lines, headers and bodies of a reply are accepted up to their limit", "[net]") {
    auto const step = GENERATE(std::size_t{1000}, std::size_t{1} << 20);
    auto const check = [&](std::string const& text, bool good) {
        auto const out = fetch("http://tracker.example/", always(text), {.step = step});
        CHECK(out.reply.has_value() == good);
        if (!good && !out.reply) CHECK(out.reply.error() == net::errc::http_too_large);
    };
    net::http_limits const limits;
    for (auto const size : {limits.line_bytes - 1, limits.line_bytes, limits.line_bytes + 1}) {
        bool const good = size <= limits.line_bytes;
        check("HTTP/1.1 200 OK\r\nA:" + std::string(size - 1, 'v') + "\r\nContent-Length: 1\r\n\r\nx", good);
        check("HTTP/1.1 204 OK\r\nA:" + std::string(size - 1, 'v') + "\r\n\r\n", good);
    }
    for (auto const size : {limits.header_bytes - 1, limits.header_bytes, limits.header_bytes + 1}) {
        std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n";
        while (text.size() + 8000 < size) text += "A: " + std::string(1000, 'v') + "\r\n";
        text += "B: " + std::string(size - text.size() - 7, 'v') + "\r\n\r\n";
        check(text + "x", size <= limits.header_bytes);
    }
    for (auto const size : {limits.body_bytes - 1, limits.body_bytes, limits.body_bytes + 1}) {
        bool const good = size <= limits.body_bytes;
        std::string const body(size, 'b');
        check(ok(body), good);
        check("HTTP/1.1 200 OK\r\n\r\n" + body, good);
    }
    check("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", false);
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(40'000, 'e') + "\r\nx\r\n", false);
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: " + std::string(40'000, 'e') + "\r\n\r\n",
          false);
    check("HTTP/1.1 200 " + std::string(40'000, 'r') + "\r\n\r\n", false);
}

TEST_CASE("redirects are followed, up to five", "[net]") {
    auto const to = [](std::string const& where) {
        return "HTTP/1.1 302 Found\r\nLocation: " + where + "\r\nContent-Length: 0\r\n\r\n";
    };
    auto const out = fetch("http://tracker.example/a/b?q", [&](std::string const& request) {
        if (request.find("GET /a/b?q ") == 0) return to("c#frag");
        if (request.find("GET /a/c ") == 0) return to("//10.0.0.1/d?e=%2f");
        if (request.find("GET /d?e=%2f ") == 0) return to("http://two.example/f");
        return ok(request.substr(0, 6));
    });
    REQUIRE(out.reply.has_value());
    CHECK(out.reply.value().body == "GET /f");
    CHECK(out.reply.value().url == "http://two.example/f");

    for (int const hops : {4, 5, 6}) {
        auto const counted = fetch("http://tracker.example/0", [&](std::string const& request) {
            auto const n = std::stoi(request.substr(5));
            return n == hops ? ok("end") : to("/" + std::to_string(n + 1));
        });
        CHECK(counted.reply.has_value() == (hops <= 5));
        if (!counted.reply) CHECK(counted.reply.error() == net::errc::http_redirects);
    }
    for (std::string const& bad : std::vector<std::string>{
             "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", to(""), to("http://"), to("ftp://tracker.example/"),
             to("file:///etc/passwd"), to("http://user:pw@tracker.example/"), to("http://tracker.example:0/"),
             to("http://[::1/"), to("http://a b/"), to("/%zz")}) {
        INFO(bad);
        auto const refused = fetch("http://tracker.example/", always(bad));
        CHECK_FALSE(refused.reply.has_value());
        CHECK(refused.requests.size() == 1);
    }
}

TEST_CASE("a host with a letter that is not ASCII is refused, however it is written", "[net]") {
    // Class J4: the first has a Cyrillic letter and looks the same. Its form in ASCII cannot be mistaken.
    for (std::string const& host : std::vector<std::string>{"tr\xd0\xb0"
                                                            "cker.example",
                                                            "tr%D0%B0cker.example",
                                                            "tracker\xe3\x80\x82"
                                                            "example",
                                                            "\xef\xbd\x94racker.example"}) {
        INFO(host);
        auto const out = fetch("http://" + host + "/", always(ok("x")));
        CHECK((!out.reply && out.reply.error() == net::errc::bad_url));
        auto const moved = fetch("http://tracker.example/", always("HTTP/1.1 302 Found\r\nLocation: http://" + host +
                                                                   "/\r\nContent-Length: 0\r\n\r\n"));
        CHECK_FALSE(moved.reply);
        CHECK(moved.requests.size() == 1);
    }
}

TEST_CASE("the caller's rule sees each address before it is connected to, also after a redirect", "[net]") {
    net::http_limits limits;
    std::vector<std::string> asked;
    limits.may_connect = [&](ip_address const& address, std::string_view url) {
        asked.push_back(address.to_string() + " " + std::string{url});
        return url.find("/secret") == url.npos && address != *ip_address::parse("192.0.2.1");
    };
    auto const moved = always("HTTP/1.1 301 M\r\nLocation: http://10.0.0.1/secret\r\nContent-Length: 0\r\n\r\n");
    auto const out = fetch("http://two.example/", moved, {.limits = limits});
    CHECK((!out.reply && out.reply.error() == net::errc::refused_address));
    CHECK(out.requests.size() == 1);
    CHECK(asked == std::vector<std::string>{"192.0.2.1 http://two.example/", "10.0.0.1 http://two.example/",
                                            "10.0.0.1 http://10.0.0.1/secret"});
}

TEST_CASE("what begins outside does not lead into the local network, and what begins there may go on", "[net]") {
    auto const at = [](char const* text) { return *ip_address::parse(text); };
    auto outside = net::no_way_in("http://a.example/");
    CHECK(outside(at("198.51.100.1"), "http://a.example/"));
    CHECK(outside(at("203.0.113.1"), "http://b.example/"));
    for (auto const* local : {"127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "::ffff:127.0.0.1",
                              "fd00::1", "fe80::1", "0.0.0.0", "::"}) {
        INFO(local);
        CHECK_FALSE(outside(at(local), "http://b.example/"));
        auto inside = net::no_way_in("http://a.example/");
        CHECK(inside(at(local), "http://a.example/"));
        CHECK(inside(at("10.9.9.9"), "http://c.example/"));
        CHECK(inside(at("198.51.100.1"),
                     "http://a.example/"));  // a name with addresses of both kinds: the last one tried
        CHECK_FALSE(inside(at(local), "http://b.example/"));
    }
}

TEST_CASE("all of it together has one deadline", "[net]") {
    net::http_limits limits;
    limits.total = 3s;
    auto const silent = fetch("http://tracker.example/", always(""), {.limits = limits, .hang = true});
    CHECK((!silent.reply && silent.reply.error() == net::errc::timed_out));
    CHECK(silent.took == 3s);
    auto const slow =
        fetch("http://tracker.example/", always(ok(std::string(10'000, 'x'))), {.limits = limits, .step = 1});
    CHECK((!slow.reply && slow.reply.error() == net::errc::timed_out));
    CHECK(slow.took == 3s);
}

TEST_CASE("the next address is tried when one does not answer", "[net]") {
    auto const out = fetch("http://two.example/", always(ok("x")));
    CHECK(out.reply.has_value());
}

TEST_CASE("a URL that we cannot use is refused before anything is sent", "[net]") {
    for (std::string const& url : std::vector<std::string>{
             "", "tracker.example", "udp://tracker.example/", "http:///path", "http://", "http:path", "/path",
             "http://tracker.example:0/", "http://tracker.example:65536/", "http://tracker.example:x/",
             "http://tracker.example:80x0?x", "http://a%0d%0ab/", "http://tracker.example/a b",
             "http://tracker.example/\r\nX: y", "http://u@tracker.example/", "http://tracker.example/?q=%zz",
             "http://[::1/", "http://tracker.example/" + std::string(9000, 'a')}) {
        INFO(url);
        auto const out = fetch(url, always(ok("x")));
        CHECK((!out.reply && out.reply.error() == net::errc::bad_url));
        CHECK(out.requests.empty());
    }
    auto const unknown = fetch("http://other.example/", always(ok("x")));
    CHECK((!unknown.reply && unknown.reply.error() == net::errc::host_unknown));
    auto const refused = fetch("http://tracker.example:81/", always(ok("x")));
    CHECK((!refused.reply && refused.reply.error() == std::errc::connection_refused));
}

TEST_CASE("our client and our server understand each other, over IPv6 too", "[net]") {
    testing::on_machine([](net::environment& env) -> net::task<void> {
        for (auto const* address : {"127.0.0.1", "::1"}) {
            auto listener = env.network.listen({*ip_address::parse(address), 0});
            if (!listener) continue;
            auto const at = listener.value()->local();
            net::http_server server{env, [](net::http_request const& request) -> net::http_response {
                                        return {.body = std::string(300'000, 'x') + std::string{request.field("host")}};
                                    }};
            co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
                auto const serve_it = [&]() -> net::task<void> { co_await server.serve(std::move(listener).value()); };
                group.spawn("server", serve_it());
                auto const reply = co_await net::http_get(env, "http://" + at.to_string() + "/x");
                REQUIRE(reply.has_value());
                CHECK(reply.value().body == std::string(300'000, 'x') + at.to_string());
                group.cancel();
                co_await group.join();
            });
        }
    });
}
