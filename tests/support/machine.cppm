module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <functional>

export module shoal.testing:machine;
import shoal.asio;
import shoal.core;
import shoal.net;

export namespace shoal::testing {
/// Runs `body` on an event loop of its own with the machine's sockets, time and two worker threads, and returns when
/// it has ended. What it throws is thrown here; so is a `std::runtime_error` when it has not ended after `limit`.
void on_machine(std::function<net::task<void>(net::environment&)> body, duration limit = std::chrono::seconds{20});
}  // namespace shoal::testing
