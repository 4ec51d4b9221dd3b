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
using writer = std::function<net::task<void>(net::body_writer&)>;

/// A server on host 0 that answers `/stream` with what `write` writes, and all else at once; `client` runs on host 1.
void with_server(writer write, std::function<net::task<void>(net::environment&, net::http_server&)> client,
                 net::http_server_limits limits = {}) {
    simulation sim{7};
    auto& env = sim.host(0);
    net::http_server server{
        env,
        [&](net::http_request const& request) -> net::http_response {
            if (request.target != "/stream") return {.body = "at once"};
            return {.content_type = "text/event-stream", .fields = {{"Cache-Control", "no-store"}}, .stream = write};
        },
        limits};
    bool done = false;
    net::signal stop{sim.executor()};
    auto const serve_it = [&]() -> net::task<void> { co_await server.serve(env.network.listen({{}, 80}).value()); };
    auto const serve = [&]() -> net::task<void> {
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            group.spawn("server", serve_it());
            co_await stop.wait();
        });
        done = true;
    };
    auto const run = [&]() -> net::task<void> {
        co_await client(sim.host(1), server);
        stop.notify();
    };
    sim.spawn("server", serve());
    sim.spawn("client", run());
    REQUIRE(sim.run_until([&] { return done; }, 24h));
    CHECK(server.connection_count() == 0);
    CHECK(server.stream_count() == 0);
}

net::task<std::unique_ptr<net::stream>> ask(net::environment& env, std::string text,
                                            std::optional<ip_address> from = std::nullopt) {
    auto client = (co_await env.network.connect({*ip_address::parse("10.0.0.1"), 80}, from)).value();
    (void)co_await client->write_all(as_bytes(text));
    co_return client;
}
net::task<std::string> read_some(net::stream& from) {
    std::array<std::byte, 4096> place{};
    auto const got = co_await from.read_some(place);
    co_return got ? std::string{as_text(byte_view{place}.first(got.value()))} : std::string{};
}
net::task<std::string> read_to_end(net::stream& from) {
    std::string all;
    for (;;) {
        auto const more = co_await read_some(from);
        if (more.empty()) co_return all;
        all += more;
    }
}
std::string const get = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
std::string const header =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    "Cache-Control: no-store\r\n\r\n";

/// Says how it ended: a writer that waits for news that never come.
struct waiting {
    bool started = false, ended = false;
    net::task<void> operator()(net::body_writer& body) {
        struct at_end {
            bool& ended;
            ~at_end() { ended = true; }
        } const mark{ended};
        started = true;
        (void)co_await body.write("hello");
        co_await net::signal{co_await asio::this_coro::executor}.wait();
    }
};
}  // namespace

TEST_CASE("a streamed response arrives piece by piece as it is written", "[net]") {
    std::optional<net::signal> go;
    auto const write = [&](net::body_writer& body) -> net::task<void> {
        CHECK(co_await body.write("data: 1\n\n"));
        co_await go->wait();
        CHECK(co_await body.write(""));
        CHECK(co_await body.write(std::string(300, 'x')));
        co_await go->wait();
    };
    with_server(write, [&](net::environment& env, net::http_server& server) -> net::task<void> {
        go.emplace(co_await asio::this_coro::executor);
        auto const client = co_await ask(env, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n" + get + "ignored");
        std::string first = co_await read_some(*client);
        if (first.find("data") == first.npos) first += co_await read_some(*client);
        CHECK(first.substr(first.find("at once") + 7) == header + "9\r\ndata: 1\n\n\r\n");
        CHECK(server.stream_count() == 1);
        co_await env.clock.sleep(1h);  // neither the request's nor the idle deadline ends it
        go->notify();
        CHECK(co_await read_some(*client) == "12c\r\n" + std::string(300, 'x') + "\r\n");
        go->notify();
        CHECK(co_await read_to_end(*client) == "0\r\n\r\n");
        go.reset();  // before its simulation
    });
}

TEST_CASE("HTTP/1.0 gets a streamed response without coding, and HEAD its header only", "[net]") {
    auto const write = [](net::body_writer& body) -> net::task<void> {
        CHECK(co_await body.write("a"));
        CHECK(co_await body.write("b"));
    };
    with_server(write, [&](net::environment& env, net::http_server& server) -> net::task<void> {
        auto const old = co_await read_to_end(*co_await ask(env, "GET /stream HTTP/1.0\r\n\r\n"));
        CHECK(old ==
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nCache-Control: "
              "no-store\r\n\r\nab");
        auto const head = co_await read_to_end(
            *co_await ask(env, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        CHECK(head.find("Transfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\nHTTP/1.1 200 OK\r\n") !=
              head.npos);
        CHECK(server.stream_count() == 0);
    });
}

TEST_CASE("our own client reads a streamed response whole, and notices one that broke off", "[net]") {
    bool const breaks = GENERATE(false, true);
    auto const write = [&](net::body_writer& body) -> net::task<void> {
        for (int i = 0; i < 100; ++i) CHECK(co_await body.write(std::string(1000, 'x')));
        if (breaks) throw std::runtime_error("no more");
    };
    with_server(write, [&](net::environment& env, net::http_server&) -> net::task<void> {
        auto const reply = co_await net::http_get(env, "http://10.0.0.1/stream");
        CHECK(reply.has_value() == !breaks);
        if (breaks) CHECK(reply.error() == net::errc::http_malformed);
        if (!breaks) CHECK(reply.value().body == std::string(100'000, 'x'));
    });
}

TEST_CASE("a client that does not read its stream is dropped", "[net]") {
    net::http_server_limits limits;
    limits.piece = 10s;
    std::error_code why;
    auto const write = [&](net::body_writer& body) -> net::task<void> {
        for (;;) {
            if (auto const done = co_await body.write(std::string(10'000, 'x')); !done) {
                why = done.error();
                co_return;
            }
        }
    };
    with_server(
        write,
        [&](net::environment& env, net::http_server& server) -> net::task<void> {
            auto const start = env.clock.now();
            auto const client = co_await ask(env, get);
            co_await env.clock.sleep(1s);
            while (server.stream_count() == 1) co_await env.clock.sleep(100ms);
            CHECK(env.clock.now() - start >= 10s);
            CHECK(env.clock.now() - start < 12s);
        },
        limits);
    CHECK((!why || why == net::errc::closed));  // or it was cancelled first
}

TEST_CASE("a client that leaves ends its stream while that waits for news", "[net]") {
    waiting state;
    with_server([&](net::body_writer& body) { return state(body); },
                [&](net::environment& env, net::http_server& server) -> net::task<void> {
                    auto client = co_await ask(env, get);
                    (void)co_await read_some(*client);
                    CHECK(state.started);
                    CHECK(server.stream_count() == 1);
                    client.reset();
                    co_await env.clock.sleep(100ms);
                    CHECK(state.ended);
                    CHECK(server.connection_count() == 0);
                });
}

TEST_CASE("cancelling the server ends its streams", "[net]") {
    waiting state;
    with_server([&](net::body_writer& body) { return state(body); },
                [&](net::environment& env, net::http_server&) -> net::task<void> {
                    auto const client = co_await ask(env, get);
                    (void)co_await read_some(*client);
                    CHECK_FALSE(state.ended);  // the end of the client's half would take the latency
                });
    CHECK(state.ended);
}

TEST_CASE("streams are limited in all and per address, and further ones are told when to come back", "[net]") {
    testing::on_machine([](net::environment& env) -> net::task<void> {
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        auto const at = listener->local();
        auto const write = [](net::body_writer& body) -> net::task<void> {
            (void)co_await body.write("x");
            co_await net::signal{co_await asio::this_coro::executor}.wait();
        };
        net::http_server server{env,
                                [&](net::http_request const&) { return net::http_response{.stream = write}; },
                                {.streams = 5, .streams_per_address = 3}};
        auto const serve = [&]() -> net::task<void> { co_await server.serve(std::move(listener)); };
        std::vector<std::unique_ptr<net::stream>> held;
        auto const status = [&](char const* from) -> net::task<std::string> {
            auto client = (co_await env.network.connect(at, ip_address::parse(from))).value();
            (void)co_await client->write_all(as_bytes(get));
            auto const reply = co_await read_some(*client);
            CHECK((reply.substr(9, 3) == "200") == (reply.find("Retry-After: ") == reply.npos));
            held.push_back(std::move(client));
            co_return reply.substr(9, 3);
        };
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            group.spawn("server", serve());
            CHECK(co_await status("127.0.0.1") == "200");
            CHECK(co_await status("127.0.0.1") == "200");
            CHECK(co_await status("127.0.0.1") == "200");
            CHECK(co_await status("127.0.0.1") == "503");
            CHECK(co_await status("127.0.0.2") == "200");
            CHECK(co_await status("127.0.0.3") == "200");
            CHECK(co_await status("127.0.0.4") == "503");
            CHECK(server.stream_count() == 5);
            held.clear();
            co_await env.clock.sleep(20ms);
            CHECK(server.stream_count() == 0);
            CHECK(co_await status("127.0.0.1") == "200");
            group.cancel();
            co_await group.join();
        });
        CHECK(server.stream_count() == 0);
    });
}
