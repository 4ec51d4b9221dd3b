module;
#include <coroutine>
#include <exception>
#include <functional>
#include <utility>

module shoal.net;
import shoal.asio;
import shoal.core;
import :waiting;

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

task<void> until_one_ends(task<void> one, task<void> other) {
    std::exception_ptr of_one, of_other;
    signal ended{co_await asio::this_coro::executor};
    co_await in_task_group([&](task_group& group) -> task<void> {
        auto has_ended = ended.wait();
        group.spawn("one of two", note_end(std::move(one), of_one, ended));
        group.spawn("the other", note_end(std::move(other), of_other, ended));
        co_await std::move(has_ended);
    });
    for (auto const& failure : {of_one, of_other})
        if (failure && !is_cancellation(failure)) std::rethrow_exception(failure);
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
    auto is_done = done.wait();  // made before: once the pool has the work, this frame must be able to wait
    std::exception_ptr failure;
    // The executor is a copy: once the notice is posted, this frame may be gone.
    std::function<void()> job = [&work, &failure, &done, executor] {
        try {
            work();
        } catch (...) {
            failure = std::current_exception();
        }
        post_from_thread(executor, [&done] { done.notify(); });
    };
    pool.run(std::move(job));
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await std::move(is_done);
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) std::rethrow_exception(failure);
}
}  // namespace shoal::net
