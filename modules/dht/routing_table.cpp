module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

module shoal.dht;
import shoal.core;

namespace shoal::dht {
bool routing_table::is_good(entry const& each, time_point now) noexcept {
    return each.failures == 0 && now - each.heard < good_for;
}

auto routing_table::bucket_of(node_id const& id) noexcept -> bucket& {
    return buckets_[std::min(common_prefix(own_, id), buckets_.size() - 1)];
}
auto routing_table::bucket_of(node_id const& id) const noexcept -> bucket const& {
    return buckets_[std::min(common_prefix(own_, id), buckets_.size() - 1)];
}

/// Whether the rules on addresses let it into a bucket, room or not.
bool routing_table::may_join(bucket const& in, contact const& who) const {
    if (who.at.address.is_loopback()) return true;
    if (customers_.contains(who.at.address.customer())) return false;
    if (who.at.address.is_local()) return true;
    auto const network = network_of(who.at.address);
    auto const from_there = networks_.find(network);
    if (from_there == networks_.end()) return true;
    return from_there->second < nodes_per_network_max &&
           std::ranges::none_of(
               in.nodes, [&](entry const& each) { return network_of(each.who.at.address) == network; });
}

void routing_table::count(endpoint const& at, bool is_in) {
    if (at.address.is_loopback()) {
        local_count_ += is_in ? 1 : std::size_t(-1);
        return;
    }
    auto const network = network_of(at.address);
    if (is_in) {
        customers_.emplace(at.address.customer(), at);
        ++networks_[network];
    } else {
        customers_.erase(at.address.customer());
        if (auto const from_there = networks_.find(network); --from_there->second == 0) networks_.erase(from_there);
    }
}

void routing_table::insert(bucket& in, entry&& newcomer, time_point now) {
    count(newcomer.who.at, true);
    in.changed = now;
    in.nodes.push_back(std::move(newcomer));
}

/// Removes a node and gives its place to the last one that waits for it.
void routing_table::erase(bucket& from, std::size_t index) {
    count(from.nodes[index].who.at, false);
    from.nodes.erase(from.nodes.begin() + static_cast<std::ptrdiff_t>(index));
    while (!from.replacements.empty()) {
        auto next = std::move(from.replacements.front());
        from.replacements.pop_front();
        if (!may_join(from, next.who)) continue;
        return insert(from, std::move(next), std::max(from.changed, next.heard));
    }
}

bool routing_table::make_way_at(endpoint const& at, bool only_bad) {
    for (auto& bucket : buckets_)
        for (std::size_t i = 0; i < bucket.nodes.size(); ++i) {
            if (bucket.nodes[i].who.at != at) continue;
            if (only_bad && bucket.nodes[i].failures < failures_max) return false;
            erase(bucket, i);
            return true;
        }
    return true;
}

void routing_table::answered(contact const& who, time_point now) {
    if (who.id == own_) return;
    auto& bucket = bucket_of(who.id);
    for (auto& each : bucket.nodes) {
        if (each.who.id != who.id) continue;
        if (each.who.at != who.at) return;  // somebody else's id: whoever had it first keeps it (class H2, H3)
        each.heard = now;
        each.failures = 0;
        bucket.changed = now;
        return;
    }
    entry newcomer{who, now, {}, 0, is_tied(who.id, who.at.address)};
    if (auto const known = customers_.find(who.at.address.customer()); known != customers_.end())
        if (!make_way_at(known->second, known->second != who.at)) return;  // one node of each customer
    if (!may_join(bucket, who)) return;
    if (bucket.nodes.size() < bucket_size) return insert(bucket, std::move(newcomer), now);
    auto const bad = std::ranges::find_if(bucket.nodes, [](auto const& each) { return each.failures >= failures_max; });
    if (bad != bucket.nodes.end()) {
        erase(bucket, static_cast<std::size_t>(bad - bucket.nodes.begin()));
        if (bucket.nodes.size() < bucket_size && may_join(bucket, who)) insert(bucket, std::move(newcomer), now);
        return;
    }
    if (newcomer.is_tied) {
        auto const loose = std::ranges::find(bucket.nodes, false, &entry::is_tied);
        if (loose != bucket.nodes.end()) {
            auto const index = loose - bucket.nodes.begin();
            count(loose->who.at, false);
            bucket.nodes.erase(bucket.nodes.begin() + index);
            return insert(bucket, std::move(newcomer), now);
        }
    }
    std::erase_if(bucket.replacements, [&](entry const& each) { return each.who.at == who.at; });
    bucket.replacements.push_front(std::move(newcomer));
    if (bucket.replacements.size() > replacements_max) bucket.replacements.pop_back();
}

void routing_table::asked(contact const& who, time_point now) {
    for (auto& each : bucket_of(who.id).nodes)
        if (each.who == who && each.failures == 0) each.heard = now;
}

void routing_table::silent(endpoint const& who) {
    for (auto& bucket : buckets_)
        for (std::size_t i = 0; i < bucket.nodes.size(); ++i) {
            auto& each = bucket.nodes[i];
            if (each.who.at != who) continue;
            // Without anybody to take its place it stays: the fault may be in our own network (class H11).
            if (++each.failures >= failures_max && !bucket.replacements.empty()) erase(bucket, i);
            return;
        }
}

bool routing_table::has_room_for(contact const& who, time_point now) const {
    if (who.id == own_ || !is_usable(who.at)) return false;
    auto const& bucket = bucket_of(who.id);
    if (std::ranges::any_of(bucket.nodes, [&](entry const& each) { return each.who.id == who.id; })) return false;
    if (!may_join(bucket, who)) return false;
    if (bucket.nodes.size() < bucket_size) return true;
    bool const gives_way = std::ranges::any_of(bucket.nodes, [&](entry const& each) { return !is_good(each, now); });
    return gives_way && bucket.replacements.size() < replacements_max;
}

std::vector<contact> routing_table::nearest(node_id const& target, std::size_t count, time_point now) const {
    struct ranked {
        contact who;
        bool is_good;
    };
    std::vector<ranked> found;
    for (auto const& bucket : buckets_)
        for (auto const& each : bucket.nodes)
            if (each.failures < failures_max) found.push_back({each.who, is_good(each, now)});
    auto const before = [&](ranked const& a, ranked const& b) {
        if (a.is_good != b.is_good) return a.is_good;
        return is_nearer(target, a.who.id, b.who.id);
    };
    auto const last = found.begin() + static_cast<std::ptrdiff_t>(std::min(count, found.size()));
    std::ranges::partial_sort(found, last, before);
    std::vector<contact> nearest;
    for (auto each = found.begin(); each != last; ++each) nearest.push_back(each->who);
    return nearest;
}

std::vector<contact> routing_table::questionable(time_point now) {
    std::vector<contact> all;
    for (auto& bucket : buckets_) {
        entry* next = nullptr;
        for (auto& each : bucket.nodes)
            if (!is_good(each, now) && (!next || each.asked < next->asked)) next = &each;
        if (!next) continue;
        next->asked = now;
        all.push_back(next->who);
    }
    return all;
}

std::size_t routing_table::alive() const noexcept {
    std::size_t count = 0;
    for (auto const& bucket : buckets_)
        for (auto const& each : bucket.nodes) count += each.failures < failures_max;
    return count;
}

std::vector<node_id> routing_table::stale(keyed_random& random, time_point now) {
    std::size_t deepest = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i)
        if (!buckets_[i].nodes.empty()) deepest = i;
    std::vector<node_id> places;
    for (std::size_t i = 0; i <= deepest; ++i) {
        bool const was_looked_at = buckets_[i].changed != time_point{};
        if (now - buckets_[i].changed < refresh_after) continue;
        buckets_[i].changed = now;
        if (!was_looked_at) continue;  // nothing was ever there: it has its time too
        auto place = random.id();
        for (std::size_t bit = 0; bit <= i; ++bit) {  // as ours up to bit i, which differs
            auto const mask = static_cast<std::byte>(0x80u >> (bit % 8));
            auto const ours = (own_.bytes[bit / 8] & mask) ^ (bit == i ? mask : std::byte{0});
            place.bytes[bit / 8] = (place.bytes[bit / 8] & ~mask) | ours;
        }
        places.push_back(place);
    }
    return places;
}

std::vector<contact> routing_table::all() const {
    std::vector<contact> all;
    for (auto const& bucket : buckets_)
        for (auto const& each : bucket.nodes) all.push_back(each.who);
    return all;
}

void routing_table::move_to(node_id const& own, time_point now) {
    auto const old = std::move(buckets_);
    *this = routing_table{own};
    for (auto const& bucket : old)
        for (auto const& each : bucket.nodes)
            if (is_good(each, now)) answered(each.who, each.heard);
}
}  // namespace shoal::dht
