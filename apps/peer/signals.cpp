module;
#include <pthread.h>
#include <signal.h>

#include <time.h>
#include <stop_token>
#include <thread>

module peer;

namespace shoal::cli {
stop_on_signal::stop_on_signal() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    watch_ = std::jthread([signals, source = stop_](std::stop_token ended) mutable {
        timespec const interval{.tv_sec = 0, .tv_nsec = 50'000'000};  // how late the end is noticed
        while (!ended.stop_requested())
            if (sigtimedwait(&signals, nullptr, &interval) > 0) source.request_stop();
    });
}
}  // namespace shoal::cli
