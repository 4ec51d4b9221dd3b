module;
#include <chrono>
#include <coroutine>
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

#include <boost/container/deque.hpp>

module shoal.engine;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.store;
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
void transfer::serve_members_only() {
    work_->serve_members_only();
}
void transfer::keep_to_trackers() {
    work_->keep_to_trackers();
}
void transfer::connect(std::vector<endpoint> const& peers) {
    work_->add_peers(peers);
}
bool transfer::is_quiet() const noexcept {
    return work_->is_quiet();
}
bitfield const& transfer::have() const noexcept {
    return work_->picker.have();
}
bool transfer::is_durable() const {
    return work_->store && work_->store->is_durable();
}
std::vector<endpoint> transfer::known_peers() const {
    return work_->known_peers();
}
void transfer::learn_uploaded(std::vector<std::pair<endpoint, std::uint64_t>> const& told) {
    work_->learn_uploaded(told);
}
void transfer::set_automatic(bool is_on) {
    work_->set_automatic(is_on);
}
bool transfer::is_automatic() const noexcept {
    return work_->is_automatic();
}
bool transfer::is_announcing() const noexcept {
    return work_->is_announcing();
}
net::task<void> transfer::stop_announcing() {
    return work_->stop_announcing();
}
net::task<result<void>> transfer::connect_to(endpoint peer) {
    return work_->connect_to(peer);
}
net::task<result<void>> transfer::disconnect(endpoint peer) {
    return work_->disconnect(peer);
}
net::task<result<duration>> transfer::ping(endpoint peer) {
    return work_->ping(peer);
}
net::task<result<void>> transfer::fetch_piece(endpoint peer, piece_index piece) {
    return work_->fetch_piece(peer, piece);
}
net::task<result<void>> transfer::finish_file(std::uint32_t file) {
    return work_->finish_file(file);
}
net::task<void> transfer::stop() {
    return work_->stop();
}
}  // namespace shoal::engine
