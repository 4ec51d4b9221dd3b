#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
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
std::unique_ptr<net::datagram_socket> open(net::environment& env, char const* address) {
    return env.network.open_datagram({*ip_address::parse(address), 0}).value();
}
}  // namespace

TEST_CASE("datagrams travel in batches with their source", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const a = open(env, "127.0.0.1"), b = open(env, "127.0.0.1");
        constexpr std::size_t count = 150;
        std::vector<byte_vector> payloads;
        std::vector<net::datagram> out;
        for (std::size_t i = 0; i < count; ++i) payloads.emplace_back(i + 1, static_cast<std::byte>(i));
        for (auto const& each : payloads) out.push_back({b->local(), each});
        auto const sent = a->send(out);
        CHECK((sent && sent.value() == count));
        std::array<net::datagram, 100> in;
        std::size_t received = 0;
        while (received < count) {
            auto const got = co_await b->receive(in);
            REQUIRE(got.has_value());
            for (auto const& each : std::span{in}.first(got.value())) {
                CHECK(each.peer == a->local());
                CHECK(equal(each.bytes, payloads.at(received++)));
            }
        }
    });
}

TEST_CASE("a datagram of the longest length is received, a longer one dropped", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const a = open(env, "127.0.0.1"), b = open(env, "127.0.0.1");
        byte_vector const longest(net::datagram_bytes_max), longer(net::datagram_bytes_max + 1), last(1);
        std::array const out{net::datagram{b->local(), longer}, net::datagram{b->local(), longest},
                             net::datagram{b->local(), last}};
        CHECK(a->send(out).value() == 3);
        co_await env.clock.sleep(5ms);
        std::array<net::datagram, 8> in;
        auto const got = co_await b->receive(in);
        REQUIRE((got && got.value() == 2));
        CHECK(in[0].bytes.size() == net::datagram_bytes_max);
        CHECK(in[1].bytes.size() == 1);
    });
}

TEST_CASE("a datagram that the system refuses does not hold up the next", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const a = open(env, "127.0.0.1"), b = open(env, "127.0.0.1");
        byte_vector const huge(70'000), good(10);
        endpoint const nowhere{*ip_address::parse("2001:db8::1"), 9};  // from an IPv4 socket
        std::array const out{net::datagram{b->local(), huge}, net::datagram{nowhere, good},
                             net::datagram{b->local(), good}};
        CHECK(a->send(out).value() == 3);
        std::array<net::datagram, 8> in;
        auto const got = co_await b->receive(in);
        CHECK((got && got.value() == 1 && in[0].bytes.size() == 10));
    });
}

TEST_CASE("receiving ends when the socket is closed or the task cancelled", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const a = open(env, "127.0.0.1");
        std::error_code end;
        auto const receiver = [&]() -> net::task<void> {
            std::array<net::datagram, 8> in;
            auto const got = co_await a->receive(in);
            if (!got) end = got.error();
        };
        net::task_group group{co_await asio::this_coro::executor};
        group.spawn("cancelled", receiver());
        co_await env.clock.sleep(1ms);
        group.cancel();
        co_await group.join();
        group.spawn("closed", receiver());
        co_await env.clock.sleep(1ms);
        a->close();
        co_await group.join();
        CHECK(end == net::errc::closed);
        CHECK_FALSE(a->send({}).has_value());
    });
}
