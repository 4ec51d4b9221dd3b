module;
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <system_error>

module shoal.store;
import shoal.core;

namespace shoal::store {
namespace {
struct guarded_range {
    sigjmp_buf resume;
    std::uintptr_t low = 0;
    std::uintptr_t high = 0;
};
// Read by the handler, which runs on the thread that faulted.
thread_local guarded_range* volatile current = nullptr;
struct sigaction previous_handler{};

void on_bus_error(int signal_number, siginfo_t* info, void* context) {
    auto const address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    auto* const guard = current;
    if (info->si_code > 0 && guard != nullptr && address >= guard->low && address < guard->high) {
        pthread_sigmask(SIG_SETMASK, &static_cast<ucontext_t*>(context)->uc_sigmask, nullptr);
        siglongjmp(guard->resume, 1);
    }
    if ((previous_handler.sa_flags & SA_SIGINFO) != 0) {
        previous_handler.sa_sigaction(signal_number, info, context);
    } else if (previous_handler.sa_handler != SIG_DFL && previous_handler.sa_handler != SIG_IGN) {
        previous_handler.sa_handler(signal_number);
    } else {
        // Returns, faults again and dies at the right instruction.
        signal(SIGBUS, SIG_DFL);
    }
}

struct copy_job {
    std::byte* to;
    std::byte const* from;
    std::size_t size;
};
void copy(void* context) {
    auto const& job = *static_cast<copy_job const*>(context);
    std::memmove(job.to, job.from, job.size);
}

// Not inlined: the variables of the caller then live in memory that siglongjmp leaves alone.
[[gnu::noinline]] bool run_guarded(std::uintptr_t low, std::uintptr_t high, void (*work)(void*),
                                   void* context) noexcept {
    guarded_range guard;
    guard.low = low;
    guard.high = high;
    guarded_range* const volatile outer = current;
    // 0: the mask is not saved, which spares a system call; the handler restores it.
    if (sigsetjmp(guard.resume, 0) != 0) {
        current = outer;
        return false;
    }
    current = &guard;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    work(context);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    current = outer;
    return true;
}
}  // namespace

void install_bus_guard() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction handler{};
        handler.sa_sigaction = on_bus_error;
        handler.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        sigemptyset(&handler.sa_mask);
        if (sigaction(SIGBUS, &handler, &previous_handler) != 0)
            throw std::system_error(errno, std::system_category(), "cannot handle SIGBUS");
    });
}

bool guarded(byte_view bytes, void (*work)(void*), void* context) noexcept {
    auto const low = reinterpret_cast<std::uintptr_t>(bytes.data());
    return run_guarded(low, low + bytes.size(), work, context);
}

bool guarded_copy(std::byte* to, std::byte const* from, std::size_t size) noexcept {
    copy_job job{to, from, size};
    // Either side may be the mapped one; nothing else is touched, so every fault is one of them.
    return run_guarded(0, UINTPTR_MAX, copy, &job);
}
}  // namespace shoal::store
