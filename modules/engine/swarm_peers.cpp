module;
#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
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
#include <vector>

#include <boost/container/deque.hpp>

#include "core/try.hpp"

module shoal.engine;
import shoal.asio;
import shoal.choker;
import shoal.core;
import shoal.dht;
import shoal.metainfo;
import shoal.net;
import shoal.picker;
import shoal.wire;
import :transfer;
import :swarm;

namespace shoal::engine {
class swarm::registration {
public:
    registration(swarm& owner, peer_session& session) : swarm_(owner), session_(session) {
        auto const number = picker::to_number(session.slot);
        if (swarm_.sessions_.size() <= number) swarm_.sessions_.resize(number + 1);
        swarm_.picker.add_peer(session.slot);
        swarm_.use_uploaded(session);
        swarm_.sessions_[number] = &session;
        ++swarm_.session_count_;
        swarm_.news();
    }
    registration(registration const&) = delete;
    registration& operator=(registration const&) = delete;
    ~registration() {
        swarm_.sessions_[picker::to_number(session_.slot)] = nullptr;
        --swarm_.session_count_;
        swarm_.picker.remove_peer(session_.slot);
        if (!session_.outgoing)
            if (auto known = swarm_.known_.find(session_.listens_at); known != swarm_.known_.end())
                known->second.is_busy = false;
        swarm_.retry_peers();
        swarm_.peers_changed();
        swarm_.news();
    }

private:
    swarm& swarm_;
    peer_session& session_;
};

/// Ticks and rounds of choking. Ends when nobody is there and nothing is to be had: a torrent at rest costs nothing.
net::task<void> swarm::keep_time() {
    for (auto tick = next_tick(node.now()); tick != time_point::max();) {
        auto const round = session_count_ > 0 ? choker_.deadline() : time_point::max();
        if (co_await node.outside.clock.wait(stirred_, std::min(tick, round)))
            tick = std::min(tick, next_tick(node.now()));
        auto const now = node.now();
        if (session_count_ > 0 && now >= choker_.deadline()) hold_choke_round(now);
        if (now < tick) continue;
        with_sessions([now](peer_session& each) { each.tick(now); });
        settle();
        connect_more(now);
        tick = next_tick(now);
    }
    keeps_time_ = false;
}

/// The end of time while at rest.
time_point swarm::next_tick(time_point now) const {
    auto const soon = now + tick_interval;
    if (session_count_ + connecting_ > 0 || wants_data() || !work_.empty() || !work_with_news_.empty()) return soon;
    auto next = time_point::max();
    if (!is_running() || !is_automatic_) return next;
    for (auto const& [at, known] : known_)
        if (!known.is_busy && !known.is_banned) next = std::min(next, std::max(known.try_at, soon));
    return next;
}

/// Something may be to do that was not before.
void swarm::stir() {
    if (keeps_time_) return stirred_.notify();
    if (work_begun_ == 0 || is_stopping_ || next_tick(node.now()) == time_point::max()) return;
    spawn_lasting("keep time", &swarm::keep_time);
    keeps_time_ = true;
}

/// Somebody came, left, or wants something else than before.
void swarm::peers_changed() {
    choker_.changed(node.now());
    if (keeps_time_) stirred_.notify();
}

void swarm::hold_choke_round(time_point now) {
    std::vector<choker::candidate> candidates;
    for (auto* session : sessions_) {
        if (!session) continue;
        auto const& core = session->core;
        choker::candidate each;
        each.id = picker::to_number(session->slot);
        each.network = session->network;
        each.is_interested = core.peer_is_interested();
        each.is_upload_only = session->is_seed() || core.peer_extensions().upload_only.value_or(false);
        each.is_unchoked = !core.is_choking();
        each.is_snubbed = core.is_snubbed();
        each.is_idle = session->is_idle(now);
        each.idle_turns = session->idle_turns(now);
        each.download_rate = static_cast<std::uint64_t>(core.download_rate(now));
        each.upload_rate = static_cast<std::uint64_t>(core.upload_rate(now));
        each.uploaded_total = session->uploaded;
        each.have_count = core.peer_pieces().count();
        each.connected_since = session->connected_since;
        each.last_unchoked = session->last_unchoked;
        candidates.push_back(each);
    }
    auto const chosen = choker_.round(candidates, is_upload_only(), node.settings.upload_limit, now);
    with_sessions([&](peer_session& session) {
        bool const serve = std::ranges::find(chosen, picker::to_number(session.slot)) != chosen.end();
        if (serve == !session.core.is_choking()) return;
        if (serve) {
            session.core.unchoke();
            session.last_unchoked = now;
        } else {
            if (session.core.peer_is_interested() && session.is_idle(now)) session.note_idle(now);
            session.core.choke();
        }
        session.flush();
    });
}

void swarm::interest_changed(peer_session& peer) {
    // A free slot is given at once: a swarm of newcomers should not wait for the next round.
    std::size_t served = 0;
    for (auto const* session : sessions_)
        if (session && !session->core.is_choking()) ++served;
    if (peer.core.peer_is_interested() && peer.core.is_choking() && is_giving() &&
        served < choker::slots_for(node.settings.upload_limit)) {
        peer.core.unchoke();
        peer.last_unchoked = node.now();
        peer.flush();
    }
    peers_changed();
}

void swarm::add_peers(std::vector<endpoint> const& peers) {
    for (auto const& each : peers) introduce(each.address);
    for (auto const& each : peers)
        if (!name(known_, each)) return;
    if (was_checked_ && !is_stopping_) call_peers();
}

void swarm::hear_of(std::vector<wire::exchanged_peer> const& peers, ip_address const& told_by) {
    if (!exchanges_peers()) return;
    std::vector<endpoint> credible;
    for (auto const& [at, is_seed, is_reachable] : peers) {
        if (!may_tell_of(told_by, at)) continue;
        if (is_seed && is_upload_only()) continue;
        credible.push_back(at);
    }
    hear_of(credible);
}

void swarm::hear_of(std::vector<endpoint> const& peers) {
    if (!is_public() || !engine::hear_of(known_, peers, node.now())) return;
    if (was_checked_ && !is_stopping_) call_peers();
}

void swarm::keep_to_named() {
    telling_.cancel();
    std::erase_if(known_, [](auto const& each) { return each.second.is_hearsay && !each.second.is_busy; });
}

void swarm::serve_members_only() {
    if (std::exchange(options_.members_only, true)) return;
    keep_to_named();
    for (auto* session : sessions_)
        if (session && !is_named(session->remote.address)) session->close(make_error_code(errc::disconnected));
}

void swarm::keep_to_trackers() {
    if (std::exchange(options_.is_public, false)) keep_to_named();
}

/// A tracker, a hub or the user has named somebody at this address.
void swarm::introduce(ip_address const& who) {
    bool const was_named = is_named(who);
    auto const is_new = introduced_.insert_or_assign(who, node.now()).second;
    if (is_new && introduced_.size() > introduced_max) {
        auto const by_time = [](auto const& a, auto const& b) { return a.second < b.second; };
        introduced_.erase(std::ranges::min_element(introduced_, by_time));
    }
    if (!was_named) news();
}

bool swarm::is_named(ip_address const& who) const {
    auto const found = introduced_.find(who);
    return found != introduced_.end() && node.now() - found->second < named_lifetime;
}

void swarm::learned_address(peer_session& peer) {
    use_uploaded(peer);
    if (peer.listens_at.port == 0 || (known_.size() >= known_peers_max && !known_.contains(peer.listens_at))) return;
    known_[peer.listens_at].is_busy = true;
}

std::vector<endpoint> swarm::known_peers() const {
    std::vector<endpoint> all;
    for (auto const& [at, known] : known_) all.push_back(at);
    return all;
}

void swarm::learn_uploaded(std::vector<std::pair<endpoint, std::uint64_t>> const& told) {
    uploaded_told_.clear();  // whoever is not among them has gone
    for (auto const& [at, bytes] : told) {
        introduce(at.address);
        if (uploaded_told_.size() < known_peers_max) uploaded_told_[at] = bytes;
    }
    for (auto const* session : sessions_)
        if (session) use_uploaded(*session);
}

void swarm::use_uploaded(peer_session const& peer) {
    if (auto const told = uploaded_told_.find(peer.address()); told != uploaded_told_.end())
        picker.set_uploaded(peer.slot, told->second);
}

void swarm::connect_more(time_point now) {
    if (!is_running() || !is_automatic_) return;
    auto const taken = places();
    bool const is_full = taken.size() >= options_.peers_max;
    // When all places are taken, one try at a time goes on as long as some network has more than one: whoever has
    // filled them is not to keep us from the others. Who would get no place is not called.
    std::size_t const beyond = is_full && choker::gives_way(taken, {}) ? 1 : 0;
    std::map<choker::share_holder, std::optional<bool>> gets_way;  // for the networks of those who are here
    if (is_full)
        for (auto const& each : taken) gets_way[each.network];
    auto const crowded = crowded_addresses();
    auto const is_shut_out = [&](ip_address const& who) {
        if (crowded.contains(who.customer())) return true;
        auto const here = gets_way.find(share_holder_of(who));
        if (here == gets_way.end()) return false;
        if (!here->second) here->second = choker::gives_way(taken, here->first).has_value();
        return !*here->second;
    };
    try_more(known_, connecting_, now, [&, most = options_.peers_max + beyond](endpoint const& at) {
        if (taken.size() + connecting_ >= most) return tried::enough;
        if (is_shut_out(at.address)) return tried::passed_over;
        spawn("connect " + at.to_string(), connect(at, nullptr));  // counts itself out; it has not begun yet
        ++connecting_;
        return tried::begun;
    });
}

void swarm::call_peers() {
    connect_more(node.now());
    stir();
}

/// Those that have as many sessions as one may have.
std::set<ip_address> swarm::crowded_addresses() const {
    std::map<ip_address, std::size_t> count;
    std::set<ip_address> found;
    for (auto const* session : sessions_) {
        if (!session || session->remote.address.is_loopback()) continue;
        auto const from = session->remote.address.customer();
        if (++count[from] == peers_per_address_max) found.insert(from);
    }
    return found;
}

net::task<void> swarm::connect(endpoint to, attempt outcome) {
    struct busy {
        swarm& owner;
        endpoint at;
        ~busy() {
            if (auto known = owner.known_.find(at); known != owner.known_.end()) known->second.is_busy = false;
        }
    };
    busy const while_here{*this, to};
    struct counted {
        std::size_t& count;
        bool is_over = false;
        void over() {
            if (!std::exchange(is_over, true)) --count;
        }
        ~counted() { over(); }
    } connecting{connecting_};
    auto const why = co_await converse_with(to, [&connecting] { connecting.over(); });
    if (outcome) {
        *outcome = why;
        news();
    }
    auto const known = known_.find(to);
    if (known == known_.end()) co_return;
    auto const now = node.now();
    if (why == errc::own_connection) {
        known->second.is_banned = true;
    } else if (why == errc::banned) {
        known->second.try_at = banned_until(to.address);
    } else if (why == errc::not_needed || why == errc::duplicate_peer || why == errc::disconnected) {
        known->second.try_at = now + reconnect_after_max;
    } else {
        failed(known->second, now);
        if (known->second.failures > connect_failures_max) known_.erase(known);
    }
}

net::task<std::error_code> swarm::converse_with(endpoint to, std::function<void()> when_connected) {
    auto const known = known_.find(to);
    bool const utp_first = known != known_.end() && known->second.tries_utp_first();
    auto met = co_await node.meet(to, node.handshake_for(content->swarm_hash()), utp_first);
    if (!met) co_return met.error();
    when_connected();
    co_return co_await run_session(std::move(met.value().stream), met.value().theirs, to, true);
}

void swarm::adopt(std::unique_ptr<net::stream> stream, wire::handshake const& theirs) {
    if (answering_ >= options_.peers_max || (!is_giving() && state_ != transfer_state::checking)) return;
    spawn("peer " + stream->remote().to_string(), answer(std::move(stream), theirs));
}

/// Whether whoever connects from there may be served. The hub names a newcomer to us about when it names us to him: he
/// may be the first to come.
net::task<bool> swarm::is_let_in(ip_address who) {
    if (!options_.members_only || is_named(who)) co_return true;
    if (!node.has_room_for_unnamed(who)) co_return false;
    node_state::unnamed_one const waiting{node, who};
    co_return co_await comes_true([this, &who] { return is_named(who); }, node.now() + naming_patience);
}

net::task<void> swarm::answer(std::unique_ptr<net::stream> stream, wire::handshake theirs) {
    auto& clock = node.outside.clock;
    if (!co_await is_let_in(stream->remote().address)) co_return;
    {
        ++answering_;
        struct counted {
            std::size_t& count;
            ~counted() { --count; }
        } const while_here{answering_};
        auto const ours = wire::encode(node.handshake_for(theirs.hash));
        auto const sent =
            co_await net::with_deadline(clock, clock.now() + handshake_timeout, stream->write_all(byte_view{ours}));
        if (!sent) co_return;
        // What we have is told first, once it is known.
        auto const checked = co_await net::with_deadline(clock, clock.now() + checking_patience, when_checked());
        if (!checked || !is_giving()) co_return;
    }
    endpoint const unknown{stream->remote().address, 0};
    co_await run_session(std::move(stream), theirs, unknown, false);
}

/// By name and address, so that nobody gets another one banned; one that comes back under ever new names, by address,
/// for a while.
bool swarm::is_banned(peer_id const& id, ip_address const& from) const {
    auto const there = banned_.find(from.customer());
    if (there == banned_.end()) return false;
    auto const& ids = there->second;
    auto const lasts = [now = node.now()](auto const& each) { return now - each.second < ban_lifetime; };
    if (auto const named = ids.find(id); named != ids.end() && lasts(*named)) return true;
    return ids.size() >= banned_ids_max && !from.is_loopback() && std::ranges::any_of(ids, lasts);
}

/// When nobody is banned any more who is banned there now.
time_point swarm::banned_until(ip_address const& there) const {
    time_point last{};
    if (auto const found = banned_.find(there.customer()); found != banned_.end())
        for (auto const& [id, since] : found->second) last = std::max(last, since);
    return last + ban_lifetime;
}

/// Why this peer is not talked to. No error when it is: somebody else may have lost his place to it.
std::error_code swarm::refusal(wire::handshake const& theirs, ip_address const& from, bool outgoing) {
    if (contradicts_itself()) return error_;
    if (theirs.id == node.id) return errc::own_connection;
    if (is_banned(theirs.id, from)) return errc::banned;
    std::size_t from_there = 0;
    for (auto* session : sessions_) {
        if (!session) continue;
        if (session->remote.address.customer() == from.customer()) ++from_there;
        if (session->id != theirs.id) continue;
        // Both sides may have connected at once. They agree to keep the one that the smaller id began.
        // From elsewhere it is not the same peer: ids are no secret, and nobody may push another out by its own.
        bool const keep_new = session->outgoing != outgoing && outgoing == (node.id < theirs.id) &&
                              session->remote.address.customer() == from.customer();
        if (!keep_new) return errc::duplicate_peer;
        session->close(errc::duplicate_peer);
    }
    if (from_there >= peers_per_address_max && !from.is_loopback()) return errc::too_many_peers;
    auto const taken = places();
    if (taken.size() < options_.peers_max) return {};
    auto const leaving = choker::gives_way(taken, share_holder_of(from));
    if (!leaving) return errc::too_many_peers;
    session_numbered(*leaving)->close(errc::too_many_peers);
    return {};
}

/// All that are taken, but for those that are about to be left.
std::vector<choker::place> swarm::places() const {
    std::vector<choker::place> taken;
    for (auto const* session : sessions_)
        if (session && !session->is_closing()) taken.push_back(session->place(node.now()));
    return taken;
}

net::task<std::error_code> swarm::run_session(std::unique_ptr<net::stream> stream, wire::handshake theirs,
                                              endpoint listens_at, bool outgoing) {
    if (auto const why = refusal(theirs, stream->remote().address, outgoing)) co_return why;
    std::uint32_t slot = 0;
    while (slot < sessions_.size() && sessions_[slot]) ++slot;
    auto const remote = stream->remote();
    std::error_code why;
    endpoint at;
    std::uint32_t number = 0;
    {
        peer_session session{*this, std::move(stream), theirs, listens_at, outgoing, picker::peer_slot{slot}};
        registration const registered{*this, session};
        number = session.number;
        if (session_count_ == 1) asked_for_.notify();
        stir();
        tell(event::peer_joined{remote, outgoing});
        if (!theirs.extensions) session.introduce();
        why = co_await session.run();
        at = session.address();
        // A handshake alone is no reason to come back soon.
        bool const was_of_use =
            session.downloaded + session.uploaded > 0 || node.now() - session.connected_since >= trusted_after;
        if (auto const known = known_.find(listens_at); was_of_use && known != known_.end()) known->second.failures = 0;
    }
    session_ended(number, why);
    tell(event::peer_left{remote, why, at});
    co_return why;
}

void swarm::ban(picker::sender const& who) {
    auto const now = node.now();
    auto& there = banned_[who.from];
    std::erase_if(there, [now](auto const& each) { return now - each.second >= ban_lifetime; });
    if (!there.emplace(who.id, now).second) return;
    tell(event::peer_banned{who.from, who.id});
    for (auto* session : sessions_) {
        if (!session || session->identity() != who) continue;
        if (auto known = known_.find(session->listens_at); known != known_.end())
            known->second.try_at = now + ban_lifetime;
        session->close(errc::banned);
    }
}
}  // namespace shoal::engine
