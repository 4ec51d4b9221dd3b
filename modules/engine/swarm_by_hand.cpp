module;
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
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
peer_session* swarm::session_at(endpoint const& at) const noexcept {
    auto const found = std::ranges::find_if(sessions_, [&](auto const* each) { return each && each->address() == at; });
    return found == sessions_.end() ? nullptr : *found;
}

peer_session* swarm::session_numbered(std::uint32_t number) const noexcept {
    auto const found =
        std::ranges::find_if(sessions_, [number](auto const* each) { return each && each->number == number; });
    return found == sessions_.end() ? nullptr : *found;
}

void swarm::news() {
    for (auto* each : waiting_) each->notify();
}

net::task<bool> swarm::comes_true(std::function<bool()> what, time_point until) {
    net::signal looked_at{node.home};
    struct registered {
        std::vector<net::signal*>& all;
        net::signal* self;
        ~registered() { std::erase(all, self); }
    } const while_here{waiting_, &looked_at};
    waiting_.push_back(&looked_at);
    while (!what()) {
        if (is_stopping_) co_return false;
        if (!co_await node.outside.clock.wait(looked_at, until)) co_return what();
    }
    co_return true;
}

void swarm::set_automatic(bool is_on) {
    if (std::exchange(is_automatic_, is_on) == is_on) return;
    picker.set_reserved_only(!is_on);
    if (!is_on || !was_checked_ || is_stopping_) return;
    for (auto& [at, known] : known_) known.try_at = {};  // also whom a person disconnected
    start_announcing();
    files_ready_.notify();
    call_peers();
    fill_all();
}

void swarm::start_announcing() {
    if (is_stopping_ || is_announcing_) return;
    auto& clock = node.outside.clock;
    try {
        for (auto& each : announcers_)
            announcing_.spawn_lasting("announce", clock, [&who = *each] { return who.run(); });
        if (is_public()) {
            telling_.spawn_lasting("announce to the DHT", clock, [this] { return dht_announcer_.run(); });
            telling_.spawn_lasting("announce locally", clock, [this] { return node.announce_locally(*this); });
            node.hear_of_nodes(content->nodes());
        }
    } catch (...) {  // all of them, or none
        announcing_.cancel();
        telling_.cancel();
        throw;
    }
    is_announcing_ = true;
}

net::task<void> swarm::stop_announcing() {
    if (is_stopping_ || !std::exchange(is_announcing_, false)) co_return;
    announcing_.cancel();
    telling_.cancel();
    co_await announcing_.join();
    co_await telling_.join();
    co_await net::uninterrupted(say_farewell());
}

/// Tells the trackers that know us that we leave.
net::task<void> swarm::say_farewell() {
    co_await net::in_task_group([this](net::task_group& farewells) -> net::task<void> {
        auto& clock = node.outside.clock;
        farewells.on_failure = node.settings.on_failure;
        for (auto& each : announcers_) farewells.spawn("farewell", each->farewell());
        co_await net::ends_before(clock, clock.now() + farewell_timeout, farewells.join());  // cancels what is late
    });
}

net::task<result<void>> swarm::connect_to(endpoint to) {
    SHOAL_CO_TRY(co_await when_checked());
    if (!is_running()) co_return error_ ? error_ : make_error_code(errc::stopped);
    if (session_at(to)) co_return errc::duplicate_peer;
    if (session_count_ + connecting_ >= options_.peers_max) co_return errc::too_many_peers;
    if (known_.size() >= known_peers_max && !known_.contains(to)) co_return errc::too_many_peers;
    auto& known = known_[to];
    if (known.is_banned) co_return errc::banned;
    auto const outcome = std::make_shared<std::optional<std::error_code>>();
    spawn("connect " + to.to_string(), connect(to, outcome));  // counts itself out; it has not begun yet
    known.is_busy = true;
    ++connecting_;

    auto const began = node.now();
    auto const is_over = [&] { return outcome->has_value() || session_at(to) != nullptr; };
    co_await comes_true(is_over, began + connect_timeout + handshake_timeout);
    if (is_stopping_) co_return errc::stopped;
    auto const* const session = session_at(to);
    if (!session) co_return *outcome && **outcome ? **outcome : make_error_code(errc::no_answer);
    auto const is_known = [this, number = session->number] {
        auto const* const now_there = session_numbered(number);
        return !now_there || (now_there->is_introduced() && now_there->has_told_pieces());
    };
    co_await comes_true(is_known, node.now() + introduction_patience);
    if (is_stopping_) co_return errc::stopped;
    if (*outcome && !session_at(to)) co_return **outcome ? **outcome : make_error_code(errc::not_connected);
    co_return success();
}

net::task<result<void>> swarm::disconnect(endpoint from) {
    auto* const session = session_at(from);
    if (!session) co_return errc::not_connected;
    auto const number = session->number;
    session->close(errc::disconnected);
    co_await comes_true([&] { return !session_numbered(number); }, node.now() + handshake_timeout);
    co_return success();
}

net::task<result<duration>> swarm::ping(endpoint to) {
    if (!session_at(to)) co_return errc::not_connected;
    auto const number = session_at(to)->number;
    auto const is_known = [&] {
        auto const* const session = session_numbered(number);
        return !session || session->is_introduced();
    };
    co_await comes_true(is_known, node.now() + introduction_patience);
    for (;;) {
        auto const* const session = session_numbered(number);
        if (!session || is_stopping_) co_return errc::not_connected;
        if (!session->answers_pings()) co_return errc::no_ping;
        if (session->next_ping <= node.now()) break;
        co_await node.outside.clock.sleep_until(session->next_ping);
    }
    auto const sent = session_numbered(number)->send_ping(node.now());
    auto const is_answered = [&] {
        auto const* const session = session_numbered(number);
        return !session || session->round_trip(sent);
    };
    co_await comes_true(is_answered, node.now() + ping_timeout);
    auto* const session = session_numbered(number);
    if (!session) co_return errc::not_connected;
    auto const trip = session->round_trip(sent);
    session->forget_ping(sent);
    if (!trip) co_return errc::no_answer;
    co_return *trip;
}

net::task<result<void>> swarm::fetch_piece(endpoint from, piece_index piece) {
    SHOAL_CO_TRY(co_await when_checked());
    if (!is_running()) co_return error_ ? error_ : make_error_code(errc::stopped);
    if (to_number(piece) >= picker.piece_count()) co_return errc::no_such_piece;
    if (picker.have().test(piece)) co_return errc::piece_is_held;
    if (!session_at(from)) co_return errc::not_connected;
    if (fetches_.contains(to_number(piece))) co_return errc::piece_is_busy;
    if (fetches_.size() >= fetches_max) co_return errc::too_many_fetches;

    struct registered {
        swarm& owner;
        piece_index piece;
        ~registered() {
            auto const number = owner.fetches_.at(to_number(piece)).session;
            owner.fetches_.erase(to_number(piece));
            owner.picker.release(piece);
            if (owner.picker.have().test(piece)) return;
            if (auto* session = owner.session_numbered(number)) session->cancel_piece(piece);
        }
    } const while_here{*this, piece};
    auto& under_way = fetches_[to_number(piece)];
    under_way.session = session_at(from)->number;
    under_way.heard = node.now();
    auto const offers = [&] {
        auto const* const session = session_numbered(under_way.session);
        return !session || picker.has(session->slot, piece) || session->has_told_pieces();
    };
    co_await comes_true(offers, session_at(from)->connected_since + introduction_patience);
    auto* const session = session_numbered(under_way.session);
    if (!session) co_return errc::not_connected;
    if (!picker.has(session->slot, piece)) co_return errc::piece_not_offered;
    picker.reserve(piece, session->slot);
    session->update_interest();
    session->fill();
    co_return co_await await_fetch(piece, under_way);
}

net::task<result<void>> swarm::await_fetch(piece_index piece, fetch& under_way) {
    auto const last = node.now() + fetch_patience + std::chrono::seconds{picker.needed_size(piece) / fetch_rate_min};
    for (;;) {
        auto const until = std::min<time_point>(under_way.heard + fetch_patience, last);
        if (co_await comes_true([&] { return under_way.outcome.has_value(); }, until)) break;
        if (is_stopping_) co_return errc::stopped;
        if (error_) co_return error_;
        if (node.now() < std::min<time_point>(under_way.heard + fetch_patience, last)) continue;
        auto const* const session = session_numbered(under_way.session);
        co_return session && session->core.is_choked() ? errc::choked : errc::no_answer;
    }
    if (*under_way.outcome) co_return *under_way.outcome;
    co_return success();
}

void swarm::fetch_heard(peer_session const& from, piece_index piece) {
    auto const at = fetches_.find(to_number(piece));
    if (at == fetches_.end()) return;
    at->second.heard = node.now();
    at->second.refusals = 0;
    if (!std::exchange(at->second.has_begun, true)) tell(event::download_began{from.address(), piece});
}

void swarm::fetch_ended(piece_index piece, std::error_code why) {
    auto const at = fetches_.find(to_number(piece));
    if (at == fetches_.end() || at->second.outcome) return;
    at->second.outcome = why;
    news();
}

/// The first failure may be another's doing, who sent some of the piece earlier. The second one is this peer's.
void swarm::fetch_failed_hash(piece_index piece) {
    auto const at = fetches_.find(to_number(piece));
    if (at != fetches_.end() && ++at->second.failures > 1) fetch_ended(piece, errc::piece_is_bad);
}

/// A peer may refuse what it was asked before it chokes; when it refuses everything twice it means it.
void swarm::request_refused(peer_session& from, block_ref block) {
    auto const at = fetches_.find(to_number(block.piece));
    if (at == fetches_.end() || at->second.session != from.number) return from.set_aside(block.piece);
    if (++at->second.refusals > 2 * picker.needed_blocks(block.piece)) fetch_ended(block.piece, errc::piece_refused);
}

void swarm::session_ended(std::uint32_t number, std::error_code why) {
    for (auto& [piece, under_way] : fetches_)
        if (under_way.session == number)
            fetch_ended(piece_index{piece}, why ? why : make_error_code(errc::not_connected));
}

net::task<result<void>> swarm::finish_file(std::uint32_t file) {
    SHOAL_CO_TRY(co_await when_checked());
    if (is_stopping_) co_return errc::stopped;
    auto const& files = content->content().files();
    if (file >= files.size() || files[file].pad || files[file].symlink) co_return errc::no_such_piece;
    auto const span = content->content().pieces_of(file);
    for (auto i = span.first; i < span.first + span.count; ++i)
        if (!picker.have().test(piece_index{i})) co_return errc::pieces_missing;
    for (auto i = span.first; i < span.first + span.count; ++i) {
        result<bool> right = false;
        co_await net::on_pool(workers, [&] { right = store->check_piece(piece_index{i}); });
        if (!right) co_return right.error();
        if (right.value()) continue;
        piece_lost(piece_index{i}, errc::pieces_missing);
        co_return errc::pieces_missing;
    }
    result<void> named = success();
    co_await net::on_pool(workers, [&] { named = store->complete_file(file); });
    if (!named || is_complete_ || !picker.complete()) co_return named;
    for (std::uint32_t i = 0; i < files.size(); ++i)
        if (!store->is_complete(i)) co_return success();
    finished();
    co_return success();
}
}  // namespace shoal::engine
