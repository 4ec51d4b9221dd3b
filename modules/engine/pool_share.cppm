module;
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

module shoal.engine:pool_share;
import shoal.net;

namespace shoal::engine {
/// What one torrent takes of the node's pool: never all threads at once, unless there is one only. While its disk
/// stands still, and with it whatever was asked of that, the others have a thread (class L13).
class pool_share final : public net::worker_pool {
public:
    /// `of` outlives all that is run.
    explicit pool_share(net::worker_pool& of);
    ~pool_share() override;
    void run(std::function<void()> work) override;
    std::size_t size() const override;

private:
    struct queue {
        explicit queue(net::worker_pool& pool);
        net::worker_pool& of;
        std::size_t const running_max;
        std::mutex mutex;
        std::list<std::function<void()>> waiting;  // takes no memory while it is empty
        std::size_t running = 0;
    };
    static void run_next(std::shared_ptr<queue> const& in);
    std::shared_ptr<queue> const queue_;  // work may end after us
};
}  // namespace shoal::engine
