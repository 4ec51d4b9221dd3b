module;
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <list>
#include <string>
#include <string_view>

export module shoal.net:task;
import shoal.asio;
import shoal.core;

export namespace shoal::net {
/// A coroutine. It starts when awaited or spawned; cancelled, it throws `operation_aborted` at its next `co_await`.
template <class T>
using task = asio::awaitable<T>;

/// Tells one waiting task that there is something to do. A notice given before the wait is kept, several are one.
///
/// One waiter at a time. All calls come from the executor it was made with.
class signal {
public:
    explicit signal(asio::any_io_executor const& executor);

    /// Wakes the waiter, or lets the next wait return at once.
    void notify();
    /// Returns when notified since the last wait.
    task<void> wait();
    /// Takes a kept notice without waiting; false when there is none.
    bool take() noexcept;

    // For makers of clocks.
    /// Sleeps until `wake`, `notify`, the system's time `until`, or cancellation; the caller looks which it was.
    task<void> park(time_point until = time_point::max());
    /// Ends a `park` without a notice.
    void wake();

private:
    asio::steady_timer timer_;
    bool raised_ = false;
};

/// Owns tasks: cancels them, and waits for their end. All calls come from its executor.
///
///     task_group sessions{executor};
///     sessions.spawn("session 192.0.2.1:6881", run_session(...));
///     ...
///     sessions.cancel();
///     co_await sessions.join();
///
/// A cancelled owner cannot `co_await` any more: let `in_task_group` own the group where anything but `join` is
/// awaited between `spawn` and `join`.
class task_group {
public:
    explicit task_group(asio::any_io_executor executor);
    task_group(task_group const&) = delete;
    task_group& operator=(task_group const&) = delete;
    /// Every task must have ended.
    ~task_group();

    /// Starts `child` on the group's executor, not inside this call. `name` is for `on_failure`.
    void spawn(std::string name, task<void> child);
    /// Asks every task that was spawned so far to end. They run on until their next wait.
    void cancel();
    /// Returns when no task is left. When the awaiting task is cancelled meanwhile, the children are too, and the
    /// awaiting task gets its cancellation at its next `co_await`.
    task<void> join();

    std::size_t size() const noexcept { return children_.size(); }
    asio::any_io_executor const& executor() const noexcept { return executor_; }

    /// Told of an exception that escaped from a task, other than the cancellation. Only that task has ended.
    std::function<void(std::string_view name, std::exception_ptr const& why)> on_failure;

private:
    struct child {
        std::string name;
        asio::cancellation_signal cancelled;
    };
    void ended(std::list<child>::iterator which, std::exception_ptr const& why);

    asio::any_io_executor executor_;
    std::list<child> children_;
    signal emptied_;
};

/// Runs `body` with a group on the current executor; when the body returns, throws or is cancelled, the group is
/// cancelled and joined, and then the outcome of the body handed on. `body` and what it captures live until then.
task<void> in_task_group(std::function<task<void>(task_group&)> body);
}  // namespace shoal::net
