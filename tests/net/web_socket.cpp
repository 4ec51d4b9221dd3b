#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
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
using holder = std::function<net::task<void>(net::web_socket&)>;

/// A server on host 0 that hands every web socket to `hold`, and `client` on host 1, until it has ended.
void with_server(simulation& sim, holder hold, std::function<net::task<void>(net::environment&)> client,
                 net::http_server_limits limits = {}) {
    auto& env = sim.host(0);
    net::http_server server{env,
                            [&](net::http_request const&) {
                                return net::http_response{
                                    .fields = {{"Sec-WebSocket-Protocol", "test"}, {"X-Name", "a\r\nX-Evil: 1"}},
                                    .upgrade = hold};
                            },
                            limits};
    bool done = false;
    net::signal stop{sim.executor()};
    auto const serve = [&]() -> net::task<void> {
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            auto const run = [](net::http_server& s, net::environment& e) -> net::task<void> {
                co_await s.serve(e.network.listen({{}, 80}).value());
            };
            group.spawn("server", run(server, env));
            co_await stop.wait();
        });
        done = true;
    };
    auto const run = [&]() -> net::task<void> {
        co_await client(sim.host(1));
        stop.notify();
    };
    sim.spawn("server", serve());
    sim.spawn("client", run());
    REQUIRE(sim.run_until([&] { return done; }, 24h));
    CHECK(server.connection_count() == 0);
}
void with_server(holder hold, std::function<net::task<void>(net::environment&)> client,
                 net::http_server_limits limits = {}) {
    simulation sim{7};
    with_server(sim, std::move(hold), std::move(client), limits);
}

net::task<void> echo(net::web_socket& socket) {
    for (;;) {
        auto message = co_await socket.receive();
        if (!message || !message.value()) co_return;
        auto const& got = *message.value();
        auto const sent = got.is_text ? co_await socket.send_text(as_text(got.bytes)) : co_await socket.send(got.bytes);
        if (!sent) co_return;
    }
}
byte_vector pattern(std::size_t size) {
    byte_vector bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 13 + i / 509);
    return bytes;
}
std::string const url = "ws://10.0.0.1/session";
net::task<std::unique_ptr<net::web_socket>> open(net::environment& env, net::web_socket_limits limits = {}) {
    auto opened = co_await net::web_socket_connect(env, url, limits);
    REQUIRE(opened.has_value());
    co_return std::move(opened).value();
}

// By hand.
std::string const handshake =
    "GET /session HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
std::string frame(unsigned first, std::string_view payload, bool masked = true) {
    std::string out(1, static_cast<char>(first));
    unsigned const bit = masked ? 0x80 : 0;
    if (payload.size() < 126) {
        out += static_cast<char>(bit | payload.size());
    } else {
        out += static_cast<char>(bit | 126);
        out += static_cast<char>(payload.size() >> 8);
        out += static_cast<char>(payload.size());
    }
    if (masked) out += "\1\2\3\4";
    for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ (masked ? i % 4 + 1 : 0));
    return out;
}
std::string const farewell = frame(0x88, "\x03\xe8");
net::task<std::string> read_to_end(net::stream& from) {
    std::string all;
    std::array<std::byte, 4096> place{};
    for (;;) {
        auto const got = co_await from.read_some(place);
        if (!got) co_return all;
        all += as_text(byte_view{place}.first(got.value()));
    }
}
net::task<std::string> exchange(net::environment& env, std::string text) {
    auto client = (co_await env.network.connect({*ip_address::parse("10.0.0.1"), 80}, std::nullopt)).value();
    (void)co_await client->write_all(as_bytes(text));
    co_return co_await read_to_end(*client);
}
std::string behind_header(std::string const& reply) {
    auto const at = reply.find("\r\n\r\n");
    return at == reply.npos ? "no header" : reply.substr(at + 4);
}
}  // namespace

TEST_CASE("web sockets carry messages of every length and both kinds", "[net]") {
    simulation sim{GENERATE(1u, 2u)};
    sim.set_faults({.short_transfers = GENERATE(false, true)});
    with_server(sim, echo, [](net::environment& env) -> net::task<void> {
        auto const socket = co_await open(env);
        CHECK(socket->remote().to_string() == "10.0.0.1:80");
        for (std::size_t const size : {0u, 1u, 125u, 126u, 127u, 4096u, 65'535u, 65'536u, 300'000u}) {
            auto const sent = pattern(size);
            CHECK(co_await socket->send(sent));
            auto const got = co_await socket->receive();
            REQUIRE((got && got.value()));
            CHECK(got.value()->bytes == sent);
            CHECK_FALSE(got.value()->is_text);
        }
        CHECK(co_await socket->send_text("gr\xc3\xbc\xc3\x9f"));
        auto const got = co_await socket->receive();
        REQUIRE((got && got.value()));
        CHECK(got.value()->is_text);
        CHECK(as_text(got.value()->bytes) == "gr\xc3\xbc\xc3\x9f");
        co_await socket->close();
        auto const after = co_await socket->receive();
        CHECK((after && !after.value()));
        CHECK_FALSE(co_await socket->send(pattern(1)));
    });
}

TEST_CASE("the handshake is that of the RFC's example, and frames may come right behind it", "[net]") {
    with_server(echo, [](net::environment& env) -> net::task<void> {
        auto const reply = co_await exchange(env, handshake + frame(0x82, "hello") + farewell);
        CHECK(reply.substr(0, reply.find("\r\n")) == "HTTP/1.1 101 Switching Protocols");
        CHECK(reply.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != reply.npos);
        CHECK(reply.find("Sec-WebSocket-Protocol: test\r\n") != reply.npos);
        CHECK(reply.find("X-Evil") == reply.npos);
        CHECK(reply.find("Extensions") == reply.npos);
        CHECK(behind_header(reply) == frame(0x82, "hello", false) + frame(0x88, "\x03\xe8", false));
    });
}

TEST_CASE("a handshake that is none is refused", "[net]") {
    with_server(echo, [](net::environment& env) -> net::task<void> {
        struct change {
            std::string from, to;
            int status;
        };
        for (auto const& [from, to, status] : std::vector<change>{
                 {"GET", "POST", 400},
                 {"HTTP/1.1", "HTTP/1.0", 400},
                 {"Host: x\r\n", "", 400},
                 {"Upgrade: websocket\r\n", "", 426},
                 {"Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 426},
                 {"Connection: Upgrade", "Connection: keep-alive", 400},
                 {"Version: 13", "Version: 8", 426},
                 {"Sec-WebSocket-Version: 13\r\n", "", 426},
                 {"Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: dGhlIHNhbXBsZSBub25jZQ", 400},
                 {"Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: dGhlIHNhbXBsZSBub25j!!==", 400},
                 {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400},
                 {"Upgrade: websocket", "upgrade: h2c, WebSocket", 101},
                 {"Connection: Upgrade", "connection: keep-alive , upgrade", 101},
             }) {
            auto text = handshake;
            text.replace(text.find(from), from.size(), to);
            INFO(from + " -> " + to);
            auto const reply = co_await exchange(
                env, text + (status == 101 ? farewell : "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
            CHECK(reply.substr(0, 12) == "HTTP/1.1 " + std::to_string(status));
            CHECK((from.find("Version") == from.npos || reply.find("Sec-WebSocket-Version: 13\r\n") != reply.npos));
        }
    });
}

TEST_CASE("a fragmented message is put together, and pings between its parts are answered", "[net]") {
    with_server(echo, [](net::environment& env) -> net::task<void> {
        auto const reply =
            co_await exchange(env, handshake + frame(0x02, "one ") + frame(0x89, "ping") + frame(0x00, "two ") +
                                       frame(0x8a, "nobody asked") + frame(0x80, "three") + farewell);
        CHECK(behind_header(reply) ==
              frame(0x8a, "ping", false) + frame(0x82, "one two three", false) + frame(0x88, "\x03\xe8", false));
    });
}

TEST_CASE("what is not RFC 6455 ends the web socket with the reason", "[net]") {
    std::error_code why;
    auto const hold = [&](net::web_socket& socket) -> net::task<void> {
        for (;;) {
            auto const got = co_await socket.receive();
            if (!got) why = got.error();
            if (!got || !got.value()) co_return;
        }
    };
    with_server(hold, [&](net::environment& env) -> net::task<void> {
        for (auto const& [bad, code] : std::vector<std::pair<std::string, std::string>>{
                 {"garbage instead of frames, and more of it than a header takes", "\x03\xea"},
                 {frame(0x82, "unmasked", false), "\x03\xea"},
                 {frame(0xc2, "reserved bit"), "\x03\xea"},
                 {frame(0x83, "unknown opcode"), "\x03\xea"},
                 {frame(0x80, "nothing to continue"), "\x03\xea"},
                 {frame(0x02, "a") + frame(0x82, "not continued"), "\x03\xea"},
                 {frame(0x09, "fragmented ping"), "\x03\xea"},
                 {frame(0x89, std::string(126, 'x')), "\x03\xea"},
                 {frame(0x88, "x"), "\x03\xea"},
                 {frame(0x81, "\xff\xfe"), "\x03\xef"}}) {
            why = {};
            INFO(escaped(bad));
            auto const reply = co_await exchange(env, handshake + bad);
            auto const frames = behind_header(reply);
            CHECK(why == net::errc::web_socket_malformed);
            REQUIRE(frames.size() >= 4);
            CHECK(frames[0] == '\x88');
            auto const given = frames.substr(2, 2);
            CHECK((given == code || given == "\x03\xea"));
        }
    });
}

TEST_CASE("a message is accepted up to its limit, fragmented or not, and refused with 1009 beyond", "[net]") {
    net::http_server_limits limits;
    limits.web_socket.message_bytes = 10'000;
    std::error_code why;
    std::size_t received = 0;
    auto const hold = [&](net::web_socket& socket) -> net::task<void> {
        for (;;) {
            auto const got = co_await socket.receive();
            if (!got) why = got.error();
            if (!got || !got.value()) co_return;
            received = got.value()->bytes.size();
        }
    };
    with_server(
        hold,
        [&](net::environment& env) -> net::task<void> {
            for (std::size_t const size : {9'999u, 10'000u, 10'001u}) {
                for (bool const cut : {false, true}) {
                    why = {};
                    received = 0;
                    std::string const whole(size, 'x');
                    auto const text =
                        cut ? frame(0x02, whole.substr(0, 5000)) + frame(0x80, whole.substr(5000)) : frame(0x82, whole);
                    auto const frames = behind_header(co_await exchange(env, handshake + text + farewell));
                    INFO(size);
                    CHECK(received == (size <= 10'000 ? size : 0));
                    CHECK(why == (size <= 10'000 ? std::error_code{} : net::errc::web_socket_too_large));
                    REQUIRE(frames.size() >= 4);
                    CHECK(frames.substr(2, 2) == (size <= 10'000 ? "\x03\xe8" : "\x03\xf1"));
                }
            }
            // Refused by the length alone: nothing of it has come.
            auto const huge = std::string("\x82\xff\x00\x00\xff\xff\xff\xff\xff\xff\1\2\3\4", 14);
            CHECK(behind_header(co_await exchange(env, handshake + huge)).substr(2, 2) == "\x03\xf1");
        },
        limits);
}

TEST_CASE("the reason of a farewell arrives, and an exception closes with 1011", "[net]") {
    auto const hold = [](net::web_socket& socket) -> net::task<void> {
        auto const first = co_await socket.receive();
        if (!first || !first.value()) co_return;
        auto const text = as_text(first.value()->bytes);
        if (text == "throw") throw std::runtime_error("x");
        if (text == "policy") co_await socket.close(net::close_reason::policy);
    };
    with_server(hold, [](net::environment& env) -> net::task<void> {
        for (auto const& [text, code] :
             std::vector<std::pair<std::string, std::uint16_t>>{{"throw", 1011}, {"policy", 1008}, {"return", 1000}}) {
            auto const socket = co_await open(env);
            CHECK(co_await socket->send(as_bytes(text)));
            auto const end = co_await socket->receive();
            CHECK((end && !end.value()));
            CHECK(socket->reason_of_peer() == code);
        }
    });
}

TEST_CASE("a peer that has gone silent is noticed by both ends, one that only has nothing to say is kept", "[net]") {
    simulation sim{7};
    net::http_server_limits limits;
    std::error_code server_why, client_why;
    time_point server_when{}, client_when{};
    auto const hold = [&](net::web_socket& socket) -> net::task<void> {
        auto const got = co_await socket.receive();
        if (!got) server_why = got.error();
        server_when = sim.now();
    };
    with_server(
        sim, hold,
        [&](net::environment& env) -> net::task<void> {
            auto const socket = co_await open(env);
            auto const start = sim.now();
            sim.after(1h, [&] { sim.separate(0, 1); });
            auto const got = co_await socket->receive();
            if (!got) client_why = got.error();
            client_when = sim.now();
            CHECK(client_when - start > 1h + 59s);
            CHECK(client_when - start < 1h + 91s);
            co_await env.clock.sleep(2min);
            sim.rejoin(0, 1);
        },
        limits);
    CHECK(client_why == net::errc::timed_out);
    CHECK(server_why == net::errc::timed_out);
}

TEST_CASE("a peer that does not read is given up after the deadline of a send", "[net]") {
    net::http_server_limits limits;
    limits.web_socket.send = 10s;
    result<void> last = success();
    duration took{};
    auto const hold = [&](net::web_socket& socket) -> net::task<void> {
        auto const message = pattern(100'000);
        while (last) last = co_await socket.send(message);
        CHECK_FALSE(co_await socket.receive());
    };
    with_server(
        hold,
        [&](net::environment& env) -> net::task<void> {
            auto client = (co_await env.network.connect({*ip_address::parse("10.0.0.1"), 80}, std::nullopt)).value();
            CHECK(co_await client->write_all(as_bytes(handshake)));
            auto const start = env.clock.now();
            while (last && env.clock.now() < start + 1min) co_await env.clock.sleep(100ms);
            took = env.clock.now() - start;
        },
        limits);
    CHECK((!last && last.error() == net::errc::timed_out));
    CHECK(took >= 10s);
    CHECK(took < 11s);
}

TEST_CASE("one sends while another receives, with pings in between", "[net]") {
    net::http_server_limits limits;
    limits.web_socket.ping = 1ms;
    simulation sim{GENERATE(1u, 2u, 3u)};
    sim.connect_by(0, {.upload = 1'000'000});
    with_server(
        sim, echo,
        [](net::environment& env) -> net::task<void> {
            auto const socket = co_await open(env, {.ping = 1ms});
            constexpr int count = 200;
            auto const send = [&]() -> net::task<void> {
                std::error_code why;
                for (int i = 0; i < count && !why; ++i)
                    if (auto const sent = co_await socket->send(pattern(static_cast<std::size_t>(i) * 10)); !sent)
                        why = sent.error();
                CHECK(why.message() == std::error_code{}.message());
            };
            co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
                group.spawn("send", send());
                for (int i = 0; i < count; ++i) {
                    auto const got = co_await socket->receive();
                    INFO(i << (got ? "" : got.error().message()));
                    CHECK((got && got.value()));
                    if (!got || !got.value()) break;
                    CHECK(got.value()->bytes == pattern(static_cast<std::size_t>(i) * 10));
                }
                co_await group.join();
            });
            co_await socket->close();
        },
        limits);
}

TEST_CASE("a pending receive or send ends when it is cancelled, and the connection with it", "[net]") {
    bool const sending = GENERATE(false, true);
    std::optional<result<std::optional<net::web_socket_message>>> seen;
    auto const hold = [&](net::web_socket& socket) -> net::task<void> {
        if (!sending) seen = co_await socket.receive();
        if (sending) co_await net::signal{co_await asio::this_coro::executor}.wait();
    };
    with_server(hold, [&](net::environment& env) -> net::task<void> {
        auto const socket = co_await open(env);
        auto const act = [&]() -> net::task<void> {
            auto const message = pattern(1'000'000);
            if (sending)
                (void)co_await socket->send(message);
            else
                (void)co_await socket->receive();
        };
        CHECK_FALSE(co_await net::ends_before(env.clock, env.clock.now() + 1s, act()));
        CHECK_FALSE(co_await socket->send(pattern(1)));
        CHECK_FALSE(co_await socket->receive());
        co_await env.clock.sleep(1s);
        CHECK((sending || (seen && !*seen && seen->error() == net::errc::closed)));
    });
}

TEST_CASE("cancelling the server ends its web sockets, whatever they do", "[net]") {
    for (int step = 0; step < 40; ++step) {
        simulation sim{7};
        auto& env = sim.host(0);
        net::http_server server{env,
                                [&](net::http_request const&) { return net::http_response{.upgrade = echo}; },
                                {.web_socket = {.ping = 5ms}}};
        bool ended = false;
        auto const serve = [&]() -> net::task<void> {
            auto const run = [&]() -> net::task<void> { co_await server.serve(env.network.listen({{}, 80}).value()); };
            CHECK_FALSE(co_await net::ends_before(env.clock, env.clock.now() + step * 3ms, run()));
            CHECK(server.connection_count() == 0);
        };
        auto const client = [&]() -> net::task<void> {
            auto& here = sim.host(1);
            auto const opened = co_await net::web_socket_connect(here, url);
            auto const bytes = pattern(1000);
            while (opened) {
                if (!co_await opened.value()->send(bytes)) break;
                auto const got = co_await opened.value()->receive();
                if (!got || !got.value()) break;
            }
            ended = true;
        };
        sim.spawn("server", serve());
        sim.spawn("client", client());
        CHECK(sim.run_until([&] { return ended; }, 1min));
    }
}

TEST_CASE("web sockets survive nothing but end cleanly when their connection breaks", "[net]") {
    simulation sim{GENERATE(range(1u, 9u))};
    with_server(sim, echo, [&](net::environment& env) -> net::task<void> {
        sim.set_faults({.reset_after_mean = 50'000, .short_transfers = true});
        for (int i = 0; i < 5; ++i) {
            auto const opened = co_await net::web_socket_connect(env, url);
            if (!opened) continue;
            auto const bytes = pattern(5'000);
            for (;;) {
                if (!co_await opened.value()->send(bytes)) break;
                auto const got = co_await opened.value()->receive();
                CHECK((!got || got.value()));
                if (!got) break;
            }
        }
    });
}

TEST_CASE("a server that does not agree is told apart", "[net]") {
    auto const outcome = [](std::string reply, std::string where = url, bool hang = false) {
        simulation sim{7};
        std::error_code why;
        bool done = false;
        auto const serve = [&]() -> net::task<void> {
            auto listener = sim.host(0).network.listen({{}, 80}).value();
            auto client = (co_await listener->accept()).value();
            std::array<std::byte, 1000> place{};
            (void)co_await client->read_some(place);
            (void)co_await client->write_all(as_bytes(reply));
            if (hang) co_await sim.host(0).clock.sleep(1h);
        };
        auto const ask = [&]() -> net::task<void> {
            auto const opened = co_await net::web_socket_connect(sim.host(1), where);
            if (!opened) why = opened.error();
            done = true;
        };
        sim.spawn("server", serve());
        sim.spawn("client", ask());
        CHECK(sim.run_until([&] { return done; }, 1h));
        return why;
    };
    std::string const agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    CHECK(outcome("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") == net::errc::web_socket_refused);
    CHECK(outcome("HTTP/1.1 302 Found\r\nLocation: ws://10.0.0.1/\r\n\r\n") == net::errc::web_socket_refused);
    CHECK(outcome(agreed + "\r\n") == net::errc::web_socket_refused);
    CHECK(outcome(agreed + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") ==
          net::errc::web_socket_refused);
    CHECK(outcome("SSH-2.0-x\r\n\r\n") == net::errc::http_malformed);
    CHECK(outcome("HTTP/1.1 101 X\r\nA: " + std::string(20'000, 'x')) == net::errc::http_too_large);
    CHECK(outcome("") == net::errc::closed);
    CHECK(outcome("", url, true) == net::errc::timed_out);
    CHECK(outcome("", "ftp://10.0.0.1/") == net::errc::bad_url);
    CHECK(outcome("", "10.0.0.1") == net::errc::bad_url);
}

TEST_CASE("web sockets work over the machine's own sockets", "[net]") {
    testing::on_machine([](net::environment& env) -> net::task<void> {
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        auto const at = listener->local();
        net::http_server server{env, [](net::http_request const&) { return net::http_response{.upgrade = echo}; }};
        auto const serve = [&]() -> net::task<void> { co_await server.serve(std::move(listener)); };
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            group.spawn("server", serve());
            auto const opened = co_await net::web_socket_connect(env, "http://" + at.to_string() + "/x?y");
            REQUIRE(opened.has_value());
            for (std::size_t const size : {1u, 100'000u, 1'000'000u}) {
                CHECK(co_await opened.value()->send(pattern(size)));
                auto const got = co_await opened.value()->receive();
                REQUIRE((got && got.value()));
                CHECK(got.value()->bytes == pattern(size));
            }
            co_await opened.value()->close();
            auto const left = (co_await net::web_socket_connect(env, "ws://" + at.to_string())).value();
            auto const wait = [&]() -> net::task<void> { (void)co_await left->receive(); };
            CHECK_FALSE(co_await net::ends_before(env.clock, env.clock.now() + 50ms, wait()));
            auto const open_at_the_end = (co_await net::web_socket_connect(env, "ws://" + at.to_string())).value();
            group.cancel();
            co_await group.join();
            auto const end = co_await open_at_the_end->receive();
            CHECK_FALSE(end);
        });
        CHECK(server.connection_count() == 0);
    });
}
