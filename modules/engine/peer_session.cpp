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
#include <new>
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

namespace shoal::engine {
namespace {
/// Under which ids peers send us the messages of extensions.
constexpr std::uint8_t own_ping_id = 1;
constexpr std::uint8_t own_metadata_id = 2;
constexpr std::uint8_t own_exchange_id = 3;

template <class... Handlers>
struct overloaded : Handlers... {
    using Handlers::operator()...;
};

std::uint32_t metadata_burst(metainfo::torrent const& of) {
    return static_cast<std::uint32_t>(2 * (of.info_bytes().size() / wire::metadata_piece_length + 1));
}

wire::settings conversation_settings(swarm const& owner, wire::handshake const& theirs) {
    auto const& pieces = owner.content->pieces();
    wire::settings settings;
    settings.piece_length = pieces.piece_length();
    settings.total_size = pieces.total_size();
    settings.fast = theirs.fast;
    settings.extensions = theirs.extensions;
    settings.copy = store::guarded_copy;
    return settings;
}
}  // namespace

peer_session::peer_session(swarm& owner, std::unique_ptr<net::stream> stream, wire::handshake const& theirs,
                           endpoint at, bool is_outgoing, picker::peer_slot at_slot)
    : number(owner.node.sessions_so_far++),
      slot(at_slot),
      remote(stream->remote()),
      network(share_holder_of(remote.address)),
      listens_at(at),
      id(theirs.id),
      outgoing(is_outgoing),
      core(conversation_settings(owner, theirs), owner.node.now()),
      connected_since(owner.node.now()),
      swarm_(owner),
      stream_(std::move(stream)),
      output_(owner.node.home),
      pings_answered_({pings_burst, pings_per_second}),
      metadata_sent_({metadata_burst(*owner.content), metadata_pieces_per_second}) {
    if (theirs.extensions) {
        wire::extension_handshake_message ours;
        ours.m.emplace(wire::ping_extension, own_ping_id);
        if (auto const size = owner.content->info_bytes().size(); size <= wire::metadata_size_max) {
            ours.m.emplace(wire::metadata_extension, own_metadata_id);
            ours.metadata_size = static_cast<std::uint32_t>(size);
        }
        if (owner.exchanges_peers()) ours.m.emplace(wire::exchange_extension, own_exchange_id);
        ours.v = owner.node.settings.client;
        if (owner.node.port != 0) ours.p = owner.node.port;
        ours.yourip = remote.address;
        ours.upload_only = owner.is_upload_only();
        core.extension_handshake(ours);
    }
    core.send_bitfield(owner.picker.have());
    if (auto const dht_port = owner.node.dht_port(remote.address); theirs.dht && dht_port != 0 && owner.is_public())
        core.port(dht_port);
}

net::task<std::error_code> peer_session::run() {
    std::optional<std::error_code> first;
    auto const note = [&first](net::task<std::error_code> loop) -> net::task<void> {
        auto const why = co_await std::move(loop);
        if (!first) first = why;
    };
    try {
        co_await net::until_one_ends(note(read()), note(write()));
    } catch (std::bad_alloc const&) {
        first = std::make_error_code(std::errc::not_enough_memory);
    }
    if (why_) co_return why_;
    co_return first.value_or(std::error_code{});
}

void peer_session::close(std::error_code why) {
    if (!why_) why_ = why;
    stream_->close();
    output_.notify();
}

choker::place peer_session::place(time_point now) const {
    choker::place held;
    held.id = number;
    held.network = network;
    held.is_useful = core.download_rate(now) + core.upload_rate(now) >= useful_rate;
    held.moved = downloaded + uploaded;
    held.since = connected_since;
    return held;
}

net::task<std::error_code> peer_session::read() {
    std::array<mutable_byte_view, places_per_receive> places;
    for (;;) {
        auto const allowance = swarm_.node.download.available(swarm_.node.now());
        if (allowance == 0) {
            co_await swarm_.node.outside.clock.sleep_until(
                swarm_.node.download.ready_at(block_length, swarm_.node.now()));
            continue;
        }
        auto count = core.prepare(places);
        // The core aims in the order of the requests, and at the block that is arriving already, whichever that is.
        for (std::size_t i = 0; i < std::min(pending_.size(), places_per_receive / 2 + 1); ++i)
            pending_[i].is_aimed = true;
        if (auto const arriving = core.arriving())
            if (auto const at = std::ranges::find(pending_, *arriving, &pending::block); at != pending_.end())
                at->is_aimed = true;
        // A limited rate is kept by reading less, so that the sender's TCP slows down.
        std::size_t room = 0;
        for (std::size_t i = 0; i < count; ++i) {
            room += places[i].size();
            if (room >= allowance) count = i + 1;
        }
        auto const got = co_await stream_->read_some(std::span<mutable_byte_view const>{places}.first(count));
        if (!got) co_return got.error();
        auto const now = swarm_.node.now();
        swarm_.node.download.take(got.value(), now);
        if (auto fed = core.commit(got.value(), now); !fed) co_return fed.error();
        retired_.clear();
        while (auto happened = core.next_event()) handle(*happened);
        fill();
        swarm_.settle();
        output_.notify();
    }
}

void peer_session::handle(wire::any_event& happened) {
    namespace event = wire::event;
    std::visit(overloaded{
                   [&](event::interested&) { swarm_.interest_changed(*this); },
                   [&](event::not_interested&) { swarm_.interest_changed(*this); },
                   [&](event::have& have) {
                       swarm_.picker.peer_has(slot, have.piece);
                       if (!is_planted("interest_not_told")) update_interest();
                   },
                   [&](event::has& has) {
                       has_told_pieces_ = true;
                       swarm_.picker.peer_has(slot, has.pieces);
                       update_interest();
                   },
                   [&](event::block& block) {
                       auto const bytes = swarm_.picker.needed_size(block.ref);
                       downloaded += bytes;
                       swarm_.picker.set_snubbed(slot, false);
                       swarm_.downloaded += bytes;
                       auto place = take_pending(block.ref);
                       if (place && block.direct)
                           swarm_.block_arrived(*this, block.ref, std::move(place->buffer));
                       else if (place)
                           swarm_.picker.returned(slot, block.ref);
                   },
                   [&](event::rejected& rejected) {
                       if (take_pending(rejected.ref) && !is_planted("rejected_not_returned"))
                           swarm_.picker.returned(slot, rejected.ref);
                       if (!core.is_choked()) swarm_.request_refused(*this, rejected.ref);
                       swarm_.retry_peers();
                   },
                   [&](event::snubbed&) {
                       swarm_.picker.set_snubbed(slot, true);
                       return_requests();
                   },
                   [&](event::requested&) { swarm_.node.uploads_waiting.notify(); },
                   [&](event::extension_handshake&) {
                       auto const& theirs = core.peer_extensions();
                       if (theirs.p && !outgoing && listens_at.port == 0) {
                           listens_at.port = *theirs.p;
                           swarm_.learned_address(*this);
                       }
                       introduce();
                       swarm_.interest_changed(*this);
                   },
                   [&](event::extension_message& message) {
                       if (message.id == own_ping_id) on_ping(message.payload);
                       if (message.id == own_metadata_id) on_metadata(message.payload);
                       if (message.id == own_exchange_id) on_exchange(message.payload);
                   },
                   [&](event::port& port) {
                       if (swarm_.is_public() && !std::exchange(has_told_port_, true))
                           swarm_.node.hear_of_nodes({{remote.address, port.number}});
                   },
                   [&](event::cancelled_upload&) {},  // already with the socket
                   [](auto&) {},                      // choked, unchoked: `fill` looks; the rest is of no use yet
               },
               happened);
}

void peer_session::update_interest() {
    bool const wanted = swarm_.wants_data() && swarm_.picker.is_interesting(slot);
    // While the disk fails nothing is asked for, and nothing taken back: it may work again soon.
    if (swarm_.is_running() && wanted != core.is_interested()) {
        if (wanted)
            core.interested();
        else
            core.not_interested();
        flush();
    }
    if (swarm_.drops_idle_peers() && swarm_.picker.complete() && swarm_.is_running() && is_seed())
        close(make_error_code(errc::not_needed));
}

void peer_session::fill() {
    try {
        ask_for_more();
    } catch (std::bad_alloc const&) {  // the picker may count on what was never asked for
        close(std::make_error_code(std::errc::not_enough_memory));
    }
}

void peer_session::ask_for_more() {
    if (!swarm_.wants_data() || core.is_choked()) return;
    auto const now = swarm_.node.now();
    auto const depth = core.is_snubbed() ? std::size_t{1} : core.pipeline_depth(now);
    auto const outstanding = core.outstanding();
    if (outstanding >= depth) return;
    auto const free_buffers =
        (receive_budget - std::min(receive_budget, swarm_.node.receiving.lent_bytes())) / block_length;
    auto const room = std::min({depth - outstanding, core.request_room(), free_buffers});
    if (room == 0) {
        swarm_.node.is_starved = swarm_.node.is_starved || free_buffers == 0;
        return;
    }
    bool const is_fast = depth * std::uint64_t{block_length} >= swarm_.content->pieces().piece_length();
    auto& chosen = swarm_.node.chosen;
    chosen.clear();
    swarm_.picker.pick(slot, room, is_fast, chosen);
    for (auto const block : chosen) {
        // Held before the wire knows the place, and with room to be retired: when memory runs out, nothing must be
        // written where nobody lent.
        if (auto const all = pending_.size() + retired_.size() + 1; all > retired_.capacity())
            retired_.reserve(2 * all);
        pending_.push_back({block, lent_buffer{swarm_.node.receiving}});
        auto const& buffer = pending_.back().buffer;
        if (buffer && core.request(block, buffer.bytes().first(block.length), now)) continue;
        pending_.pop_back();
        swarm_.picker.returned(slot, block);
    }
    if (!chosen.empty()) flush();
}

std::optional<peer_session::pending> peer_session::take_pending(block_ref block) {
    auto const at = std::ranges::find(pending_, block, &pending::block);
    if (at == pending_.end()) return std::nullopt;
    auto taken = std::move(*at);
    pending_.erase(at);
    return taken;
}

/// Gives a buffer back, after the read under way where that may still write to it. Takes no memory.
void peer_session::retire(pending entry) noexcept {
    if (entry.is_aimed) retired_.push_back(std::move(entry.buffer));
}

void peer_session::cancel(block_ref block) {
    auto entry = take_pending(block);
    if (!entry) return;
    if (!is_planted("cancel_leaves_request")) core.cancel(block);
    retire(std::move(*entry));
    flush();
}

void peer_session::cancel_piece(piece_index piece) {
    for (auto at = pending_.begin(); at != pending_.end();) {
        if (at->block.piece != piece) {
            ++at;
            continue;
        }
        core.cancel(at->block);
        swarm_.picker.returned(slot, at->block);
        retire(std::move(*at));
        at = pending_.erase(at);
    }
    flush();
}

/// BEP 6 lets a peer reject what it has, and not say for how long: another piece is asked for meanwhile, or the two
/// would exchange requests and rejects as fast as they can.
void peer_session::set_aside(piece_index piece) {
    if (!swarm_.picker.has(slot, piece)) return;
    set_aside_.push_back({piece, swarm_.node.now() + refused_piece_rest});
    swarm_.picker.peer_lost(slot, piece);
}

void peer_session::ask_again(time_point now) {
    if (set_aside_.empty() || now < set_aside_.front().until) return;
    for (; !set_aside_.empty() && set_aside_.front().until <= now; set_aside_.pop_front())
        swarm_.picker.peer_has(slot, set_aside_.front().piece);
    update_interest();
}

void peer_session::return_requests() {
    for (auto& entry : pending_) {
        core.forget(entry.block);
        swarm_.picker.returned(slot, entry.block);
        retire(std::move(entry));
    }
    pending_.clear();
    swarm_.retry_peers();
}

void peer_session::tick(time_point now) {
    if (now >= core.deadline()) {
        if (auto alive = core.wake(now); !alive) return close(alive.error());
        while (auto happened = core.next_event()) handle(*happened);
    }
    if (now - connected_since >= introduction_patience) introduce();
    ask_again(now);
    tell_of_peers(now);
    fill();
    flush();
}

}  // namespace shoal::engine
