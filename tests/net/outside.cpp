#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
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

TEST_CASE("addresses resolve to themselves, localhost to a loopback address, nonsense to an error", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const v4 = co_await env.network.resolve("192.0.2.7");
        CHECK((v4 && v4.value() == std::vector{*ip_address::parse("192.0.2.7")}));
        auto const v6 = co_await env.network.resolve("[::1]");
        CHECK((v6 && v6.value() == std::vector{*ip_address::parse("::1")}));
        auto const name = co_await env.network.resolve("localhost");
        CHECK((name && !name.value().empty() && name.value().front().is_loopback()));
        for (auto const& bad : {std::string{}, std::string("local\0host", 10)}) {
            auto const nothing = co_await env.network.resolve(bad);
            CHECK((!nothing && nothing.error() == net::errc::host_unknown));
        }
    });
}

TEST_CASE("a resolving task can be cancelled without waiting for the answer", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        net::task_group group{co_await asio::this_coro::executor};
        auto const ask = [&]() -> net::task<void> { (void)co_await env.network.resolve("localhost"); };
        for (int i = 0; i < 20; ++i) group.spawn("ask", ask());
        co_await asio::post(asio::use_awaitable);
        group.cancel();
        co_await group.join();
    });
}

TEST_CASE("random bytes fill the whole place and differ", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        byte_vector big(100'000);
        env.random.fill(big);
        std::size_t zeros = 0;
        for (auto const byte : big) zeros += byte == std::byte{0};
        CHECK(zeros < 1000);
        CHECK(env.random.next() != env.random.next());
        co_return;
    });
}

TEST_CASE("a worker pool does all that was queued before it ends", "[net]") {
    std::atomic<int> done = 0;
    {
        auto const pool = net::make_worker_pool(3);
        CHECK(pool->size() == 3);
        for (int i = 0; i < 1000; ++i) pool->run([&] { ++done; });
    }
    CHECK(done == 1000);
}

TEST_CASE("the clock never goes back and sleeps until the time given", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const start = env.clock.now();
        co_await env.clock.sleep_until(start + 3ms);
        CHECK(env.clock.now() >= start + 3ms);
        co_await env.clock.sleep_until(start);
    });
}
