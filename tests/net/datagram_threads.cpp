#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
using testing::on_machine;

namespace {
using sockets = std::vector<std::unique_ptr<net::datagram_socket>>;

endpoint any_port(char const* address = "127.0.0.1") {
    return {*ip_address::parse(address), 0};
}
sockets open_threads(net::environment& env, std::size_t threads, char const* address = "127.0.0.1") {
    return env.network.open_datagram_threads(any_port(address), threads).value();
}
std::unique_ptr<net::datagram_socket> open(net::environment& env, char const* address = "127.0.0.1") {
    return env.network.open_datagram(any_port(address)).value();
}
byte_vector numbered(std::uint32_t number) {
    byte_vector bytes(sizeof number);
    store_be(mutable_byte_view{bytes}, number);
    return bytes;
}
std::uint32_t number_in(byte_view bytes) {
    return load_be<std::uint32_t>(bytes);
}
/// Sends the numbers from `first` on, each as a datagram of its own.
void send_numbers(net::datagram_socket& from, endpoint const& to, std::uint32_t first, std::uint32_t count) {
    std::vector<byte_vector> numbers;
    std::vector<net::datagram> out;
    for (std::uint32_t i = 0; i < count; ++i) numbers.push_back(numbered(first + i));
    for (auto const& each : numbers) out.push_back({to, each});
    REQUIRE(from.send(out).value() == count);
}
/// The numbers that come, until there are `count` of them.
net::task<std::vector<std::uint32_t>> receive_numbers(net::datagram_socket& at, std::size_t count) {
    std::vector<std::uint32_t> numbers;
    std::vector<net::datagram> in(10);
    while (numbers.size() < count) {
        auto const got = co_await at.receive(in);
        REQUIRE(got);
        for (auto const& each : std::span{in}.first(got.value())) numbers.push_back(number_in(each.bytes));
    }
    co_return numbers;
}
std::vector<std::uint32_t> numbers_up_to(std::uint32_t count) {
    std::vector<std::uint32_t> all;
    for (std::uint32_t i = 0; i < count; ++i) all.push_back(i);
    return all;
}
/// Sends back what comes, until the socket is closed.
net::task<void> echo(net::datagram_socket& at, std::set<endpoint>& senders) {
    std::vector<net::datagram> in(64);
    for (;;) {
        auto const got = co_await at.receive(in);
        if (!got) {
            CHECK(got.error() == net::errc::closed);
            co_return;
        }
        auto const batch = std::span{in}.first(got.value());
        for (auto const& each : batch) senders.insert(each.peer);
        CHECK(at.send(batch).value() == batch.size());
    }
}
}  // namespace

TEST_CASE("what is sent to an address of several threads is answered once, whichever gets it", "[net]") {
    for (auto const address : {"127.0.0.1", "::1"}) {
        on_machine([&](net::environment& env) -> net::task<void> {
            constexpr std::size_t threads = 3, senders = 64;
            constexpr std::uint32_t rounds = 5, at_once = 4;
            auto const shared = open_threads(env, threads, address);
            REQUIRE(shared.size() == threads);
            auto const at = shared[0]->local();
            std::vector<std::set<endpoint>> heard(threads);
            net::task_group group{co_await asio::this_coro::executor};
            for (std::size_t i = 0; i < threads; ++i) {
                CHECK(shared[i]->local() == at);
                group.spawn("echo", echo(*shared[i], heard[i]));
            }
            sockets clients;
            for (std::size_t i = 0; i < senders; ++i) clients.push_back(open(env, address));
            std::vector<std::vector<std::uint32_t>> answered(senders);
            for (std::uint32_t round = 0; round < rounds; ++round) {
                for (auto const& client : clients) send_numbers(*client, at, round * at_once, at_once);
                for (std::size_t i = 0; i < senders; ++i)
                    for (auto const number : co_await receive_numbers(*clients[i], at_once))
                        answered[i].push_back(number);
            }
            for (auto const& each : answered) CHECK(each == numbers_up_to(rounds * at_once));
            std::size_t known = 0;
            for (auto const& each : heard) {
                CHECK_FALSE(each.empty());
                known += each.size();
            }
            CHECK(known == senders);  // each sender speaks with one of them
            for (auto const& each : shared) each->close();
            co_await group.join();
        });
    }
}

TEST_CASE("what nobody takes up waits in the system, and comes in order", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        constexpr std::uint32_t count = 400;  // more than a thread keeps, less than a socket's buffer
        auto const shared = open_threads(env, 1);
        auto const sender = open(env);
        send_numbers(*sender, shared[0]->local(), 0, count);
        CHECK(co_await receive_numbers(*shared[0], count) == numbers_up_to(count));
    });
}

TEST_CASE("views of a thread's datagrams are good until the next are received", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const shared = open_threads(env, 1);
        auto const sender = open(env);
        send_numbers(*sender, shared[0]->local(), 0, 5);
        std::vector<net::datagram> in(3);
        auto const got = co_await shared[0]->receive(in);
        REQUIRE(got);
        for (std::uint32_t more = 5; more < 300; more += 5) {  // fills every batch that the thread has
            send_numbers(*sender, shared[0]->local(), more, 5);
            co_await asio::post(asio::use_awaitable);
        }
        for (std::uint32_t i = 0; i < got.value(); ++i) {
            CHECK(number_in(in[i].bytes) == i);
            CHECK(in[i].peer == sender->local());
        }
    });
}

TEST_CASE("what finds no room to wait for a thread is dropped", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const shared = open_threads(env, 1);
        auto const receiver = open(env);
        std::vector<byte_vector> numbers;
        std::vector<net::datagram> out;
        for (std::uint32_t i = 0; i < 1000; ++i) numbers.push_back(numbered(i));
        for (auto const& each : numbers) out.push_back({receiver->local(), each});
        auto const taken = shared[0]->send(out).value();
        CHECK(taken < out.size());
        CHECK(co_await receive_numbers(*receiver, taken) == numbers_up_to(static_cast<std::uint32_t>(taken)));
        CHECK(shared[0]->send(out).value() == taken);  // it has not grown
        CHECK(co_await receive_numbers(*receiver, taken) == numbers_up_to(static_cast<std::uint32_t>(taken)));

        byte_vector const large(net::datagram_bytes_max);
        std::vector<net::datagram> const many(1000, {receiver->local(), large});
        CHECK(shared[0]->send(many).value() < taken);  // bytes are bounded too
    });
}

TEST_CASE("a thread passes over what cannot be sent or received", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const shared = open_threads(env, 1);
        auto const other = open(env);
        byte_vector const huge(70'000), too_long(net::datagram_bytes_max + 1), longest(net::datagram_bytes_max);
        std::vector<net::datagram> out{{other->local(), huge},
                                       {{*ip_address::parse("2001:db8::1"), 9}, longest},  // from an IPv4 socket
                                       {other->local(), longest}};
        CHECK(shared[0]->send(out).value() == 3);
        std::vector<net::datagram> in(8);
        CHECK((co_await other->receive(in)).value() == 1);
        CHECK(in[0].bytes.size() == net::datagram_bytes_max);
        out = {{shared[0]->local(), too_long}, {shared[0]->local(), longest}};
        CHECK(other->send(out).value() == 2);
        CHECK((co_await shared[0]->receive(in)).value() == 1);
        CHECK(in[0].bytes.size() == net::datagram_bytes_max);
    });
}

TEST_CASE("a thread's datagrams leave others their turn", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        constexpr std::uint32_t count = 100;
        auto const shared = open_threads(env, 1);
        auto const sender = open(env);
        send_numbers(*sender, shared[0]->local(), 0, count);
        std::uint32_t turns = 0;
        auto const take_turns = [&]() -> net::task<void> {
            for (;; ++turns) co_await asio::post(asio::use_awaitable);
        };
        net::task_group group{co_await asio::this_coro::executor};
        std::vector<net::datagram> in(1);
        CHECK(co_await shared[0]->receive(in));
        group.spawn("others", take_turns());
        for (std::uint32_t i = 1; i < count; ++i) CHECK(co_await shared[0]->receive(in));
        CHECK(turns >= count / 2);
        group.cancel();
        co_await group.join();
    });
}

TEST_CASE("a socket with a thread ends in any state", "[net]") {
    SECTION("closed with traffic under way, while somebody receives") {
        on_machine([](net::environment& env) -> net::task<void> {
            for (int i = 0; i < 20; ++i) {
                auto const shared = open_threads(env, 2);
                auto const at = shared[0]->local();
                std::set<endpoint> senders;
                net::task_group group{co_await asio::this_coro::executor};
                for (auto const& each : shared) group.spawn("echo", echo(*each, senders));
                auto const client = open(env);
                send_numbers(*client, at, 0, 200);
                CHECK((co_await receive_numbers(*client, 1)).size() >= 1);
                send_numbers(*client, at, 0, 200);
                for (auto const& each : shared) each->close();
                co_await group.join();
                CHECK(shared[0]->send({}).error() == net::errc::closed);
                std::vector<net::datagram> in(8);
                CHECK((co_await shared[0]->receive(in)).error() == net::errc::closed);
                CHECK(env.network.open_datagram(at));  // nobody has the address any more
            }
        });
    }
    SECTION("destroyed with nothing to do, and never used") {
        on_machine([](net::environment& env) -> net::task<void> {
            for (int i = 0; i < 20; ++i) CHECK(open_threads(env, 3).size() == 3);
            co_return;
        });
    }
    SECTION("destroyed with more to receive than it has room for, and a notice on its way") {
        on_machine([](net::environment& env) -> net::task<void> {
            auto shared = open_threads(env, 1);
            auto const sender = open(env);
            send_numbers(*sender, shared[0]->local(), 0, 400);
            std::vector<net::datagram> in(8);
            CHECK(co_await shared[0]->receive(in));
            shared.clear();
            co_await asio::post(asio::use_awaitable);
        });
    }
    SECTION("what was taken before it was closed is sent") {
        on_machine([](net::environment& env) -> net::task<void> {
            auto const receiver = open(env);
            auto const shared = open_threads(env, 1);
            send_numbers(*shared[0], receiver->local(), 0, 100);
            shared[0]->close();
            CHECK(co_await receive_numbers(*receiver, 100) == numbers_up_to(100));
        });
    }
}

TEST_CASE("who was cancelled while waiting for a thread can receive again", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const shared = open_threads(env, 1);
        auto const receiver = [&]() -> net::task<void> { co_await receive_numbers(*shared[0], 1); };
        net::task_group group{co_await asio::this_coro::executor};
        group.spawn("cancelled", receiver());
        co_await asio::post(asio::use_awaitable);
        group.cancel();
        co_await group.join();
        auto const sender = open(env);
        send_numbers(*sender, shared[0]->local(), 0, 1);
        CHECK(co_await receive_numbers(*shared[0], 1) == numbers_up_to(1));
    });
}

TEST_CASE("threads take no address that somebody has, nor give theirs away", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const taken = open(env);
        CHECK(env.network.open_datagram_threads(taken->local(), 2).error() == std::errc::address_in_use);
        auto const shared = open_threads(env, 2);
        auto const at = shared[0]->local();
        CHECK(env.network.open_datagram(at).error() == std::errc::address_in_use);
        CHECK(env.network.open_datagram_threads(at, 2).error() == std::errc::address_in_use);
        CHECK(env.network.open_datagram_threads(at, 1).error() == std::errc::address_in_use);
        co_return;
    });
}

TEST_CASE("a network without threads opens one socket for any number of them", "[net]") {
    testing::simulation sim{7};
    auto const shared = sim.host(0).network.open_datagram_threads({{}, 7}, 4).value();
    REQUIRE(shared.size() == 1);
    CHECK(shared[0]->local().port == 7);
    CHECK(sim.host(0).network.open_datagram_threads({{}, 7}, 4).error() == std::errc::address_in_use);
}
