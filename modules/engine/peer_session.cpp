module;
#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
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
      listens_at(at),
      id(theirs.id),
      outgoing(is_outgoing),
      core(conversation_settings(owner, theirs), owner.node.now()),
      connected_since(owner.node.now()),
      swarm_(owner),
      stream_(std::move(stream)),
      output_(owner.node.home),
      pings_answered_({pings_burst, pings_per_second}, owner.node.now()),
      metadata_sent_({metadata_burst(*owner.content), metadata_pieces_per_second}, owner.node.now()) {
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
    using namespace asio::experimental::awaitable_operators;
    bool is_over = false;
    std::exception_ptr failure;
    // `||` would let the other loop run on when one throws.
    auto const first = [&](net::task<std::error_code> loop) -> net::task<std::error_code> {
        try {
            auto const why = co_await std::move(loop);
            is_over = true;
            co_return why;
        } catch (...) {
            if (!std::exchange(is_over, true)) failure = std::current_exception();
            co_return std::error_code{};
        }
    };
    auto const ended = co_await (first(read()) || first(write()));
    if (failure) std::rethrow_exception(failure);
    if (why_) co_return why_;
    co_return std::visit([](std::error_code why) { return why; }, ended);
}

void peer_session::close(std::error_code why) {
    if (!why_) why_ = why;
    stream_->close();
    output_.notify();
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
                       update_interest();
                   },
                   [&](event::has& has) {
                       has_told_pieces_ = true;
                       swarm_.picker.peer_has(slot, has.pieces);
                       update_interest();
                   },
                   [&](event::block& block) {
                       downloaded += block.ref.length;
                       swarm_.picker.set_snubbed(slot, false);
                       swarm_.downloaded += block.ref.length;
                       auto place = take_pending(block.ref);
                       if (place && block.direct)
                           swarm_.block_arrived(*this, block.ref, std::move(place->buffer));
                       else if (place)
                           swarm_.picker.returned(slot, block.ref);
                   },
                   [&](event::rejected& rejected) {
                       if (take_pending(rejected.ref)) swarm_.picker.returned(slot, rejected.ref);
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
                       if (swarm_.is_public()) swarm_.node.hear_of_nodes({{remote.address, port.number}});
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
    if (swarm_.drops_idle_peers() && swarm_.picker.complete() && swarm_.is_running() && swarm_.picker.is_seed(slot))
        close(make_error_code(errc::not_needed));
}

void peer_session::fill() {
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
        lent_buffer buffer{swarm_.node.receiving};
        if (buffer && core.request(block, buffer.bytes().first(block.length), now))
            pending_.push_back({block, std::move(buffer)});
        else
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

/// Gives a buffer back, after the read under way where that may still write to it.
void peer_session::retire(pending entry) {
    if (entry.is_aimed) retired_.push_back(std::move(entry.buffer));
}

void peer_session::cancel(block_ref block) {
    auto entry = take_pending(block);
    if (!entry) return;
    core.cancel(block);
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

void peer_session::introduce() {
    if (std::exchange(is_introduced_, true)) return;
    swarm_.tell(event::peer_introduced{address(), remote, outgoing});
    swarm_.news();
}

std::uint8_t peer_session::id_of(std::string_view extension) const {
    auto const& names = core.peer_extensions().m;
    auto const at = names.find(std::string{extension});
    return at == names.end() ? std::uint8_t{0} : at->second;
}

std::uint64_t peer_session::send_ping(time_point now) {
    auto const ping = swarm_.node.outside.random.next();
    pings_[ping] = {now, std::nullopt};
    next_ping = now + ping_interval;
    core.extension_message(id_of(wire::ping_extension), wire::encode(wire::ping_message{false, ping}));
    flush();
    return ping;
}

std::optional<duration> peer_session::round_trip(std::uint64_t ping) const {
    auto const at = pings_.find(ping);
    return at == pings_.end() ? std::nullopt : at->second.round_trip;
}

void peer_session::on_ping(byte_view payload) {
    auto const ping = wire::parse_ping(payload);
    if (!ping) return;
    auto const now = swarm_.node.now();
    if (ping->is_answer) {
        if (auto const at = pings_.find(ping->number); at != pings_.end() && !at->second.round_trip)
            at->second.round_trip = now - at->second.sent;
        return;
    }
    auto const theirs = id_of(wire::ping_extension);
    if (theirs == 0 || !pings_answered_.take(now)) return;
    core.extension_message(theirs, wire::encode(wire::ping_message{true, ping->number}));
    swarm_.tell(event::ping_received{address()});
}

/// Somebody who has a magnet link alone asks for a piece of the info dictionary. Source: BEP 9.
void peer_session::on_metadata(byte_view payload) {
    using kind = wire::metadata_message::kind;
    auto const asked = wire::parse_metadata_message(payload);
    auto const theirs = id_of(wire::metadata_extension);
    if (!asked || asked->what != kind::request || theirs == 0) return;
    auto const size = static_cast<std::uint32_t>(swarm_.content->info_bytes().size());
    bool const is_there = wire::metadata_piece_size(size, asked->piece) > 0;
    if (is_there && metadata_asked_.size() < metadata_asked_max && metadata_sent_.take(swarm_.node.now()))
        metadata_asked_.push_back(asked->piece);
    else
        core.extension_message(theirs, wire::encode(wire::metadata_message{kind::reject, asked->piece}));
    flush();
}

/// As much as the socket takes soon.
void peer_session::send_metadata() {
    while (!metadata_asked_.empty() && core.unsent_bytes() < send_watermark) {
        auto const info = swarm_.content->info_bytes();
        wire::metadata_message answer{wire::metadata_message::kind::data, metadata_asked_.front()};
        answer.total_size = static_cast<std::uint32_t>(info.size());
        answer.data = info.subspan(std::size_t{answer.piece} * wire::metadata_piece_length,
                                   wire::metadata_piece_size(*answer.total_size, answer.piece));
        core.extension_message(id_of(wire::metadata_extension), wire::encode(answer));
        metadata_asked_.pop_front();
    }
}

void peer_session::on_exchange(byte_view payload) {
    auto const now = swarm_.node.now();
    if (now < exchange_due_) return;
    auto const said = wire::parse_exchange(payload);
    if (!said) return;
    exchange_due_ = now + exchange_heard_interval;
    swarm_.hear_of(said->added, remote.address);
}

/// Tells the peer who has come and gone since it was told last. Source: BEP 11.
void peer_session::tell_of_peers(time_point now) {
    auto const theirs = id_of(wire::exchange_extension);
    if (theirs == 0 || now < next_exchange_ || !swarm_.exchanges_peers()) return;
    wire::exchange_message news;
    std::set<endpoint> there;
    for (auto const* other : swarm_.sessions()) {
        if (!other || other == this || other->listens_at.port == 0) continue;
        auto const at = other->listens_at;
        if (at.address.is_local() && !remote.address.is_local()) continue;  // means something else there
        if (at.address.is_loopback() && !remote.address.is_loopback()) continue;
        there.insert(at);
        if (told_peers_.contains(at) || news.added.size() >= wire::exchanged_max) continue;
        news.added.push_back({at, swarm_.picker.is_seed(other->slot), other->outgoing});
    }
    for (auto at = told_peers_.begin(); at != told_peers_.end() && news.dropped.size() < wire::exchanged_max;) {
        if (there.contains(*at)) {
            ++at;
            continue;
        }
        news.dropped.push_back({*at});
        at = told_peers_.erase(at);
    }
    if (news.added.empty() && news.dropped.empty()) return;
    for (auto const& each : news.added) told_peers_.insert(each.at);
    next_exchange_ = now + wire::exchange_interval;
    core.extension_message(theirs, wire::encode(news));
}

void peer_session::upload_begins(piece_index piece) {
    if (std::ranges::find(told_uploads_, piece, &told_upload::piece) != told_uploads_.end()) return;
    if (told_uploads_.size() >= uploads_told_max) told_uploads_.erase(told_uploads_.begin());
    told_uploads_.push_back({piece});
    swarm_.tell(event::upload_began{address(), piece});
}

void peer_session::upload_goes_on(block_ref const& sent) {
    auto const at = std::ranges::find(told_uploads_, sent.piece, &told_upload::piece);
    if (at == told_uploads_.end()) return;
    at->sent += sent.length;
    if (at->sent < swarm_.content->pieces().piece_size(sent.piece)) return;
    told_uploads_.erase(at);
    swarm_.tell(event::upload_finished{address(), sent.piece});
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
    tell_of_peers(now);
    fill();
    flush();
}

net::task<std::error_code> peer_session::write() {
    std::array<byte_view, 2 * blocks_per_send + 2> runs;
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
        for (auto const done = core.blocks_sent(); sent_blocks_ < done; ++sent_blocks_) {
            auto const block = sending_.front().block;
            uploaded += block.length;
            swarm_.uploaded += block.length;
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
        if (swarm_.picker.have().test(block->piece)) {
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
            sending_.push_back({std::move(resident->keep), {}, *block});
            upload_begins(block->piece);
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

bool peer_session::is_served_by_seed() const noexcept {
    return swarm_.is_upload_only();
}

std::optional<choker::waiting_peer> peer_session::waiting() const {
    if (uploads_queued() <= granted_ || core.unsent_bytes() >= send_watermark_limited) return std::nullopt;
    auto const& pieces = swarm_.content->pieces();
    choker::waiting_peer self;
    self.id = number;
    self.progress = std::max(std::uint64_t{core.peer_pieces().count()} * pieces.piece_length(), uploaded);
    self.is_in_run =
        last_upload_.length > 0 && last_upload_.begin + last_upload_.length < pieces.piece_size(last_upload_.piece);
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
    if (jobs.empty()) co_return;
    auto& store = *swarm_.store;
    co_await net::on_pool(swarm_.node.outside.workers, [&] {
        for (auto& each : jobs) each.read = store.read(each.block, each.buffer.bytes().first(each.block.length));
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
        sending_.push_back({nullptr, std::move(each.buffer), each.block});
        upload_begins(each.block.piece);
    }
}
}  // namespace shoal::engine
