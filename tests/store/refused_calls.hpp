#pragma once
// System calls that fail when a test says so: on one thread, by a seccomp filter, which ends with that thread.
#include <catch2/catch.hpp>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>

namespace fixture {
/// Which calls fail, and how; of those with `argument` 0 to 5, only where its low half is `value`.
struct refused_call {
    std::uint32_t number = 0;
    std::uint32_t error = 0;
    int argument = -1;
    std::uint32_t value = 0;
};

/// Not the private ones, of which the heap and the stacks are made.
inline refused_call shared_mappings(int error) {
    return {SYS_mmap, static_cast<std::uint32_t>(error), 3, MAP_SHARED};
}

/// Runs `body` on a thread of its own, on which the call fails. False, and nothing was run, where filters are not
/// permitted.
inline bool with_refused_call(refused_call const& which, std::function<void()> const& body) {
    bool has_run = false;
    std::thread{[&] {
        auto const argument = static_cast<std::uint32_t>(offsetof(seccomp_data, args)) +
                              8U * static_cast<std::uint32_t>(which.argument < 0 ? 0 : which.argument);
        auto const wanted = which.argument < 0 ? 0U : 1U;  // 0: whatever the argument is
        std::array<sock_filter, 6> steps{{
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, which.number, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, which.value, 0, static_cast<std::uint8_t>(wanted)),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | which.error),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        }};
        sock_fprog const filter{static_cast<unsigned short>(steps.size()), steps.data()};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
            return;
        has_run = true;
        body();
    }}.join();
    if (!has_run) WARN("no seccomp filter is permitted: this is not tested");
    return has_run;
}
}  // namespace fixture
