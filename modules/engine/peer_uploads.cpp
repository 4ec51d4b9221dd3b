module;
#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <boost/container/deque.hpp>

#include "core/canary.hpp"
#include "core/try.hpp"

module shoal.engine;
import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.picker;
import shoal.store;
import shoal.wire;
import :transfer;
import :swarm;

/// What goes out to a connected peer: the loop that writes, and the blocks that it asked for.
namespace shoal::engine {
net::task<std::error_code> peer_session::write() {
    std::array<byte_view, 2 * blocks_per_send> runs;
    for (;;) {
        send_metadata();
        co_await load_uploads();
        auto const count = core.unsent(runs);
        if (count == 0) {
            co_await output_.wait();
            continue;
        }
        auto const wrote = co_await stream_->write_some(std::span<byte_view const>{runs}.first(count));
        if (!wrote) co_return wrote.error();
        core.sent(wrote.value(), swarm_.node.now());
        if (!sending_.empty()) {
            last_sent = swarm_.node.now();
            idle_turns_ = 0;
        }
        for (auto const done = core.blocks_sent(); sent_blocks_ < done; ++sent_blocks_) {
            auto const block = sending_.front().block;
            auto const bytes = swarm_.picker.needed_size(block);
            uploaded += bytes;
            swarm_.uploaded += bytes;
            sending_.pop_front();
            upload_goes_on(block);
        }
        if (swarm_.node.is_upload_limited()) swarm_.node.uploads_waiting.notify();
    }
}

/// Whether the next block may go out now. A limited upload is handed out by `node_state::share_upload`.
bool peer_session::may_upload() const noexcept {
    return uploads_queued() > 0 && core.unsent_bytes() < send_watermark &&
           (!swarm_.node.is_upload_limited() || granted_ > 0);
}

/// The next block that the peer asked for and that we have.
std::optional<block_ref> peer_session::next_upload() {
    auto const next = [this]() -> std::optional<block_ref> {
        if (postponed_.empty()) return core.next_upload();
        auto const first = postponed_.front();
        postponed_.pop_front();
        return first;
    };
    while (auto const block = next()) {
        if (swarm_.picker.have().test(block->piece) || is_planted("served_before_verified")) {
            if (granted_ > 0) --granted_;
            last_upload_ = *block;
            return block;
        }
        core.reject(*block);
    }
    return std::nullopt;
}

/// Hands blocks that the peer asked for to the core, up to the watermark.
net::task<void> peer_session::load_uploads() {
    std::vector<block_ref> absent;
    while (may_upload()) {
        auto const block = next_upload();
        if (!block) break;
        if (auto resident = swarm_.store->view(*block)) {
            core.send_block(*block, resident->bytes);
            sending_.push_back({std::move(resident->keep), {}, *block, swarm_.node.now()});
            upload_begins(*block);
            continue;
        }
        // The pool brings it in, and what the peer asked for after it: one trip for many blocks.
        absent.assign(1, *block);
        while (absent.size() < blocks_per_disk_read && may_upload()) {
            auto const next = next_upload();
            if (!next) break;
            absent.push_back(*next);
        }
        co_await send_from_disk(absent);
        if (!postponed_.empty()) break;  // our own buffers come back as they are sent, those of others by the next tick
    }
}

/// It may ask, and has not, or does not read what it asked for. Who waits for its turn of a limited upload is not idle.
bool peer_session::is_idle(time_point now) const {
    return !core.is_choking() && now - std::max(last_unchoked, last_sent) >= choker::slot_kept_for &&
           (uploads_queued() == 0 || core.unsent_bytes() > 0);
}

bool peer_session::sits_on_buffers(time_point now) const {
    return !sending_.empty() && sending_.front().buffer &&
           now - std::max(sending_.front().since, last_sent) >= buffers_kept_for;
}

void peer_session::note_idle(time_point now) {
    ++idle_turns_;
    idle_noted_ = now;
}

std::uint32_t peer_session::idle_turns(time_point now) {
    if (idle_turns_ > 0 && now - idle_noted_ >= choker::idle_forgotten_after) {
        idle_turns_ /= 2;
        idle_noted_ = now;
    }
    return idle_turns_;
}

bool peer_session::is_served_by_seed() const noexcept {
    return swarm_.is_upload_only();
}

std::optional<choker::waiting_peer> peer_session::waiting() const {
    if (uploads_queued() <= granted_ || core.unsent_bytes() >= send_watermark_limited) return std::nullopt;
    choker::waiting_peer self;
    self.id = number;
    self.network = network;
    self.progress =
        std::max(std::uint64_t{core.peer_pieces().count()} * swarm_.content->pieces().piece_length(), uploaded);
    self.is_in_run = last_upload_.length > 0 &&
                     last_upload_.begin + last_upload_.length < swarm_.picker.needed_size(last_upload_.piece);
    if (auto const next = postponed_.empty() ? core.peek_upload() : postponed_.front())
        self.copies = swarm_.picker.availability(next->piece);
    return self;
}

net::task<void> peer_session::send_from_disk(std::span<block_ref const> blocks) {
    struct job {
        block_ref block;
        lent_buffer buffer;
        result<void> read = success();
    };
    std::vector<job> jobs;
    for (auto const& block : blocks) {
        lent_buffer buffer{swarm_.node.sending};
        if (buffer) {
            jobs.push_back({block, std::move(buffer)});
        } else {
            postponed_.push_back(block);
            if (swarm_.node.is_upload_limited()) ++granted_;  // what it was granted stays so
        }
    }
    if (!postponed_.empty()) swarm_.node.free_send_buffers();
    if (jobs.empty()) co_return;
    auto& store = *swarm_.store;
    co_await net::on_pool(swarm_.workers, [&] {
        for (auto& each : jobs) {
            each.read = store.read(each.block, each.buffer.bytes().first(each.block.length));
            // It may have been given up a moment ago, which the picker hears of later.
            if (each.read && !store.is_held(each.block.piece) && !is_planted("served_before_verified"))
                each.read = store::errc::doubtful_piece;
        }
    });
    for (auto& each : jobs) {
        if (!each.read && is(each.read.error(), condition::transient)) {
            postponed_.push_back(each.block);  // it may be there at the next tick
            if (swarm_.node.is_upload_limited()) ++granted_;
            continue;
        }
        if (!each.read) {
            core.reject(each.block);
            swarm_.content_failed(each.block.piece, each.read.error());
            continue;
        }
        core.send_block(each.block, each.buffer.bytes().first(each.block.length));
        sending_.push_back({nullptr, std::move(each.buffer), each.block, swarm_.node.now()});
        upload_begins(each.block);
    }
}

/// Of a piece. Others may ask for its padding as well, which tells nobody anything.
void peer_session::upload_begins(block_ref const& block) {
    if (swarm_.picker.needed_size(block) == 0) return;
    if (std::ranges::find(told_uploads_, block.piece, &told_upload::piece) != told_uploads_.end()) return;
    if (told_uploads_.size() >= uploads_told_max) told_uploads_.erase(told_uploads_.begin());
    told_uploads_.push_back({block.piece});
    swarm_.tell(event::upload_began{address(), block.piece});
}

void peer_session::upload_goes_on(block_ref const& sent) {
    auto const at = std::ranges::find(told_uploads_, sent.piece, &told_upload::piece);
    if (at == told_uploads_.end()) return;
    at->sent += swarm_.picker.needed_size(sent);
    if (at->sent < swarm_.picker.needed_size(sent.piece)) return;
    told_uploads_.erase(at);
    swarm_.tell(event::upload_finished{address(), sent.piece});
}
}  // namespace shoal::engine
