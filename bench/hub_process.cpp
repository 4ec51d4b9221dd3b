#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "hub_process.hpp"

import shoal.hub;

using namespace shoal;

namespace bench {
namespace {
/// The child: serves until it is killed.
[[noreturn]] void serve(std::size_t sessions_max, int port_to) {
    asio::io_context io{1};
    net::system_environment outside{io.get_executor(), 1};
    hub::settings how;
    how.nodes.sessions_max = sessions_max;
    how.http.connections = how.http.connections_per_address = 2 * sessions_max + 1000;
    hub::hub tracker{outside.get(), how};
    auto const bound = tracker.listen(*endpoint::parse("127.0.0.1:0"));
    if (!bound || write(port_to, &bound.value().port, sizeof(std::uint16_t)) != sizeof(std::uint16_t)) _exit(1);
    asio::co_spawn(io, tracker.run(), [](std::exception_ptr const&, std::error_code) { _exit(1); });
    io.run();
    _exit(1);
}
}  // namespace

hub_process::hub_process(std::size_t sessions_max) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    process_ = fork();
    if (process_ < 0) std::abort();
    if (process_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(sessions_max, ends[1]);
    }
    close(ends[1]);
    std::uint16_t port = 0;
    if (read(ends[0], &port, sizeof port) != sizeof port) std::abort();
    close(ends[0]);
    at_ = {*ip_address::parse("127.0.0.1"), port};
}

hub_process::~hub_process() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
}

std::chrono::duration<double> hub_process::cpu() const {
    std::ifstream in{"/proc/" + std::to_string(process_) + "/stat"};
    std::string word;
    std::uint64_t user = 0, system = 0;
    for (int i = 1; i < 14; ++i) in >> word;  // the name has no blanks
    in >> user >> system;
    return std::chrono::duration<double>{static_cast<double>(user + system) /
                                         static_cast<double>(sysconf(_SC_CLK_TCK))};
}

std::size_t hub_process::anonymous_bytes() const {
    std::ifstream in{"/proc/" + std::to_string(process_) + "/status"};
    for (std::string word; in >> word;) {
        std::size_t kib = 0;
        if (word == "RssAnon:" && in >> kib) return kib * 1024;
    }
    return 0;
}

net::task<void> watch(net::environment& outside, endpoint hub, std::function<void(std::string_view)> heard) {
    auto const to = (co_await outside.network.connect(hub, std::nullopt)).value();
    std::string const request = "GET /api/v1/events HTTP/1.1\r\nHost: " + hub.to_string() + "\r\n\r\n";
    (void)co_await to->write_all(as_bytes(request));
    byte_vector place(256 * 1024);
    for (;;) {
        auto const count = co_await to->read_some(mutable_byte_view{place});
        if (!count) co_return;
        heard(as_text(byte_view{place}.first(count.value())));
    }
}
}  // namespace bench
