module;
#include <cassert>
#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <iterator>
#include <list>
#include <new>
#include <string>
#include <string_view>
#include <utility>

module shoal.net;
import shoal.asio;
import shoal.core;
import :waiting;

namespace shoal::net {
namespace {
using namespace std::chrono_literals;

/// Until work that an exception has ended is begun again: what other tasks hold may be free by then.
constexpr auto begin_again_after = 1s;

// Started by a post: `spawn` returns before the child runs, and Asio 1.26 then never has to post for a cancelled one.
task<void> after_post(task<void> child) {
    co_await asio::post(asio::deferred);
    co_await std::move(child);
}
}  // namespace

task_group::task_group(asio::any_io_executor executor) : executor_(std::move(executor)), emptied_(executor_) {}

task_group::~task_group() {
    assert(children_.empty() && "a task group is joined before it ends");
}

void task_group::spawn(std::string name, task<void> work) {
    auto& added = children_.emplace_back();
    added.name = std::move(name);
    auto const which = std::prev(children_.end());
    try {
        asio::co_spawn(executor_, after_post(std::move(work)),
                       asio::bind_cancellation_slot(added.cancelled.slot(),
                                                    [this, which](std::exception_ptr why) { ended(which, why); }));
    } catch (...) {  // it was not started, and nobody would be told of its end
        children_.erase(which);
        throw;
    }
}

void task_group::spawn_lasting(std::string name, clock& clock, std::function<task<void>()> work) {
    auto task_name = name;
    spawn(std::move(task_name), last(std::move(name), clock, std::move(work)));
}

task<void> task_group::last(std::string name, clock& clock, std::function<task<void>()> work) {
    for (;;) {
        std::exception_ptr why;
        try {
            co_await work();
            co_return;
        } catch (...) {
            why = std::current_exception();
        }
        if (is_cancellation(why)) std::rethrow_exception(why);
        tell(name, why);
        bool has_slept = false;
        try {
            co_await clock.sleep(begin_again_after);
            has_slept = true;
        } catch (std::bad_alloc const&) {}                    // not even for that
        if (!has_slept) co_await asio::post(asio::deferred);  // takes no frame, and lets the others run
    }
}

void task_group::cancel() {
    for (auto at = children_.begin(); at != children_.end();) (at++)->cancelled.emit(asio::cancellation_type::terminal);
}

task<void> task_group::join() {
    // Throwing here would leave the children without an owner: a cancellation of the owner goes to them instead.
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!children_.empty()) {
        handler_place place;
        if (!could_wait(co_await timer_wait(emptied_.timer_, place))) co_await asio::post(asio::deferred);
        auto const state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) cancel();
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
}

void task_group::ended(std::list<child>::iterator which, std::exception_ptr const& why) {
    auto const name = std::move(which->name);
    children_.erase(which);
    if (why && !is_cancellation(why)) tell(name, why);
    if (children_.empty()) emptied_.wake();
}

void task_group::tell(std::string_view name, std::exception_ptr const& why) noexcept {
    try {
        if (on_failure) on_failure(name, why);
    } catch (...) {}  // no memory to write that down either
}

task<void> in_task_group(std::function<task<void>(task_group&)> body) {
    task_group group{co_await asio::this_coro::executor};
    auto all_ended = group.join();  // what was spawned must be joined, whatever there is no memory for by then
    std::exception_ptr failure;
    try {
        co_await body(group);
    } catch (...) {
        failure = std::current_exception();
    }
    group.cancel();
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await std::move(all_ended);
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) std::rethrow_exception(failure);
}
}  // namespace shoal::net
