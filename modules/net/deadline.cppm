module;
#include <coroutine>
#include <functional>
#include <optional>
#include <utility>

export module shoal.net:deadline;
import shoal.asio;
import shoal.core;
import :error;
import :task;
import :seam;

namespace shoal::net {
template <class T>
task<void> keep_result(task<result<T>> inner, std::optional<result<T>>& out) {
    out.emplace(co_await std::move(inner));
}
}  // namespace shoal::net

export namespace shoal::net {
/// Runs `inner` and cancels it when `when` passes first. True when it ended by itself; what it throws is handed on.
/// Either way `inner` has ended on return.
task<bool> ends_before(clock& clock, time_point when, task<void> inner);

/// The result of `inner`, or `errc::timed_out` when `when` passes first; `inner` has then been cancelled and has ended.
template <class T>
task<result<T>> with_deadline(clock& clock, time_point when, task<result<T>> inner) {
    std::optional<result<T>> out;
    if (!co_await ends_before(clock, when, keep_result(std::move(inner), out))) co_return errc::timed_out;
    co_return std::move(*out);
}

/// Runs `inner` to its end even when the caller is cancelled meanwhile: its waits go on. The caller then gets its
/// cancellation at its next `co_await`.
task<void> uninterrupted(task<void> inner);

/// Runs `work` on the pool and returns on the caller's executor; an exception of the work is handed on.
///
/// Cancellation does not end it: what the work refers to stays alive until the work is done.
task<void> on_pool(worker_pool& pool, std::function<void()> work);
}  // namespace shoal::net
