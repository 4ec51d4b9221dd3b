#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
using testing::on_machine;

namespace {
struct pair {
    std::unique_ptr<net::stream> client, server;
};

net::task<pair> connected(net::environment& env, char const* address = "127.0.0.1") {
    auto listener = env.network.listen({*ip_address::parse(address), 0}).value();
    auto client = co_await env.network.connect(listener->local(), std::nullopt);
    auto server = co_await listener->accept();
    co_return pair{std::move(client).value(), std::move(server).value()};
}
byte_vector pattern(std::size_t size) {
    byte_vector bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
    return bytes;
}
net::task<void> write_then_close(net::stream& to, byte_vector const& bytes) {
    auto const written = co_await to.write_all(bytes);
    CHECK(written.has_value());
    to.close();
}
}  // namespace

TEST_CASE("bytes arrive in order, then the end of the stream", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto both = co_await connected(env);
        CHECK(both.client->remote() == both.server->local());
        CHECK(both.client->local() == both.server->remote());
        auto const sent = pattern(8 << 20);
        net::task_group group{co_await asio::this_coro::executor};
        group.spawn("writer", write_then_close(*both.client, sent));
        byte_vector received(sent.size());
        auto const all = co_await both.server->read_all(received);
        CHECK(all.has_value());
        CHECK(received == sent);
        std::array<std::byte, 1> more{};
        auto const end = co_await both.server->read_some(more);
        CHECK((!end && end.error() == net::errc::closed));
        co_await group.join();
    });
}

TEST_CASE("one call gathers many runs and scatters to many places", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto both = co_await connected(env);
        auto const sent = pattern(100 * 10);
        auto const count = GENERATE(std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65});
        std::vector<byte_view> runs;
        for (std::size_t i = 0; i < count; ++i) runs.push_back(byte_view{sent}.subspan(i * 10, 10));
        auto const taken = std::min(count, net::buffers_max) * 10;
        auto const written = co_await both.client->write_some(runs);
        CHECK((written && written.value() == taken));
        byte_vector received(sent.size());
        std::vector<mutable_byte_view> places;
        for (std::size_t i = 0; i < count; ++i) places.push_back(mutable_byte_view{received}.subspan(i * 10, 10));
        co_await env.clock.sleep(5ms);
        auto const read = co_await both.server->read_some(places);
        CHECK((read && read.value() == taken));
        CHECK(equal(byte_view{received}.first(taken), byte_view{sent}.first(taken)));
    });
}

TEST_CASE("an IPv6 listener takes IPv6 only", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto v6 = env.network.listen({*ip_address::parse("::1"), 0});
        if (!v6) co_return;  // this machine has no IPv6
        endpoint const same_port{*ip_address::parse("0.0.0.0"), v6.value()->local().port};
        CHECK(env.network.listen(same_port).has_value());
        auto client = co_await env.network.connect(v6.value()->local(), ip_address::parse("::1"));
        CHECK(client.has_value());
    });
}

TEST_CASE("a refused connection says so at once", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        auto const at = listener->local();
        listener->close();
        auto const refused = co_await env.network.connect(at, std::nullopt);
        CHECK((!refused && refused.error() == std::errc::connection_refused));
        CHECK(is(refused.error(), condition::transient));
        auto const closed = co_await listener->accept();
        CHECK((!closed && closed.error() == net::errc::closed));
    });
}

TEST_CASE("the local address of a connection can be chosen", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        auto client = co_await env.network.connect(listener->local(), ip_address::parse("127.0.0.9"));
        CHECK((client && client.value()->local().address == *ip_address::parse("127.0.0.9")));
        auto server = co_await listener->accept();
        CHECK((server && server.value()->remote().address == *ip_address::parse("127.0.0.9")));
        auto const foreign = co_await env.network.connect(listener->local(), ip_address::parse("192.0.2.1"));
        CHECK_FALSE(foreign.has_value());
    });
}

TEST_CASE("a stream that has ended says so each time, after what came before", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto both = co_await connected(env);
        std::array<std::byte, 8> place{};
        auto const sent = pattern(3);
        for (int round = 0; round < 2; ++round) {  // the second read waits for what comes
            net::task_group group{co_await asio::this_coro::executor};
            group.spawn("writer",
                        [](net::environment& env, net::stream& to, byte_view bytes, bool ends) -> net::task<void> {
                            co_await env.clock.sleep(1ms);
                            CHECK(co_await to.write_all(bytes));
                            if (ends) to.close();
                        }(env, *both.client, byte_view{sent}, round == 1));
            auto const got = co_await both.server->read_some(place);
            CHECK((got && got.value() == 3));
            CHECK((byte_vector{place.begin(), place.begin() + 3} == sent));
            co_await group.join();
        }
        for (int again = 0; again < 3; ++again) {
            auto const got = co_await both.server->read_some(place);
            CHECK((!got && got.error() == net::errc::closed));
        }
    });
}

TEST_CASE("waits in streams and listeners end when cancelled and when closed", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto both = co_await connected(env);
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        std::vector<std::error_code> ends;
        auto const reader = [&]() -> net::task<void> {
            std::array<std::byte, 8> place{};
            auto const got = co_await both.server->read_some(place);
            if (!got) ends.push_back(got.error());
        };
        auto const writer = [&]() -> net::task<void> {
            auto const bytes = pattern(1 << 20);
            for (;;) {
                auto const done = co_await both.client->write_some(std::array{byte_view{bytes}});
                if (!done) {
                    ends.push_back(done.error());
                    co_return;
                }
            }
        };
        auto const acceptor = [&]() -> net::task<void> {
            auto const got = co_await listener->accept();
            if (!got) ends.push_back(got.error());
        };
        net::task_group group{co_await asio::this_coro::executor};
        bool const by_close = GENERATE(false, true);
        if (by_close) {
            group.spawn("acceptor", acceptor());
            group.spawn("reader", reader());
            co_await env.clock.sleep(2ms);
            both.server->close();
            listener->close();
            co_await group.join();
            CHECK(ends.size() == 2);
            for (auto const& end : ends) CHECK(end == net::errc::closed);
        } else {
            group.spawn("acceptor", acceptor());
            group.spawn("writer", writer());
            co_await env.clock.sleep(2ms);
            group.cancel();
            co_await group.join();
        }
        CHECK(group.size() == 0);
    });
}

TEST_CASE("a task that always finds data lets others run and can be cancelled", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto both = co_await connected(env);
        auto const sent = pattern(1 << 16);
        auto const pump = [&](net::stream& to) -> net::task<void> {
            for (;;) {
                if (!co_await to.write_some(std::array{byte_view{sent}})) co_return;
            }
        };
        auto const sink = [&](net::stream& from) -> net::task<void> {
            byte_vector place(64);  // small: never empties the socket
            for (;;) {
                if (!co_await from.read_some(place)) co_return;
            }
        };
        net::task_group group{co_await asio::this_coro::executor};
        group.spawn("pump", pump(*both.client));
        group.spawn("sink", sink(*both.server));
        auto const started = env.clock.now();
        co_await env.clock.sleep(20ms);
        CHECK(env.clock.now() - started < 2s);
        group.cancel();
        co_await group.join();
    });
}

TEST_CASE("a dead page of a mapped file is an error of the call, not a signal", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto both = co_await connected(env);
        std::string name = "/tmp/shoal-net-XXXXXX";
        int const fd = ::mkstemp(name.data());
        REQUIRE(fd >= 0);
        ::unlink(name.c_str());
        constexpr std::size_t size = 1 << 16;
        REQUIRE(::ftruncate(fd, size) == 0);
        void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        REQUIRE(at != MAP_FAILED);
        REQUIRE(::ftruncate(fd, 0) == 0);
        mutable_byte_view const mapped{static_cast<std::byte*>(at), size};
        auto const written = co_await both.client->write_some(std::array{byte_view{mapped}});
        CHECK((!written && written.error() == std::errc::bad_address));
        CHECK((co_await both.client->write_all(pattern(100))).has_value());
        auto const read = co_await both.server->read_some(std::array{mapped});
        CHECK((!read && read.error() == std::errc::bad_address));
        ::munmap(at, size);
        ::close(fd);
    });
}

TEST_CASE("a listener without free descriptors waits without spinning and then serves on", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto listener = env.network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
        auto client = co_await env.network.connect(listener->local(), std::nullopt);
        net::task_group group{co_await asio::this_coro::executor};
        // The sanitizers then know the types that follow, and open nothing while starved.
        group.spawn("nothing", env.clock.sleep(1ms));
        co_await env.clock.sleep(2ms);
        co_await group.join();
        rlimit before{};
        ::getrlimit(RLIMIT_NOFILE, &before);
        int const next_free = ::dup(0);
        ::close(next_free);
        rlimit const none{static_cast<rlim_t>(next_free), before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &none);
        std::unique_ptr<net::stream> accepted;
        auto const serve = [&]() -> net::task<void> {
            auto got = co_await listener->accept();
            if (got) accepted = std::move(got).value();
        };
        group.spawn("accept", serve());
        auto const cpu = std::clock();
        co_await env.clock.sleep(500ms);
        auto const used = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
        bool const starved = accepted == nullptr;
        ::setrlimit(RLIMIT_NOFILE, &before);  // the sanitizers' checks need descriptors too
        CHECK(starved);
        CHECK(used < 0.05);
        co_await group.join();
        CHECK(accepted != nullptr);
    });
}
