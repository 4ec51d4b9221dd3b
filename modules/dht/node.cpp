module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

module shoal.dht;
import shoal.bencode;
import shoal.core;

/// What a node does by itself: its queries, searches and upkeep. How it answers others stands in answers.cpp.
namespace shoal::dht {
namespace {
/// Peers of our own store that a search begins with.
constexpr std::size_t own_peers_max = 50;

byte_vector transaction_of(std::uint32_t number) {
    byte_vector name(sizeof number);
    store_be(mutable_byte_view{name}, number);
    return name;
}
}  // namespace

node::node(node_settings const& settings, time_point now)
    : settings_(settings),
      random_(settings.key),
      table_(random_.id()),
      store_(random_.next(), table_.own()),
      next_ping_(now),
      next_upkeep_(now + upkeep_interval),
      next_bootstrap_(now),
      customers_key_{random_.next(), random_.next()} {
    read_state(settings.state);
    settings_.state = {};
    settle(now);
}

void node::read_state(byte_view state) {
    auto const read = bencode::decode(state, {.depth_max = 4, .items_max = 64});
    if (!read) return;
    auto const root = read.value().root();
    if (auto const known = root.find_bytes("ip"))
        if (auto const address = ip_address::from(*known); address && address->is_v4() != settings_.is_v6) {
            address_ = address;
            auto tied = id();
            tie_to(tied, *address);
            table_ = routing_table{tied};
            store_.move_to(tied);
        }
    // The nodes are kept as a reply has them.
    byte_vector const as_reply = bencode::encoder{}
                                     .dictionary()
                                     .key("r")
                                     .dictionary()
                                     .entry("id", table_.own().view())
                                     .entry("nodes", root.find_bytes("nodes").value_or(byte_view{}))
                                     .entry("nodes6", root.find_bytes("nodes6").value_or(byte_view{}))
                                     .end()
                                     .entry("t", "")
                                     .entry("y", "r")
                                     .end()
                                     .take();
    if (auto const known = parse(as_reply))
        for (auto const& each : std::get<reply>(known.value().content).nodes)
            if (is_mine(each.at)) remembered_.push_back(each);
}

byte_vector node::state() const {
    byte_vector nodes;
    auto known = table_.all();
    if (known.empty()) known = remembered_;
    for (auto const& each : known)
        byte_writer{nodes}.bytes(each.id.view()).bytes(each.at.address.bytes()).be(each.at.port);
    bencode::encoder out;
    out.dictionary().entry(settings_.is_v6 ? "nodes6" : "nodes", byte_view{nodes});
    if (address_) out.entry("ip", address_->bytes());
    return out.end().take();
}

void node::hear_of(endpoint const& maybe, time_point now) {
    if (!is_mine(maybe) || !is_usable(maybe) || pings_.size() >= pings_waiting_max) return;
    auto const is_same = [&](endpoint const& each) {  // one for each customer, loopback apart
        return each == maybe || (!maybe.address.is_loopback() && each.address.customer() == maybe.address.customer());
    };
    if (std::ranges::any_of(pings_, is_same)) return;
    pings_.push_back(maybe);
    settle(now);
}

void node::set_routers(std::vector<endpoint> routers, time_point now) {
    std::erase_if(routers, [this](endpoint const& each) { return !is_mine(each) || !is_usable(each); });
    routers_ = std::move(routers);
    next_bootstrap_ = now;
    settle(now);
}

void node::find(info_hash const& torrent, bool announces, time_point now) {
    if (auto const begun = searches_.find(place_of(torrent)); begun != searches_.end()) {
        if (announces) begun->second.announce_too();
        return;
    }
    if (auto const waits = std::ranges::find(wishes_, torrent, &wish::torrent); waits != wishes_.end())
        waits->announces = waits->announces || announces;
    else if (wishes_.size() < searches_waiting_max)
        wishes_.push_back({torrent, announces});
    settle(now);
}

void node::forget(info_hash const& torrent, time_point now) {
    std::erase_if(wishes_, [&](wish const& each) { return each.torrent == torrent; });
    searches_.erase(place_of(torrent));
    settle(now);
}

std::optional<node::outgoing> node::next_datagram() {
    if (outbox_.empty()) return std::nullopt;
    auto first = std::move(outbox_.front());
    outbox_.pop_front();
    return first;
}

std::optional<any_event> node::next_event() {
    if (events_.empty()) return std::nullopt;
    auto first = std::move(events_.front());
    events_.pop_front();
    return first;
}

void node::wake(time_point now) {
    settle(now);
}

void node::settle(time_point now) {
    give_up_old(now);
    if (now >= next_upkeep_) keep_up(now);
    bootstrap(now);
    do begin_waiting(now);
    while (advance(now));
    while (!pings_.empty() && now >= next_ping_) {
        query ping;
        if (ask({{}, pings_.front()}, ping, std::nullopt, now)) pings_.pop_front();
        next_ping_ = now + ping_interval;
    }
    set_deadline(now);
}

/// Sends a query. False when too many are under way.
bool node::ask(contact const& whom, query what, std::optional<node_id> target, time_point now, bool is_router) {
    if (queries_.size() >= queries_max) return false;
    what.id = id();
    auto number = static_cast<std::uint32_t>(random_.next());
    while (queries_.contains(number)) ++number;
    queries_.emplace(number, pending{whom.at, now, target, is_router});
    outbox_.push_back({whom.at, encode(transaction_of(number), what)});
    return true;
}

/// A node that was heard of: is asked who it is, if the table wants it.
void node::consider(contact const& who, time_point now) {
    if (!is_mine(who.at) || !table_.has_room_for(who, now) || pings_.size() >= pings_waiting_max) return;
    auto const is_asked = [&](auto const& each) { return each.second.to == who.at; };
    if (std::ranges::find(pings_, who.at) != pings_.end() || std::ranges::any_of(queries_, is_asked)) return;
    pings_.push_back(who.at);
}

void node::begin(node_id const& target, search::purpose why, time_point now) {
    auto& begun = searches_.try_emplace(target, target, why).first->second;
    for (auto const& each : table_.nearest(target, 2 * bucket_size, now)) begun.add(each);
}

/// Begins the searches that wait, once there is somebody to ask.
void node::begin_waiting(time_point now) {
    bool const is_early = table_.alive() < bucket_size && searches_.contains(id());
    if (table_.alive() == 0 || is_early) return;
    while (!wishes_.empty() && searches_.size() < searches_max) {
        auto const next = wishes_.front();
        wishes_.pop_front();
        begin(place_of(next.torrent), next.announces ? search::purpose::announce : search::purpose::peers, now);
        // Others may have told us, the nearest of a small network.
        if (auto known = store_.some_of(next.torrent, own_peers_max, now); !known.empty())
            events_.push_back(event::found{next.torrent, std::move(known)});
    }
}

void node::bootstrap(time_point now) {
    if (!needs_routers() || now < next_bootstrap_) return;
    next_bootstrap_ = now + bootstrap_wait_;
    bootstrap_wait_ = std::min<duration>(2 * bootstrap_wait_, bootstrap_again_after_max);
    begin(id(), search::purpose::nodes, now);
    auto& search = searches_.at(id());
    for (auto const& each : remembered_) search.add(each);
    query find;
    find.what = method::find_node;
    find.target = id();
    for (auto const& each : routers_) ask({{}, each}, find, id(), now, true);
}

/// Asks whoever is next, and ends searches that are over: whether there were any.
bool node::advance(time_point now) {
    bool has_ended = false;
    for (auto each = searches_.begin(); each != searches_.end();) {
        auto& search = each->second;
        query what;
        what.what = search.why() == search::purpose::nodes ? method::find_node : method::get_peers;
        what.target = search.target();
        while (queries_.size() < queries_max) {
            auto const next = search.next(now);
            if (!next) break;
            ask(*next, what, search.target(), now);
        }
        bool const awaits_router = std::ranges::any_of(queries_, [&](auto const& query) {
            return query.second.is_router && query.second.target == search.target();
        });
        if (awaits_router || !search.is_over()) {
            ++each;
            continue;
        }
        auto const over = std::move(search);
        each = searches_.erase(each);
        end(over, now);
        has_ended = true;
    }
    return has_ended;
}

void node::end(search const& over, time_point now) {
    if (over.why() == search::purpose::nodes) {
        if (!needs_routers()) bootstrap_wait_ = bootstrap_again_after;
        return;
    }
    std::size_t told = 0;
    if (over.why() == search::purpose::announce) {
        for (auto const& [who, token] : over.storers()) {
            query announce;
            announce.what = method::announce_peer;
            announce.target = over.target();
            announce.port = settings_.port;
            announce.implied_port = settings_.implied_port;
            announce.token = token;
            if (ask(who, announce, std::nullopt, now)) ++told;
        }
    }
    events_.push_back(event::search_ended{info_hash{over.target().bytes}, over.answers(), told});
}

void node::give_up_old(time_point now) {
    for (auto each = queries_.begin(); each != queries_.end();) {
        auto const& [to, sent, target, is_router] = each->second;
        if (now - sent < query_timeout) {
            ++each;
            continue;
        }
        table_.silent(to);
        if (target)
            if (auto const search = searches_.find(*target); search != searches_.end()) search->second.silent(to);
        each = queries_.erase(each);
    }
}

void node::keep_up(time_point now) {
    next_upkeep_ = now + upkeep_interval;
    store_.forget_old(now);
    for (auto const& each : table_.questionable(now)) {
        query ping;
        ask(each, ping, std::nullopt, now);
    }
    for (auto const& place : table_.stale(random_, now))
        if (searches_.size() < searches_max) begin(place, search::purpose::nodes, now);
}

/// Whether it answers a query of ours.
bool node::on_reply(endpoint const& from, byte_view transaction, reply const& told, time_point now) {
    auto const number = byte_reader{transaction}.take_be<std::uint32_t>();
    if (!number || transaction.size() != sizeof *number) return false;
    auto const found = queries_.find(*number);
    if (found == queries_.end() || found->second.to != from) return false;  // class H4
    auto const asked = found->second;
    queries_.erase(found);
    if (!asked.is_router) table_.answered({told.id, from}, now);
    if (told.seen_as) vote(from.address, *told.seen_as, now);
    auto const search = asked.target ? searches_.find(*asked.target) : searches_.end();
    std::size_t heard = 0;
    for (auto const& each : told.nodes) {
        if (++heard > 4 * bucket_size) break;  // 8 is what one asks for
        if (!is_mine(each.at) || each.id == id() || !means_the_same(each.at.address, from.address)) continue;
        if (search != searches_.end()) search->second.add(each);
        consider(each, now);
    }
    if (search == searches_.end()) return true;
    if (!asked.is_router) search->second.answered({told.id, from}, told.token);
    if (search->second.why() == search::purpose::nodes) return true;
    event::found peers{info_hash{search->second.target().bytes}, {}};
    for (auto const& each : told.values)
        if (is_mine(each) && means_the_same(each.address, from.address) && search->second.is_new(each))
            peers.peers.push_back(each);
    if (!peers.peers.empty()) events_.push_back(std::move(peers));
    return true;
}

/// One voice for each network: whoever has many addresses of one has one.
void node::vote(ip_address const& voter, ip_address const& address, time_point now) {
    if (address.is_local() || voter.is_local() || address.is_v4() == settings_.is_v6 || address.is_multicast()) return;
    constexpr std::size_t voters_max = 64;
    if (votes_.size() >= voters_max)
        votes_.erase(std::next(votes_.begin(), static_cast<std::ptrdiff_t>(random_.below(votes_.size()))));
    votes_[network_of(voter)] = address;
    auto const agreeing = static_cast<std::size_t>(
        std::ranges::count_if(votes_, [&](auto const& each) { return each.second == address; }));
    if (agreeing < votes_needed || 2 * agreeing <= votes_.size()) return;
    if (address_ != address) {
        address_ = address;
        events_.push_back(event::address_learned{address});
    }
    if (is_tied(id(), address) || (id_changed_ && now - *id_changed_ < id_change_interval)) return;
    id_changed_ = now;
    votes_.clear();
    searches_.erase(id());
    auto tied = random_.id();
    tie_to(tied, address);
    table_.move_to(tied, now);
    store_.move_to(tied);
    next_bootstrap_ = now;
    begin(id(), search::purpose::nodes, now);
}

void node::set_deadline(time_point now) {
    deadline_ = next_upkeep_;
    if (!pings_.empty()) deadline_ = std::min(deadline_, next_ping_);
    if (table_.alive() < bucket_size) deadline_ = std::min(deadline_, next_bootstrap_);
    for (auto const& [number, each] : queries_) deadline_ = std::min(deadline_, each.sent + query_timeout);
    for (auto const& [target, each] : searches_) deadline_ = std::min(deadline_, each.deadline(now));
}
}  // namespace shoal::dht
