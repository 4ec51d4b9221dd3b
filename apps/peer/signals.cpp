module;
#include <pthread.h>
#include <signal.h>

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
        // The end is told by a signal to this thread alone: who is ready does not wait for it.
        std::stop_callback const wake{ended, [self = pthread_self()] { pthread_kill(self, SIGTERM); }};
        int which = 0;
        while (sigwait(&signals, &which) == 0 && !ended.stop_requested()) source.request_stop();
    });
}
}  // namespace shoal::cli
