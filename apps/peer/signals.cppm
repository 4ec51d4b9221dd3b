module;
#include <stop_token>
#include <thread>

export module peer:signals;

namespace shoal::cli {
/// Turns SIGINT and SIGTERM into a stop request while it lives. Make it before other threads are started: they inherit
/// that the signals are blocked, and none is lost. For commands without an event loop.
class stop_on_signal {
public:
    stop_on_signal();
    std::stop_token token() const noexcept { return stop_.get_token(); }

private:
    std::stop_source stop_;
    std::jthread watch_;
};
}  // namespace shoal::cli
