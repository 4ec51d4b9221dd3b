module;
#include <coroutine>
#include <exception>
#include <functional>
#include <utility>

module shoal.net;
import shoal.asio;
import shoal.core;

namespace shoal::net {
namespace {
task<void> note_end(task<void> inner, std::exception_ptr& failure, signal& ended) {
    try {
        co_await std::move(inner);
    } catch (...) {
        failure = std::current_exception();
    }
    ended.notify();
}
}  // namespace

task<bool> ends_before(clock& clock, time_point when, task<void> inner) {
    std::exception_ptr failure;
    signal ended{co_await asio::this_coro::executor};
    bool in_time = false;
    co_await in_task_group([&](task_group& group) -> task<void> {
        group.spawn("inner", note_end(std::move(inner), failure, ended));
        in_time = co_await clock.wait(ended, when);
    });
    if (failure && (in_time || !is_cancellation(failure))) std::rethrow_exception(failure);
    co_return in_time;
}

task<void> uninterrupted(task<void> inner) {
    std::exception_ptr failure;
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        co_await std::move(inner);
    } catch (...) {
        failure = std::current_exception();
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) std::rethrow_exception(failure);
}

task<void> on_pool(worker_pool& pool, std::function<void()> work) {
    auto const executor = co_await asio::this_coro::executor;
    signal done{executor};
    std::exception_ptr failure;
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    // The executor is a copy: once the notice is posted, this frame may be gone.
    pool.run([&work, &failure, &done, executor] {
        try {
            work();
        } catch (...) {
            failure = std::current_exception();
        }
        asio::post(executor, [&done] { done.notify(); });
    });
    co_await done.wait();
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) std::rethrow_exception(failure);
}
}  // namespace shoal::net
