module;
#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <stdexcept>
#include <utility>

module shoal.testing;
import shoal.asio;
import shoal.core;
import shoal.net;

namespace shoal::testing {
void on_machine(std::function<net::task<void>(net::environment&)> body, duration limit) {
    asio::io_context io;
    net::system_environment machine{io.get_executor(), 2};
    bool ended = false;
    std::exception_ptr failure;
    asio::co_spawn(io, body(machine.get()), [&](std::exception_ptr why) {
        ended = true;
        failure = std::move(why);
    });
    io.run_for(limit);
    if (failure) std::rethrow_exception(failure);
    if (!ended) throw std::runtime_error("the test did not end in time");
}
}  // namespace shoal::testing
