#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
using testing::on_machine;

namespace {
net::http_response describe(net::http_request const& request) {
    if (request.target == "/throw") throw std::runtime_error("handler");
    if (request.target == "/inject") return {.status = 200, .body = "x", .fields = {{"X-Name", "a\r\nX-Evil: 1"}}};
    if (request.target == "/same") return {.status = 304, .body = "x", .fields = {{"ETag", "\"1\""}}};
    return {.body = std::string{request.method} + " " + std::string{request.target} + " " +
                    std::string{request.field("x-TEST")} + " " + std::string{request.body} + "\n"};
}

/// Runs `body` with the address of a server.
void with_server(net::http_server_limits limits,
                 std::function<net::task<void>(net::environment&, endpoint, net::http_server&)> body) {
    on_machine([&](net::environment& env) -> net::task<void> {
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        auto const at = listener->local();
        net::http_server server{env, describe, limits};
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            auto const serve = [&]() -> net::task<void> { co_await server.serve(std::move(listener)); };
            group.spawn("server", serve());
            co_await body(env, at, server);
            group.cancel();  // `serve` goes before the scope does
            co_await group.join();
        });
        CHECK(server.connection_count() == 0);
    });
}

net::task<std::string> read_to_end(net::stream& from) {
    std::string all;
    std::array<std::byte, 4096> place{};
    for (;;) {
        auto const got = co_await from.read_some(place);
        if (!got) co_return all;
        all += as_text(byte_view{place}.first(got.value()));
    }
}
/// Sends `text` in pieces of `step` bytes, and returns all that comes until the server closes.
net::task<std::string> exchange(net::environment& env, endpoint at, std::string text, std::size_t step = 1 << 20) {
    auto client = (co_await env.network.connect(at, std::nullopt)).value();
    for (std::size_t i = 0; i < text.size(); i += step) {
        (void)co_await client->write_all(as_bytes(std::string_view{text}.substr(i, step)));
        if (step < 1000) co_await asio::post(asio::use_awaitable);
    }
    co_return co_await read_to_end(*client);
}
std::string get(std::string_view target, std::string_view more = "") {
    return "GET " + std::string{target} + " HTTP/1.1\r\nHost: x\r\n" + std::string{more} + "\r\n";
}
std::string const last = "Connection: close\r\n";
std::size_t count_of(std::string_view text, std::string_view part) {
    std::size_t count = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
    return count;
}
bool starts(std::string_view text, std::string_view with) {
    return text.substr(0, with.size()) == with;
}
/// Somebody connects to it at the moment at which it is stopped.
class late_listener final : public net::listener {
public:
    explicit late_listener(std::unique_ptr<net::listener> below) : below_(std::move(below)) {}
    net::task<result<std::unique_ptr<net::stream>>> accept() override {
        auto const throws = co_await asio::this_coro::throw_if_cancelled();
        co_await asio::this_coro::throw_if_cancelled(false);
        net::signal never{co_await asio::this_coro::executor};
        co_await never.park();
        auto accepted = co_await below_->accept();
        co_await asio::this_coro::throw_if_cancelled(throws);
        co_return accepted;
    }
    endpoint local() const override { return below_->local(); }
    void close() override { below_->close(); }

private:
    std::unique_ptr<net::listener> below_;
};
}  // namespace

TEST_CASE("a request gets its response, its target as it was sent", "[net]") {
    with_server({}, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        auto const reply =
            co_await exchange(env, at, get("/announce?info_hash=%00%ff&x=a+b", "X-Test:  v \r\n" + last));
        CHECK(starts(reply, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "));
        CHECK(reply.find("\r\n\r\nGET /announce?info_hash=%00%ff&x=a+b v \n") != reply.npos);
        CHECK(reply.find("Connection: close\r\n") != reply.npos);
    });
}

TEST_CASE("pipelined requests are answered in order on one connection, however they are cut", "[net]") {
    with_server({}, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        std::string all;
        for (int i = 0; i < 20; ++i) all += get("/" + std::to_string(i));
        all += "POST /20 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
        all += "POST /21 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        all += get("/22", last);
        std::size_t const step = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{1} << 20);
        auto const reply = co_await exchange(env, at, all, step);
        CHECK(count_of(reply, "HTTP/1.1 200 OK\r\n") == 23);
        std::size_t from = 0;
        for (int i = 0; i < 23; ++i) {
            from = reply.find(" /" + std::to_string(i) + " ", from);
            REQUIRE(from != reply.npos);
        }
        CHECK(reply.find("POST /20  hello\n") != reply.npos);
        CHECK(reply.find("POST /21  abcde\n") != reply.npos);
    });
}

TEST_CASE("HTTP/1.0 is closed after its response unless it asks to be kept", "[net]") {
    with_server({}, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        auto const once = co_await exchange(env, at, "GET /a HTTP/1.0\r\n\r\n");
        CHECK(starts(once, "HTTP/1.1 200 OK\r\n"));
        std::string const kept = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        auto const twice = co_await exchange(env, at, kept + "GET /b HTTP/1.0\r\n\r\n");
        CHECK(count_of(twice, "HTTP/1.1 200 OK\r\n") == 2);
        CHECK(count_of(twice, "Connection: keep-alive\r\n") == 1);
    });
}

TEST_CASE("HEAD gets the length but no body", "[net]") {
    with_server({}, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        auto const reply = co_await exchange(env, at, "HEAD /a HTTP/1.1\r\nHost: x\r\n" + last + "\r\n");
        CHECK(reply.find("Content-Length: 10\r\n") != reply.npos);
        CHECK(reply.substr(reply.size() - 4) == "\r\n\r\n");
    });
}

TEST_CASE("what is not modified has neither length nor body", "[net]") {
    with_server({}, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        auto const reply = co_await exchange(env, at, get("/same") + get("/after", last));
        CHECK(starts(reply, "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\nHTTP/1.1 200 OK\r\n"));
    });
}

TEST_CASE("a malformed request gets 400 and the connection is closed", "[net]") {
    with_server({}, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        for (std::string const& bad : std::vector<std::string>{
                 "\x13"
                 "BitTorrent protocol\r\n\r\n",
                 "GET\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTX/1.1\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n",
                 "GET / HTTP/1.1\r\nNo colon\r\n\r\n", "GET / HTTP/1.1\r\nA b: c\r\n\r\n",
                 "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\nab",
                 "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                 "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
                 "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                 "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
                 std::string("GET /\0 HTTP/1.1\r\n\r\n", 20), std::string("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24)}) {
            INFO(escaped(bad));
            auto const reply = co_await exchange(env, at, get("/good") + bad);
            CHECK(starts(reply, "HTTP/1.1 200 OK\r\n"));
            CHECK((reply.find("HTTP/1.1 400 Bad Request\r\n") != reply.npos ||
                   reply.find("HTTP/1.1 413 Content Too Large\r\n") != reply.npos));
        }
    });
}

TEST_CASE("headers and bodies are accepted up to their limit and not beyond", "[net]") {
    net::http_server_limits limits;
    limits.header_bytes = 4096;
    limits.body_bytes = 1000;
    with_server(limits, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        auto const step = GENERATE(std::size_t{100}, std::size_t{1} << 20);
        for (int const size : {4095, 4096, 4097, 10'000}) {
            auto text = get("/", last + "X-Pad: \r\n");
            text.insert(text.size() - 4, static_cast<std::size_t>(size) - text.size(), 'p');
            auto const reply = co_await exchange(env, at, text, step);
            INFO(size);
            CHECK(starts(reply, size <= 4096 ? "HTTP/1.1 200 " : "HTTP/1.1 413 "));
        }
        for (int const size : {999, 1000, 1001}) {
            auto const body = std::string(static_cast<std::size_t>(size), 'b');
            auto const whole =
                "POST / HTTP/1.1\r\n" + last + "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body;
            auto const whole_reply = co_await exchange(env, at, whole, step);
            CHECK(starts(whole_reply, size <= 1000 ? "HTTP/1.1 200 " : "HTTP/1.1 413 "));
            std::string chunked = "POST / HTTP/1.1\r\n" + last + "Transfer-Encoding: chunked\r\n\r\n";
            for (char const c : body) chunked += std::string{"1\r\n"} + c + "\r\n";
            auto const chunked_reply = co_await exchange(env, at, chunked + "0\r\n\r\n", step);
            CHECK(starts(chunked_reply, size <= 1000 ? "HTTP/1.1 200 " : "HTTP/1.1 413 "));
        }
    });
}

TEST_CASE("a handler that throws gives 500, one that quotes line breaks adds no field", "[net]") {
    with_server({}, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        auto const thrown = co_await exchange(env, at, get("/throw") + get("/after", last));
        CHECK(starts(thrown, "HTTP/1.1 500 "));
        CHECK(thrown.find("GET /after") != thrown.npos);
        auto const injected = co_await exchange(env, at, get("/inject", last));
        CHECK(starts(injected, "HTTP/1.1 200 "));
        CHECK(injected.find("X-Evil") == injected.npos);
    });
}

TEST_CASE("a slow request is cut off by a deadline for the whole of it, an idle connection later", "[net]") {
    net::http_server_limits limits;
    limits.request = 100ms;
    limits.idle = 400ms;
    with_server(limits, [](net::environment& env, endpoint at, net::http_server&) -> net::task<void> {
        auto const start = env.clock.now();
        auto dripping = (co_await env.network.connect(at, std::nullopt)).value();
        auto idle = (co_await env.network.connect(at, std::nullopt)).value();
        auto const text = get("/", "X-Pad: " + std::string(1000, 'p') + "\r\n");
        for (char const c : text) {
            if (!co_await dripping->write_all(as_bytes(std::string_view{&c, 1}))) break;
            co_await env.clock.sleep(5ms);
        }
        auto const cut = env.clock.now() - start;
        CHECK(cut >= 100ms);
        CHECK(cut < 350ms);
        CHECK((co_await read_to_end(*idle)).empty());
        auto const left = env.clock.now() - start;
        CHECK(left >= 400ms);
        CHECK(left < 800ms);
    });
}

TEST_CASE("a client that does not read its response is cut off", "[net]") {
    net::http_server_limits limits;
    limits.request = 100ms;
    with_server(limits, [](net::environment& env, endpoint at, net::http_server& server) -> net::task<void> {
        auto client = (co_await env.network.connect(at, std::nullopt)).value();
        auto const request = get("/" + std::string(4000, 'a'));
        auto const pump = [&]() -> net::task<void> {
            while (co_await client->write_all(as_bytes(request))) {}
        };
        co_await net::ends_before(env.clock, env.clock.now() + 5s, pump());
        CHECK(server.connection_count() == 0);
    });
}

TEST_CASE("connections are limited in all and per address", "[net]") {
    net::http_server_limits limits;
    limits.connections = 5;
    limits.connections_per_address = 3;
    with_server(limits, [](net::environment& env, endpoint at, net::http_server& server) -> net::task<void> {
        std::vector<std::unique_ptr<net::stream>> held;
        auto const serves = [&](char const* from) -> net::task<bool> {
            auto client = (co_await env.network.connect(at, ip_address::parse(from))).value();
            (void)co_await client->write_all(as_bytes(std::string_view{"GET / HTTP/1.1\r\n\r\n"}));
            std::array<std::byte, 100> place{};
            auto const got = co_await client->read_some(place);
            if (got) held.push_back(std::move(client));
            co_return got.has_value();
        };
        CHECK(co_await serves("127.0.0.1"));
        CHECK(co_await serves("127.0.0.1"));
        CHECK(co_await serves("127.0.0.1"));
        CHECK_FALSE(co_await serves("127.0.0.1"));
        CHECK(co_await serves("127.0.0.2"));
        CHECK(co_await serves("127.0.0.3"));
        CHECK_FALSE(co_await serves("127.0.0.4"));
        CHECK(server.connection_count() == 5);
        held.clear();
        co_await env.clock.sleep(5ms);
        CHECK(server.connection_count() == 0);
        CHECK(co_await serves("127.0.0.1"));
    });
}

TEST_CASE("an IPv6 site has as many connections as four of its customers", "[net]") {
    testing::simulation sim{3};
    // Two for each customer. Eight of ten in one site, and one who lives elsewhere.
    for (std::uint8_t n = 1; n <= 11; ++n)
        sim.place(n, ip_address::v6({0x20, 0x01, 0x0d, 0xb8, 0, static_cast<std::uint8_t>(n == 11), 0, n, 0, 0, 0, 0, 0,
                                     0, 0, 1}));
    auto& outside = sim.host(0);
    endpoint const at{sim.address_of(0), 80};
    net::http_server server{outside, describe, {.connections_per_address = 2}};
    auto const serve = [&]() -> net::task<void> { co_await server.serve(outside.network.listen(at).value()); };
    std::vector<std::unique_ptr<net::stream>> held;
    auto const ask = [&](std::size_t from) -> net::task<void> {
        auto client = (co_await sim.host(from).network.connect(at, std::nullopt)).value();
        (void)co_await client->write_all(as_bytes(std::string_view{"GET / HTTP/1.1\r\n\r\n"}));
        std::array<std::byte, 100> place{};
        if (co_await client->read_some(place)) held.push_back(std::move(client));
    };
    net::task_group servers{sim.executor()};
    servers.spawn("server", serve());
    for (std::size_t n = 1; n <= 10; ++n) sim.spawn("client", ask(n));
    sim.run_for(1s);
    CHECK(held.size() == 2 * customers_of_site_max);
    CHECK(sim.run_to_end(ask(11), 1s));
    CHECK(held.size() == 2 * customers_of_site_max + 1);
    held.clear();
    asio::post(sim.executor(), [&] { servers.cancel(); });
    REQUIRE(sim.run_until([&] { return servers.size() == 0; }, 1h));
}

TEST_CASE("a server that is stopped while somebody connects ends at once", "[net]") {
    testing::simulation sim{3};
    auto& outside = sim.host(0);
    endpoint const at{sim.address_of(0), 80};
    net::task_group servers{sim.executor()};
    auto const serve = [&]() -> net::task<void> {
        net::http_server server{outside, describe};
        co_await server.serve(std::make_unique<late_listener>(outside.network.listen(at).value()));
    };
    auto const connect = [&]() -> net::task<void> {
        auto const held = (co_await sim.host(1).network.connect(at, std::nullopt)).value();
        co_await sim.host(1).clock.sleep(1h);
    };
    servers.spawn("server", serve());
    sim.spawn("client", connect());
    sim.run_for(1s);
    REQUIRE(servers.size() == 1);
    asio::post(sim.executor(), [&] { servers.cancel(); });
    CHECK(sim.run_until([&] { return servers.size() == 0; }, 1s));
    REQUIRE(sim.run_until([&] { return servers.size() == 0; }, 1h));
}
