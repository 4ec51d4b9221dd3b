module;
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>

#include "core/canary.hpp"
#include "core/try.hpp"

module shoal.engine;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.picker;
import shoal.store;
import :transfer;
import :swarm;

namespace shoal::engine {
namespace {
picker::picker_settings picker_settings_for(node_state& node, metainfo::torrent const& content, bool is_sequential) {
    picker::picker_settings settings;
    settings.piece_length = content.pieces().piece_length();
    settings.total_size = content.pieces().total_size();
    settings.seed = node.outside.random.next();
    // Source: BEP 47: padding should not be asked for.
    settings.padding = content.content().padding();
    for (auto& bytes : settings.padding)
        if (bytes > padding_made_max) bytes = 0;
    settings.policy = is_sequential ? picker::order::sequential : picker::order::rarest_first;
    return settings;
}
}  // namespace

swarm::swarm(std::shared_ptr<node_state> owner, std::shared_ptr<metainfo::torrent const> what, transfer_options options)
    : keeps_node_(std::move(owner)),
      node(*keeps_node_),
      workers(node.outside.workers),
      content(std::move(what)),
      picker(picker_settings_for(node, *content, options.sequential)),
      options_(std::move(options)),
      tasks_(node.home),
      announcing_(node.home),
      telling_(node.home),
      checked_(node.home),
      completed_(node.home),
      files_ready_(node.home),
      stirred_(node.home),
      asked_for_(node.home),
      choker_({.slots = 0, .seed = node.outside.random.next()}),
      dht_announcer_(*this, true) {
    tasks_.on_failure = announcing_.on_failure = telling_.on_failure = node.settings.on_failure;
    if (options_.peers_max == 0) options_.peers_max = peers_max_default;
    is_automatic_ = !options_.by_hand;
    picker.set_reserved_only(!is_automatic_);
    auto const& layout = content->content();
    if (!options_.wanted_files.empty()) {
        options_.wanted_files.resize(layout.files().size());
        options_.storage.wanted_files = options_.wanted_files;
        std::vector<bool> wanted(content->pieces().piece_count(), false);
        for (std::uint32_t file = 0; file < layout.files().size(); ++file) {
            if (!options_.wanted_files[file]) continue;
            auto const span = layout.pieces_of(file);
            for (auto i = span.first; i < span.first + span.count; ++i) wanted[i] = true;
        }
        for (std::uint32_t i = 0; i < wanted.size(); ++i)
            if (!wanted[i]) picker.set_wanted(piece_index{i}, false);
    }
    bytes_wanted_ = picker.bytes_left();
    for (auto& tier : tiers_with(content->trackers(), options_.trackers))
        announcers_.push_back(std::make_unique<announcer>(*this, std::move(tier), options_.trackers));
    add_peers(options_.connect);
    hear_of(options_.hearsay);
}

swarm::~swarm() = default;

std::vector<std::vector<std::string>> tiers_with(std::vector<std::vector<std::string>> tiers,
                                                 std::vector<std::string> const& given) {
    for (auto const& each : given) {
        bool is_known = false;
        for (auto& tier : tiers)
            for (auto& url : tier)
                if (announce::without_passkey(url) == announce::without_passkey(each)) {
                    if (announce::passkey_of(each)) url = each;
                    is_known = true;
                }
        if (!is_known) tiers.push_back({each});
    }
    return tiers;
}

announce::announce_request swarm::numbers() const {
    announce::announce_request numbers;
    numbers.torrent = content->swarm_hash();
    numbers.uploaded = uploaded;
    numbers.downloaded = downloaded;
    numbers.left = picker.bytes_left();
    return numbers;
}

void swarm::start() {
    spawn_lasting("start", &swarm::start_up);
}

void swarm::spawn(std::string name, net::task<void> work) {
    if (!is_stopping_) tasks_.spawn(std::move(name), std::move(work));
}

void swarm::spawn_lasting(std::string name, net::task<void> (swarm::*work)()) {
    if (!is_stopping_)
        tasks_.spawn_lasting(std::move(name), node.outside.clock, [this, work] { return (this->*work)(); });
}

void swarm::with_sessions(std::function<void(peer_session&)> const& what) {
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
        if (!sessions_[i]) continue;
        try {
            what(*sessions_[i]);
        } catch (std::bad_alloc const&) {
            sessions_[i]->close(std::make_error_code(std::errc::not_enough_memory));
        }
    }
}

net::task<void> swarm::stop() {
    while (is_winding_up_ && !has_stopped_) co_await checked_.wait();
    checked_.notify();  // whoever waits besides us
    if (has_stopped_) co_return;
    auto winding_up = net::uninterrupted(wind_up());
    is_stopping_ = true;
    co_await std::move(winding_up);
}

/// Where there is no memory for a step it ends with that, and can be begun again.
net::task<void> swarm::wind_up() {
    std::shared_ptr<transfer> self;  // until this call ends
    struct under_way {
        swarm& owner;
        explicit under_way(swarm& of) : owner(of) { owner.is_winding_up_ = true; }
        ~under_way() {
            owner.is_winding_up_ = false;
            owner.checked_.notify();
        }
    } const while_here{*this};
    tasks_.cancel();
    announcing_.cancel();
    telling_.cancel();
    stop_checking();
    news();
    co_await tasks_.join();
    co_await announcing_.join();
    co_await telling_.join();
    state_ = transfer_state::stopped;
    try {
        co_await say_farewell();
    } catch (std::bad_alloc const&) {}  // they forget us by themselves
    if (store) {
        // A download that is complete does not wait for the disk (docs/decisions/0006); what was only checked lies
        // there.
        auto const how = is_complete_ && options_.storage.writable ? store::closing::quick : store::closing::durable;
        co_await net::on_pool(workers, [this, how] { (void)store->close(how); });
    }
    has_stopped_ = true;
    self = node.release(*this);
    completed_.notify();
}

net::task<result<void>> swarm::when_checked() {
    while (!was_checked_ && !has_failed_for_good() && !has_stopped_) co_await checked_.wait();
    checked_.notify();  // whoever asks next gets the same answer
    if (was_checked_) co_return success();
    co_return has_failed_for_good() ? error_ : make_error_code(errc::stopped);
}

net::task<result<void>> swarm::when_completed() {
    while (!is_complete_ && !has_failed_for_good() && !has_stopped_) co_await completed_.wait();
    completed_.notify();
    if (is_complete_) co_return success();
    co_return has_failed_for_good() ? error_ : make_error_code(errc::stopped);
}

/// No waiting can mend it.
bool swarm::has_failed_for_good() const noexcept {
    return error_ && error_ != store::errc::no_space && !is(error_, condition::transient);
}

void swarm::tell(transfer_event const& happened) {
    if (options_.on_event) options_.on_event(happened);
}

transfer_status swarm::status() const {
    auto const now = node.now();
    transfer_status status;
    status.state = state_;
    status.error = error_;
    status.pieces_have = picker.have().count();
    status.pieces_total = picker.piece_count();
    status.pieces_checked = was_checked_ ? picker.piece_count() : pieces_checked();
    status.pieces_hashed = pieces_hashed_;
    status.bytes_total = bytes_wanted_;
    status.bytes_left = picker.bytes_left();
    status.downloaded = downloaded;
    status.uploaded = uploaded;
    status.wasted = wasted;
    status.failed_pieces = failed_pieces_;
    for (auto const* session : sessions_) {
        if (!session) continue;
        status.download_rate += session->core.download_rate(now);
        status.upload_rate += session->core.upload_rate(now);
    }
    status.peers = session_count_;
    status.peers_known = known_.size();
    return status;
}

std::vector<peer_status> swarm::peers() const {
    auto const now = node.now();
    std::vector<peer_status> all;
    for (auto const* session : sessions_) {
        if (!session) continue;
        auto const& core = session->core;
        peer_status peer;
        peer.remote = session->remote;
        peer.listens_at = session->listens_at;
        peer.client = core.peer_extensions().v.value_or("");
        peer.outgoing = session->outgoing;
        peer.choked_by = core.is_choked();
        peer.choking = core.is_choking();
        peer.interested = core.peer_is_interested();
        peer.interesting = core.is_interested();
        peer.downloaded = session->downloaded;
        peer.uploaded = session->uploaded;
        peer.download_rate = core.download_rate(now);
        peer.upload_rate = core.upload_rate(now);
        peer.pieces_have = core.peer_pieces().count();
        peer.pieces = core.peer_pieces();
        all.push_back(std::move(peer));
    }
    return all;
}

void swarm::settle() {
    while (!work_with_news_.empty()) {  // what there is no memory for is tried again at the next tick
        auto const piece = work_with_news_.back();
        if (auto const found = work_.find(to_number(piece)); found != work_.end()) {
            auto& work = *found->second;
            bool const is_lost = work.is_written && is_planted("wake_up_lost");
            if (!work.is_written) spawn("write piece", write_piece(piece, work));
            work.is_written = true;
            work.has_news = false;
            if (!is_lost) work.ready.notify();
        }
        work_with_news_.pop_back();
    }
    if (std::exchange(needs_refill_, false)) fill_all();
    news();
}

void swarm::fill_all() {
    std::vector<peer_session*> open;
    for (auto* session : sessions_)
        if (session) open.push_back(session);
    std::ranges::sort(open, [this](auto* a, auto* b) { return picker.serve_before(a->slot, b->slot); });
    for (auto* session : open) session->fill();
}

/// Padding is zeros and never on disk. Whatever a peer sends for it must not count: what is read back for a hash would
/// be right, and an honest peer would pass for a liar where the two are compared.
void swarm::blank_padding(block_ref block, mutable_byte_view bytes) const {
    auto const& layout = content->content();
    layout.for_each_range(content->pieces().offset_of(block), block.length, [&](metainfo::file_range const& range) {
        auto const here = bytes.first(range.length);
        if (layout.files()[range.file].pad) std::ranges::fill(here, std::byte{0});
        bytes = bytes.subspan(range.length);
    });
}

void swarm::block_arrived(peer_session& from, block_ref block, lent_buffer buffer) {
    if (is_stopping_) return;  // nobody would write it
    // All memory first: what the picker counts as received must not get lost.
    also_asked_.clear();
    also_asked_.reserve(sessions_.size());
    work_with_news_.reserve(work_with_news_.size() + 1);
    auto ready = work_.contains(to_number(block.piece)) ? nullptr : std::make_unique<piece_work>(node.home);
    bool const is_first = ready != nullptr;
    auto const at = work_.try_emplace(to_number(block.piece), std::move(ready)).first;
    auto& work = *at->second;
    bool is_wanted = false;
    try {
        if (work.arrived.size() == work.arrived.capacity()) work.arrived.reserve(2 * work.arrived.size() + 1);
        is_wanted = picker.received(from.slot, block, also_asked_).wanted;
    } catch (...) {
        if (is_first) work_.erase(at);
        throw;
    }
    if (is_wanted) {
        blank_padding(block, buffer.bytes().first(block.length));
        work.arrived.push_back({block, std::move(buffer), from.identity()});
        if (!std::exchange(work.has_news, true)) work_with_news_.push_back(block.piece);
        fetch_heard(from, block.piece);
    } else {
        wasted += block.length;
        if (is_first) work_.erase(at);
    }
    for (auto const other : also_asked_)
        if (auto* session = sessions_[picker::to_number(other)]; session && !is_planted("end_game_never_cancelled"))
            session->cancel(block);
    if (is_wanted && is_first && !fetches_.contains(to_number(block.piece)))
        tell(event::download_began{from.address(), block.piece});
}
}  // namespace shoal::engine
