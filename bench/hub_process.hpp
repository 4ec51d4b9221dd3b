#pragma once
// A hub in a process of its own, so that its CPU and memory are its own. Include it last: it imports.
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

import shoal.asio;
import shoal.core;
import shoal.net;

namespace bench {
/// Begins it before this process has threads; ends it with this object.
class hub_process {
public:
    /// For `sessions_max` sessions, at a free port of 127.0.0.1.
    explicit hub_process(std::size_t sessions_max);
    hub_process(hub_process const&) = delete;
    hub_process& operator=(hub_process const&) = delete;
    ~hub_process();

    shoal::endpoint at() const noexcept { return at_; }
    std::chrono::duration<double> cpu() const;
    std::size_t anonymous_bytes() const;

private:
    pid_t process_ = 0;
    shoal::endpoint at_;
};

/// Reads the hub's stream of events until cancelled, as a page does; `heard` is given whatever has come.
shoal::net::task<void> watch(shoal::net::environment& outside, shoal::endpoint hub,
                             std::function<void(std::string_view)> heard);
}  // namespace bench
