#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
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
net::task<void> sleep_then(net::clock& clock, duration length, bool& reached) {
    co_await clock.sleep(length);
    reached = true;
}
net::task<void> fail(std::string why) {
    throw std::runtime_error(why);
    co_return;
}
net::task<result<int>> answer_after(net::clock& clock, duration length) {
    co_await clock.sleep(length);
    co_return 42;
}
net::task<result<int>> refuse() {
    co_return net::errc::closed;
}
net::task<result<int>> explode() {
    throw std::runtime_error("inside");
    co_return 0;
}
/// Sets a flag when it ends, however it ends.
struct at_end {
    bool& flag;
    ~at_end() { flag = true; }
};
net::task<void> own_children(net::environment& env, bool& started, bool& child_ended) {
    net::task_group group{co_await asio::this_coro::executor};
    auto const child = [](net::clock& clock, bool& ended) -> net::task<void> {
        at_end const mark{ended};
        co_await clock.sleep(1h);
    };
    group.spawn("child", child(env.clock, child_ended));
    started = true;
    co_await group.join();
}
}  // namespace

TEST_CASE("a task group starts its tasks after spawn has returned and joins when all have ended", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        net::task_group group{co_await asio::this_coro::executor};
        bool first = false, second = false;
        group.spawn("first", sleep_then(env.clock, 0ms, first));
        group.spawn("second", sleep_then(env.clock, 5ms, second));
        CHECK_FALSE(first);
        CHECK(group.size() == 2);
        co_await group.join();
        CHECK(first);
        CHECK(second);
        CHECK(group.size() == 0);
        co_await group.join();  // nothing left: at once
    });
}

TEST_CASE("a cancelled task group ends its tasks at their next wait", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        net::task_group group{co_await asio::this_coro::executor};
        bool reached = false, failed = false;
        group.on_failure = [&](std::string_view, std::exception_ptr const&) { failed = true; };
        for (int i = 0; i < 100; ++i) group.spawn("sleeper", sleep_then(env.clock, 1h, reached));
        SECTION("before they have started") {}
        SECTION("while they wait") {
            co_await env.clock.sleep(1ms);
        }
        group.cancel();
        co_await group.join();
        CHECK(group.size() == 0);
        CHECK_FALSE(reached);
        CHECK_FALSE(failed);
    });
}

TEST_CASE("an exception ends only its own task and is reported with the task's name", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        net::task_group group{co_await asio::this_coro::executor};
        std::string told;
        group.on_failure = [&](std::string_view name, std::exception_ptr const& why) {
            try {
                std::rethrow_exception(why);
            } catch (std::exception const& error) {
                told += std::string{name} + ": " + error.what();
            }
        };
        bool reached = false;
        group.spawn("bad", fail("reason"));
        group.spawn("good", sleep_then(env.clock, 5ms, reached));
        co_await group.join();
        CHECK(told == "bad: reason");
        CHECK(reached);
    });
}

TEST_CASE("work that is to last is begun again when an exception has ended it, until it returns", "[net]") {
    testing::simulation world{1};
    auto& clock = world.host(0).clock;
    net::task_group group{world.executor()};
    int told = 0, begun = 0;
    bool reached = false;
    group.on_failure = [&](std::string_view, std::exception_ptr const&) {
        ++told;
        throw std::bad_alloc{};  // nobody to write that down for
    };
    group.spawn_lasting("lasting", clock,
                        [&] { return ++begun < 3 ? fail("no memory") : sleep_then(clock, 5ms, reached); });
    CHECK(world.run_until([&] { return group.size() == 0; }, 1min));
    CHECK(reached);
    CHECK(begun == 3);
    CHECK(told == 2);

    group.spawn_lasting("lasting", clock, [&] { return fail("no memory"); });
    world.run_for(10s);
    group.cancel();
    CHECK(world.run_until([&] { return group.size() == 0; }, 1s));
}

TEST_CASE("of two tasks the first to end takes the other with it, and its exception is handed on", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        bool first = false, second = false;
        co_await net::until_one_ends(sleep_then(env.clock, 1ms, first), sleep_then(env.clock, 1h, second));
        CHECK(first);
        CHECK_FALSE(second);
        std::string why;
        try {
            co_await net::until_one_ends(sleep_then(env.clock, 1h, second), fail("reason"));
        } catch (std::runtime_error const& error) {
            why = error.what();
        }
        CHECK(why == "reason");
    });
}

TEST_CASE("a join that is cancelled cancels the children and still waits for them", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        bool started = false, child_ended = false;
        net::task_group outer{co_await asio::this_coro::executor};
        outer.spawn("owner", own_children(env, started, child_ended));
        co_await env.clock.sleep(1ms);
        CHECK(started);
        CHECK_FALSE(child_ended);
        outer.cancel();
        co_await outer.join();
        CHECK(child_ended);
    });
}

TEST_CASE("a group's scope cancels and joins when its body returns, throws or is cancelled", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        bool ended = false;
        auto const child = [&]() -> net::task<void> {
            at_end const mark{ended};
            co_await env.clock.sleep(1h);
        };
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            group.spawn("child", child());
            co_await env.clock.sleep(1ms);
        });
        CHECK(ended);

        ended = false;
        bool caught = false;
        try {
            co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
                group.spawn("child", child());
                co_await env.clock.sleep(1ms);
                throw std::runtime_error("body");
            });
        } catch (std::runtime_error const&) {
            caught = true;
        }
        CHECK(caught);
        CHECK(ended);

        ended = false;
        auto const body = [&](net::task_group& group) -> net::task<void> {
            group.spawn("child", child());
            co_await env.clock.sleep(1h);
        };
        net::task_group outer{co_await asio::this_coro::executor};
        outer.spawn("scope", net::in_task_group(body));
        co_await env.clock.sleep(1ms);
        outer.cancel();
        co_await outer.join();
        CHECK(ended);
    });
}

TEST_CASE("a notice before the wait is kept, and several are one", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        net::signal signal{co_await asio::this_coro::executor};
        signal.notify();
        signal.notify();
        co_await signal.wait();
        CHECK_FALSE(signal.take());
        CHECK_FALSE(co_await env.clock.wait(signal, env.clock.now() + 1ms));
        signal.notify();
        CHECK(co_await env.clock.wait(signal, env.clock.now() - 1s));
        CHECK_FALSE(co_await env.clock.wait(signal, env.clock.now() - 1s));
    });
}

TEST_CASE("a notice wakes the waiter, and one that comes while it is being woken is not lost", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const executor = co_await asio::this_coro::executor;
        net::signal signal{executor};
        int woken = 0;
        auto const waiter = [&]() -> net::task<void> {
            for (;;) {
                co_await signal.wait();
                ++woken;
            }
        };
        net::task_group group{executor};
        group.spawn("waiter", waiter());
        co_await env.clock.sleep(1ms);
        signal.notify();
        co_await env.clock.sleep(1ms);
        CHECK(woken == 1);
        signal.notify();
        signal.notify();
        co_await env.clock.sleep(1ms);
        CHECK(woken == 2);
        group.cancel();
        co_await group.join();
    });
}

TEST_CASE("a deadline hands on the result, or cancels and says timed out", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto& clock = env.clock;
        auto const quick = co_await net::with_deadline(clock, clock.now() + 10s, answer_after(clock, 1ms));
        CHECK((quick && quick.value() == 42));
        auto const slow = co_await net::with_deadline(clock, clock.now() + 1ms, answer_after(clock, 1h));
        CHECK((!slow && slow.error() == net::errc::timed_out));
        CHECK(is(slow.error(), condition::transient));
        auto const refused = co_await net::with_deadline(clock, clock.now() + 10s, refuse());
        CHECK((!refused && refused.error() == net::errc::closed));
        auto const past = co_await net::with_deadline(clock, clock.now() - 1s, answer_after(clock, 1h));
        CHECK((!past && past.error() == net::errc::timed_out));
        bool caught = false;
        try {
            (void)co_await net::with_deadline(clock, clock.now() + 10s, explode());
        } catch (std::runtime_error const&) {
            caught = true;
        }
        CHECK(caught);
    });
}

TEST_CASE("work on the pool runs on another thread and its exception comes back", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const here = std::this_thread::get_id();
        std::thread::id there;
        co_await net::on_pool(env.workers, [&] { there = std::this_thread::get_id(); });
        CHECK(there != std::thread::id{});
        CHECK(there != here);
        CHECK(std::this_thread::get_id() == here);
        bool caught = false;
        try {
            co_await net::on_pool(env.workers, [] { throw std::runtime_error("work"); });
        } catch (std::runtime_error const&) {
            caught = true;
        }
        CHECK(caught);
    });
}

TEST_CASE("cancelling waits for work on the pool, so that what it refers to stays alive", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        bool done = false, after = false;
        auto const job = [&]() -> net::task<void> {
            co_await net::on_pool(env.workers, [&] {
                std::this_thread::sleep_for(20ms);
                done = true;
            });
            co_await env.clock.sleep(0ms);
            after = true;
        };
        net::task_group group{co_await asio::this_coro::executor};
        group.spawn("job", job());
        co_await env.clock.sleep(1ms);
        group.cancel();
        co_await group.join();
        CHECK(done);
        CHECK_FALSE(after);
    });
}

TEST_CASE("each net error has a sentence and a condition", "[net]") {
    for (int value = 1; value <= static_cast<int>(net::errc::http_redirects); ++value) {
        auto const code = net::make_error_code(static_cast<net::errc>(value));
        CHECK(code.message() != "unknown error");
        CHECK((is(code, condition::transient) || is(code, condition::peer_fault) || is(code, condition::local_fault)));
    }
}
