module;
#include <algorithm>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

module shoal.engine;
import shoal.net;
import :pool_share;

namespace shoal::engine {
pool_share::queue::queue(net::worker_pool& pool) : of(pool), running_max(std::max<std::size_t>(2, pool.size()) - 1) {}

pool_share::pool_share(net::worker_pool& of) : queue_(std::make_shared<queue>(of)) {}
pool_share::~pool_share() = default;

std::size_t pool_share::size() const {
    return queue_->running_max;
}

void pool_share::run(std::function<void()> work) {
    std::lock_guard const lock{queue_->mutex};
    queue_->waiting.push_back(std::move(work));
    if (queue_->running == queue_->running_max) return;
    try {
        queue_->of.run([in = queue_] { run_next(in); });
    } catch (...) {  // no memory: who asked for it is told
        queue_->waiting.pop_back();
        throw;
    }
    ++queue_->running;
}

/// Does one work; before the next, others have their turn.
void pool_share::run_next(std::shared_ptr<queue> const& in) {
    for (;;) {
        std::function<void()> work;
        {
            std::lock_guard const lock{in->mutex};
            if (in->waiting.empty()) {  // another of us was quicker
                --in->running;
                return;
            }
            work = std::move(in->waiting.front());
            in->waiting.pop_front();
        }
        work();
        std::lock_guard const lock{in->mutex};
        if (in->waiting.empty()) {
            --in->running;
            return;
        }
        try {
            in->of.run([in] { run_next(in); });
            return;
        } catch (std::bad_alloc const&) {}  // then at once
    }
}
}  // namespace shoal::engine
