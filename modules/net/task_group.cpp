module;
#include <cassert>
#include <coroutine>
#include <exception>
#include <functional>
#include <iterator>
#include <list>
#include <string>
#include <utility>

module shoal.net;
import shoal.asio;
import shoal.core;

namespace shoal::net {
namespace {
// Started by a post: `spawn` returns before the child runs, and Asio 1.26 then never has to post for a cancelled one.
task<void> after_post(task<void> child) {
    co_await asio::post(asio::use_awaitable);
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
    asio::co_spawn(executor_, after_post(std::move(work)),
                   asio::bind_cancellation_slot(added.cancelled.slot(),
                                                [this, which](std::exception_ptr why) { ended(which, why); }));
}

void task_group::cancel() {
    for (auto at = children_.begin(); at != children_.end();) (at++)->cancelled.emit(asio::cancellation_type::terminal);
}

task<void> task_group::join() {
    // Throwing here would leave the children without an owner: a cancellation of the owner goes to them instead.
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!children_.empty()) {
        co_await emptied_.park();
        auto const state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) cancel();
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
}

void task_group::ended(std::list<child>::iterator which, std::exception_ptr const& why) {
    auto const name = std::move(which->name);
    children_.erase(which);
    if (why && !is_cancellation(why) && on_failure) on_failure(name, why);
    if (children_.empty()) emptied_.wake();
}

task<void> in_task_group(std::function<task<void>(task_group&)> body) {
    task_group group{co_await asio::this_coro::executor};
    std::exception_ptr failure;
    try {
        co_await body(group);
    } catch (...) {
        failure = std::current_exception();
    }
    group.cancel();
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await group.join();
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) std::rethrow_exception(failure);
}
}  // namespace shoal::net
