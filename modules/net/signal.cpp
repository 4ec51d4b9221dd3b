module;
#include <chrono>
#include <coroutine>
#include <utility>

module shoal.net;
import shoal.asio;
import shoal.core;
import :waiting;

namespace shoal::net {
signal::signal(asio::any_io_executor const& executor) : timer_(executor, time_point::max()) {}

void signal::notify() {
    raised_ = true;
    timer_.cancel();
}

task<void> signal::wait() {
    while (!take()) {  // after a cancellation the next co_await throws
        if (timer_.expiry() != time_point::max()) timer_.expires_at(time_point::max());
        handler_place place;
        if (could_wait(co_await timer_wait(timer_, place))) continue;
        co_await asio::post(asio::deferred);  // tried again after the others
    }
}

bool signal::take() noexcept {
    return std::exchange(raised_, false);
}

task<void> signal::park(time_point until) {
    if (timer_.expiry() != until) timer_.expires_at(until);
    handler_place place;
    if (could_wait(co_await timer_wait(timer_, place))) co_return;
    co_await asio::post(asio::deferred);  // as if woken: who waits looks
}

void signal::wake() {
    timer_.cancel();
}
}  // namespace shoal::net
