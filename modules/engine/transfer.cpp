module;
#include <chrono>
#include <coroutine>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

module shoal.engine;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import :swarm;

namespace shoal::engine {
transfer::transfer(std::unique_ptr<swarm> work) noexcept : work_(std::move(work)) {}
transfer::~transfer() = default;

metainfo::torrent const& transfer::content() const noexcept {
    return *work_->content;
}
transfer_status transfer::status() const {
    return work_->status();
}
std::vector<peer_status> transfer::peers() const {
    return work_->peers();
}
net::task<result<void>> transfer::checked() {
    return work_->when_checked();
}
net::task<result<void>> transfer::completed() {
    return work_->when_completed();
}
void transfer::connect(std::vector<endpoint> const& peers) {
    work_->add_peers(peers);
}
net::task<void> transfer::stop() {
    return work_->stop();
}
}  // namespace shoal::engine
