#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "support/failing_heap.hpp"

#include "swarm.hpp"

import shoal.session;

// A swarm whose peers know each other by a hub alone: what they do there, and what the hub may say of them.
namespace simulated_swarm {
namespace {
constexpr auto watched_every = 3s;
constexpr auto asked_again_after = 10s;
/// As `peer share` does: doubled each time, up to the second figure.
constexpr duration published_again_after = 10s, published_again_after_max = 10min;
/// Who is gone is not listed any more: the hub's 60 s without a sign of life (docs/hub-protocol.md), and its ticks.
constexpr auto gone_within = 65s;
}  // namespace

hub_part::hub_part(net::environment& outside, asio::any_io_executor const& home, engine::node const& of)
    : session(outside, home, of.id(), port, "simulated", hub_url("ws") + "/session"), tasks(home) {}

peer* swarm::peer_at(endpoint const& where) {
    auto const found = std::ranges::find(peers_, where.address, &peer::address);
    return found != peers_.end() && where.port == port ? &*found : nullptr;
}

bitfield const& swarm::had_by(peer& who) {
    if (who.transfer)
        for (auto piece = who.transfer->have().next_set(0); piece;
             piece = who.transfer->have().next_set(to_number(*piece) + 1))
            who.ever_had.set(*piece);
    return who.ever_had;
}

/// It has got its last piece. Got again after the disk has lost one, it counts only where the hub has forgotten it
/// since.
void swarm::count_download(peer& who) {
    bool const is_known_anew = std::exchange(who.is_known_anew, false);
    if (std::exchange(who.completed_by, who.process) != who.process || is_known_anew) ++who.completions;
}

void swarm::join_hub(peer& who) {
    auto& clock = sim_.host(who.host).clock;
    who.part = std::make_unique<hub_part>(sim_.host(who.host), sim_.executor(), *who.node);
    auto& [at_hub, tasks] = *who.part;
    tasks.on_failure = [this](std::string_view task, std::exception_ptr const& why) { task_failed(task, why); };
    at_hub.on_event = [this, &who](session::any_client_event const& happened) {
        failing_heap::sheltered const shelter;
        namespace event = session::client_event;
        if (std::holds_alternative<event::set_changed>(happened)) look_at_set(who);
        if (auto const* welcomed = std::get_if<event::welcomed>(&happened))
            who.is_known_anew = std::exchange(who.welcomed_by, who.process) == who.process && !welcomed->is_resumed;
    };
    tasks.spawn_lasting("hub session", clock, [&at_hub] { return at_hub.run(); });
    tasks.spawn_lasting("takes part", clock, [this, &who] { return take_part(who); });
    if (who.own) tasks.spawn_lasting("shares its own", clock, [this, &who] { return share_own(who); });
}

net::task<void> swarm::leave_hub(peer& who) {
    if (!who.part) co_return;
    who.part->tasks.cancel();
    co_await who.part->tasks.join();
    who.part.reset();
}

/// The seeder shares; whoever wants the content has nothing but its name.
net::task<void> swarm::take_part(peer& who) {
    auto& outside = sim_.host(who.host);
    auto& at_hub = who.part->session;
    if (who.is_seeder && !who.transfer) add(who, content_.torrent);
    while (!who.transfer) {
        auto found = co_await find_by_name(outside, content_.torrent->name());
        if (found)
            add(who, std::move(found));
        else
            co_await outside.clock.sleep(asked_again_after);
    }
    while (!co_await who.transfer->checked()) co_await outside.clock.sleep(asked_again_after);
    at_hub.join(who.transfer);
    if (who.is_seeder) co_await publish(who, content_);
}

net::task<void> swarm::publish(peer& who, testing::content const& what) {
    auto& clock = sim_.host(who.host).clock;
    auto const metainfo = std::make_shared<byte_vector const>(what.metainfo);
    auto const torrent = what.torrent->swarm_hash();
    for (auto wait = published_again_after;; wait = std::min(2 * wait, published_again_after_max)) {
        while (!who.part->session.is_open()) co_await clock.sleep(1s);
        if (who.own && &who.own->content == &what && !who.own->is_shared) co_return;
        if (who.own && &who.own->content == &what) who.own->offered_by = who.process;
        if (co_await who.part->session.publish(torrent, metainfo)) co_return;
        co_await clock.sleep(wait);
    }
}

net::task<void> swarm::share_own(peer& who) {
    return publish(who, who.own->content);
}

void swarm::withdraw_own(peer& who) {
    if (!std::exchange(who.own->is_shared, false)) return;
    sim_.remark(name(who) + " withdraws its own");
    if (!who.part || who.own->offered_by != who.process) {
        who.own->is_forgotten = true;  // as `peer share`, it knows nothing of its earlier processes
        return;
    }
    failing_heap::sheltered const shelter;  // as `peer share` it does not forget: where memory lacks it is tried again
    who.part->tasks.spawn_lasting(
        "withdraws", sim_.host(who.host).clock,
        [&from = who.part->session, what = who.own->content.torrent->swarm_hash()] { return withdraw(from, what); });
}

net::task<void> swarm::withdraw(engine::hub_session& from, info_hash torrent) {
    (void)co_await from.unpublish(torrent);
}

net::task<void> swarm::restart_hub(ending how, duration down) {
    hub_is_changing_ = true;
    hub_is_right_ = false;
    sim_.remark(how == ending::clean ? "the hub restarts" : "the hub crashes");
    if (how != ending::clean) sim_.reset_connections(hub_host_);
    co_await hub_->end(how == ending::clean);
    co_await sim_.host(hosts_).clock.sleep(down);
    hub_->start();
    hub_is_changing_ = hub_will_restart_ = false;
}

// What the hub says.

net::task<void> swarm::watch_hub() {
    auto& outside = sim_.host(hosts_ + 1);
    while (!is_over_) {
        try {
            co_await outside.clock.sleep(watched_every);
            hub_is_right_ = co_await look_at_hub(outside);
        } catch (std::bad_alloc const&) {}  // next time
    }
}

/// Whether all are there and all is told as it is.
net::task<bool> swarm::look_at_hub(net::environment& from) {
    auto const asked_at = sim_.now();
    hub_lacks_ = "an answer about nodes";
    auto const nodes = co_await ask_for_nodes(from);
    if (!nodes) co_return false;
    hub_lacks_ = "nodes";
    bool const has_all_nodes = is_listed_right(*nodes, asked_at);
    auto const torrent = co_await ask_for_torrent(from, content_.torrent->swarm_hash());
    if (!torrent) co_return false;
    bool const has_all_members = is_listed_right(*torrent);
    if (!has_all_nodes) co_return false;
    hub_lacks_ = "complete members";
    if (!has_all_members) co_return false;
    hub_lacks_ = "what its sessions are told";
    if (!std::ranges::all_of(peers_, [this](auto const& each) { return knows_all_others(each); })) co_return false;
    hub_lacks_ = "owners";
    auto const owners = co_await ask_for_catalogue(from);
    if (!owners || !is_listed_right(*owners)) co_return false;
    hub_lacks_ = "its restart";
    co_return !hub_will_restart_;
}

bool swarm::is_listed_right(std::vector<listed_node> const& nodes, time_point asked_at) {
    failing_heap::sheltered const shelter;
    std::set<endpoint> seen;
    std::size_t sessions = 0;
    for (auto const& each : nodes) {
        auto* const who = peer_at(each.at);
        if (who == nullptr || !seen.insert(each.at).second) {
            complain("the hub lists " + each.at.to_string() + ", who is not there, or twice");
            return false;
        }
        sessions += each.is_session ? 1 : 0;
        if (each.is_session && who->gone_at && asked_at - std::max(*who->gone_at, hub_troubled_until_) > gone_within)
            complain("the hub lists " + name(*who) + ", who is gone for long");
    }
    return sessions == peers_.size();
}

bool swarm::is_listed_right(listed_torrent const& torrent) {
    failing_heap::sheltered const shelter;
    std::size_t complete = 0;
    for (auto const& each : torrent.members) {
        auto* const who = peer_at(each.at);
        if (who == nullptr) {
            complain("the hub lists " + each.at.to_string() + " for the content, who is nobody");
            return false;
        }
        auto const& had = had_by(*who);
        if (each.have > had.count() || (each.is_complete && !had.all()))
            complain("the hub lists pieces that " + name(*who) + " never had");
        complete += each.is_complete ? 1 : 0;
    }
    std::size_t completions = 0;
    for (auto const& each : peers_) completions += each.completions;
    if (torrent.completed > completions)
        complain("the hub counts " + std::to_string(torrent.completed) + " downloads of " +
                 std::to_string(completions));
    return complete == peers_.size();
}

bool swarm::is_listed_right(listed_owners const& owners) const {
    auto const is_owner = [&](std::string const& what, peer const& who) {
        auto const found = owners.find(what);
        return found != owners.end() && found->second == std::set{who.address.to_string()};
    };
    return is_owner(content_.torrent->name(), peers_[0]) && std::ranges::all_of(peers_, [&](auto const& each) {
               return !each.own || each.own->is_forgotten ||
                      is_owner(each.own->content.torrent->name(), each) == each.own->is_shared;
           });
}

bool swarm::knows_all_others(peer const& who) const {
    if (!who.part || !who.part->session.is_open()) return false;
    auto const& set = who.part->session.peers(content_.torrent->swarm_hash());
    return set.size() == peers_.size() - 1 &&
           std::ranges::all_of(set, [](auto const& each) { return each.second.is_complete; });
}

/// Nobody is told of what nobody has told of.
void swarm::look_at_set(peer& who) {
    for (auto const& [where, member] : who.part->session.peers(content_.torrent->swarm_hash())) {
        auto* const other = peer_at(where);
        if (other == nullptr || other == &who)
            return complain(name(who) + " is told of " + where.to_string() + ", who is nobody else");
        auto const& had = had_by(*other);
        if ((member.is_complete && !had.all()) || (member.have && member.have->has_beyond(had)))
            complain(name(who) + " is told of pieces that " + name(*other) + " never had");
    }
}
}  // namespace simulated_swarm
