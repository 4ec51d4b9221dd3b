module;
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module shoal.hub;
import shoal.core;
import :monitor;
import :roster;

namespace shoal::hub {
namespace {
namespace json = boost::json;

/// For each piece of each peer that is counted for a torrent's health: so that it takes a hundredth of the time.
constexpr std::chrono::nanoseconds health_pause_per_step{100};

double rounded(double number) {
    return std::round(number * 100) / 100;
}

void put(json::object& into, std::string_view kind, std::string const& key, json::value what) {
    auto& group = into[kind];
    if (!group.is_object()) group = json::object{};
    group.as_object()[key] = std::move(what);
}
void drop(json::object& into, std::string_view kind, std::string const& key) {
    auto& group = into[kind];
    if (!group.is_array()) group = json::array{};
    group.as_array().emplace_back(key);
}

json::array log_array(std::deque<log_line> const& log, std::size_t limit) {
    json::array lines;
    for (auto i = log.size() - std::min(log.size(), limit); i < log.size(); ++i) lines.push_back(log_object(log[i]));
    return lines;
}

std::string event_text(std::string_view kind, std::string const& boot, std::uint64_t number, json::object const& data) {
    std::string out = "id: " + boot + "-" + std::to_string(number) + "\nevent: ";
    out.append(kind).append("\ndata: ").append(json::serialize(data)).append("\n\n");
    return out;
}
}  // namespace

monitor::monitor(roster const& nodes, std::string boot, std::int64_t started_at, time_point started)
    : nodes_(nodes), boot_(std::move(boot)), started_at_(started_at), started_(started), sampled_at_(started) {}

std::int64_t monitor::wall(time_point at) const {
    return started_at_ + std::chrono::duration_cast<std::chrono::milliseconds>(at - started_).count();
}

traffic monitor::all_traffic() const {
    auto const& sum = nodes_.all_traffic();
    return {exact(sum.up_rate), exact(sum.down_rate), exact(sum.served)};
}

json::object monitor::status_object(monitor_numbers const& numbers, traffic const& all, time_point now) const {
    json::object out{{"name", "Shoal tracker"},
                     {"version", version},
                     {"started_at", started_at_},
                     {"now", wall(now)},
                     {"nodes", nodes_.session_count()},
                     {"waiting", nodes_.waiting_count()},
                     {"torrents", nodes_.torrents().size()},
                     {"catalogue", shared.size()},
                     {"announce_peers", numbers.registry_peers},
                     {"up_rate", all.up_rate},
                     {"announces_http", exact(numbers.announces_http)},
                     {"announces_udp", exact(numbers.announces_udp)},
                     {"announces_rate", rounded(announces_rate_)},
                     {"bytes_served", all.served}};
    out["nodes_max"] = nodes_max ? json::value(*nodes_max) : json::value(nullptr);
    return out;
}

/// What the next event is made of.
touched monitor::take_pending() {
    auto taken = std::exchange(pending_, {});
    pending_.announced = std::exchange(taken.announced, {});
    auto& waiting = pending_.announced;
    for (std::size_t i = 0; i < announced_changes_max && !waiting.empty(); ++i) {
        // Round and round, so that a busy torrent does not keep the others waiting.
        auto next = waiting.upper_bound(last_announced_);
        if (next == waiting.end()) next = waiting.begin();
        last_announced_ = *next;
        taken.torrents.insert(next->first);
        taken.nodes.insert(next->second);
        taken.members.insert(*next);
        waiting.erase(next);
    }
    if (listeners_ == 0) waiting.clear();  // who comes next gets a snapshot
    return taken;
}

json::value monitor::health_of(info_hash const& torrent, membership const& of) const {
    auto& known = health_[torrent];
    if (!known.copies.is_null() && (!known.has_changed || updated_at_ < known.good_until)) return known.copies;
    known.copies = copies_of(of);
    known.good_until = updated_at_ + health_pause_per_step * (std::uint64_t{of.pieces} * of.members.size());
    known.has_changed = false;
    return known.copies;
}

void monitor::update(touched news, std::vector<happening> happened, monitor_numbers const& numbers, time_point now) {
    numbers_ = numbers;
    updated_at_ = now;
    pending_.nodes.merge(news.nodes);
    pending_.members.merge(news.members);
    pending_.torrents.merge(news.torrents);
    auto const has_changed = [this](info_hash const& torrent) {
        if (auto const known = health_.find(torrent); known != health_.end()) known->second.has_changed = true;
    };
    for (auto const& each : news.announced) has_changed(each.first);
    for (auto const& each : pending_.torrents) has_changed(each);
    pending_.announced.merge(news.announced);
    if (pending_.announced.size() > announced_waiting_max) {
        pending_.announced.clear();
        events_.clear();
        event_bytes_ = 0;
        ++sequence_;
    }
    for (auto& each : happened) {
        log_.push_back({++last_line_, wall(now), std::move(each)});
        if (log_.size() > log_lines_max) log_.pop_front();
    }
    json::array lines;
    if (listeners_ > 0) lines = log_array(log_, std::min(happened.size(), event_lines_max));
    bool const is_sampled = now - sampled_at_ >= history_step;
    auto const all = all_traffic();
    if (is_sampled) {
        auto const announces = numbers.announces_http + numbers.announces_udp;
        auto const seconds = std::chrono::duration<double>(now - sampled_at_).count();
        announces_rate_ = static_cast<double>(announces - sampled_announces_) / seconds;
        sampled_announces_ = announces;
        sampled_at_ = now;
        history_.push_back({all.up_rate, all.down_rate, nodes_.session_count(), rounded(announces_rate_)});
        if (history_.size() > history_max) history_.pop_front();
    }
    auto changes = take_pending();
    snapshot_ = {};  // not kept while nobody comes
    for (auto at = health_.begin(); at != health_.end();) {
        auto const which = at++;
        auto& [hash, known] = *which;
        if (!nodes_.torrents().contains(hash)) {
            health_.erase(which);
        } else if (changes.torrents.contains(hash)) {
            known.is_owed = known.has_changed && now < known.good_until;
        } else if (known.is_owed && now >= known.good_until) {
            changes.torrents.insert(hash);
            known.is_owed = false;
        }
    }
    bool const is_news =
        !changes.nodes.empty() || !changes.members.empty() || !changes.torrents.empty() || !lines.empty() || is_sampled;
    if (!is_news) return;
    if (listeners_ == 0) {
        // Who comes next gets a snapshot.
        ++sequence_;
        events_.clear();
        event_bytes_ = 0;
        transfers_of_.clear();
        return;
    }
    json::object set, del;
    for (auto const number : changes.nodes) {
        auto const found = nodes_.nodes().find(number);
        if (found != nodes_.nodes().end())
            put(set, "nodes", id_of(number), node_object(found->second, wall(found->second.since)));
        else
            drop(del, "nodes", id_of(number));
    }
    for (auto const& hash : changes.torrents) {
        auto const active = nodes_.torrents().find(hash);
        auto const known = shared.find(hash);
        bool const is_active = active != nodes_.torrents().end(), is_shared = known != shared.end();
        if (is_active || is_shared)
            put(set, "torrents", hex(hash), object_of(hash));
        else
            drop(del, "torrents", hex(hash));
    }
    for (auto const& [hash, number] : changes.members) {
        auto const active = nodes_.torrents().find(hash);
        bool const is_there = active != nodes_.torrents().end() && active->second.members.contains(number);
        std::map<std::string, json::object> serving;
        if (is_there) {
            auto const& who = nodes_.nodes().at(number);
            auto const& self = active->second.members.at(number);
            put(set, "peers", peer_key(hash, number), peer_object(hash, who, self));
            serving = transfers_of(nodes_, hash, who, self);
        } else {
            drop(del, "peers", peer_key(hash, number));
        }
        auto& before = transfers_of_[{hash, number}];
        for (auto const& key : before)
            if (!serving.contains(key)) drop(del, "transfers", key);
        before.clear();
        for (auto& [key, transfer] : serving) {
            put(set, "transfers", key, std::move(transfer));
            before.insert(key);
        }
        if (before.empty()) transfers_of_.erase({hash, number});
    }
    set["status"] = status_object(numbers_, all, now);
    json::object delta{{"seq", ++sequence_}, {"set", std::move(set)}};
    if (!del.empty()) delta["del"] = std::move(del);
    if (!lines.empty()) delta["log"] = std::move(lines);
    if (is_sampled) {
        auto const& last = history_.back();
        delta["history"] = {{"up_rate", last.up_rate},
                            {"down_rate", last.down_rate},
                            {"announces_rate", last.announces_rate},
                            {"nodes", last.nodes}};
    }
    events_.push_back({sequence_, std::make_shared<std::string const>(event_text("delta", boot_, sequence_, delta))});
    event_bytes_ += events_.back().text->size();
    while (events_.size() > events_kept || event_bytes_ > event_bytes_kept) {
        event_bytes_ -= events_.front().text->size();
        events_.pop_front();
    }
}

namespace {
json::object history_object(auto const& history, std::int64_t end_at) {
    json::array up, down, announces, nodes;
    for (auto const& each : history) {
        up.push_back(each.up_rate);
        down.push_back(each.down_rate);
        announces.push_back(each.announces_rate);
        nodes.push_back(each.nodes);
    }
    return {{"step_s", history_step.count()},
            {"end_at", end_at},
            {"up_rate", std::move(up)},
            {"down_rate", std::move(down)},
            {"announces_rate", std::move(announces)},
            {"nodes", std::move(nodes)}};
}
}  // namespace

std::string const& monitor::snapshot(time_point now) {
    if (!snapshot_.empty() && snapshot_sequence_ == sequence_) return snapshot_;
    snapshot_sequence_ = sequence_;
    json::object nodes, torrents, peers, transfers;
    for (auto const& [number, each] : nodes_.nodes()) {
        if (nodes.size() == objects_shown) break;
        nodes[id_of(number)] = node_object(each, wall(each.since));
    }
    for (auto const& [hash, of] : nodes_.torrents()) {
        if (torrents.size() == objects_shown) break;
        torrents[hex(hash)] = object_of(hash);
        for (auto const& [number, each] : of.members) {
            if (peers.size() >= 2 * objects_shown) break;
            auto const& who = nodes_.nodes().at(number);
            peers[peer_key(hash, number)] = peer_object(hash, who, each);
            for (auto& [key, transfer] : transfers_of(nodes_, hash, who, each)) {
                if (transfers.size() == objects_shown) break;
                transfers[key] = std::move(transfer);
                transfers_of_[{hash, number}].insert(key);
            }
        }
    }
    for (auto const& [hash, known] : shared) {
        if (torrents.size() == objects_shown) break;
        if (!known.owners.empty() && !nodes_.torrents().contains(hash)) torrents[hex(hash)] = object_of(hash);
    }
    json::object const whole{{"seq", sequence_},
                             {"status", status_object(numbers_, all_traffic(), now)},
                             {"nodes", std::move(nodes)},
                             {"torrents", std::move(torrents)},
                             {"peers", std::move(peers)},
                             {"transfers", std::move(transfers)},
                             {"log", log_array(log_, log_lines_shown)},
                             {"history", history_object(history_, wall(sampled_at_))}};
    return snapshot_ = event_text("snapshot", boot_, sequence_, whole);
}

std::string monitor::catch_up(std::string_view last_id, std::uint64_t& position, time_point now) {
    auto const dash = last_id.rfind('-');
    std::uint64_t had = 0;
    bool const is_ours =
        dash != last_id.npos && last_id.substr(0, dash) == boot_ &&
        std::from_chars(last_id.data() + dash + 1, last_id.data() + last_id.size(), had).ec == std::errc{};
    bool const is_kept =
        is_ours && had <= sequence_ && (had == sequence_ || (!events_.empty() && events_.front().number <= had + 1));
    std::string out;
    position = sequence_;
    if (!is_kept) return snapshot(now);
    for (auto const& each : events_)
        if (each.number > had) out += *each.text;
    return out;
}

std::vector<std::shared_ptr<std::string const>> monitor::after(std::uint64_t& position, time_point now) {
    std::vector<std::shared_ptr<std::string const>> out;
    if (position == sequence_) return out;
    if (events_.empty() || events_.front().number > position + 1) {
        out.push_back(std::make_shared<std::string const>(snapshot(now)));
    } else {
        for (auto const& each : events_)
            if (each.number > position) out.push_back(each.text);
    }
    position = sequence_;
    return out;
}

std::string monitor::status_json(monitor_numbers const& numbers, time_point now) const {
    return json::serialize(status_object(numbers, all_traffic(), now));
}

std::string monitor::nodes_json(node_number after, std::size_t limit) const {
    json::array all;
    auto at = nodes_.nodes().upper_bound(after);
    for (; at != nodes_.nodes().end() && all.size() < limit; ++at)
        all.push_back(node_object(at->second, wall(at->second.since)));
    json::object out{{"nodes", std::move(all)}};
    out["next"] = at == nodes_.nodes().end() ? json::value(nullptr) : json::value(id_of(std::prev(at)->first));
    return json::serialize(out);
}

std::set<info_hash> monitor::torrents() const {
    std::set<info_hash> all;
    for (auto const& [hash, of] : nodes_.torrents()) all.insert(hash);
    for (auto const& [hash, known] : shared) all.insert(hash);
    return all;
}

bool monitor::knows(info_hash const& torrent) const {
    return shared.contains(torrent) || nodes_.torrents().contains(torrent);
}

json::object monitor::object_of(info_hash const& torrent) const {
    auto const active = nodes_.torrents().find(torrent);
    auto const known = shared.find(torrent);
    bool const is_active = active != nodes_.torrents().end();
    return torrent_object(torrent, known == shared.end() ? nullptr : &known->second,
                          is_active ? &active->second : nullptr,
                          is_active ? health_of(torrent, active->second) : json::value(nullptr));
}

std::string monitor::torrents_json(std::vector<info_hash> const& wanted, std::size_t total,
                                   std::optional<std::string> const& next) const {
    json::array all;
    for (auto const& hash : wanted) all.push_back(object_of(hash));
    json::object out{{"torrents", std::move(all)}, {"total", total}};
    out["next"] = next ? json::value(*next) : json::value(nullptr);
    return json::serialize(out);
}

std::string monitor::torrent_json(info_hash const& torrent, std::string const& files) const {
    auto out = object_of(torrent);
    json::array peers;
    if (auto const active = nodes_.torrents().find(torrent); active != nodes_.torrents().end()) {
        std::size_t bytes = 0;
        for (auto const& [number, each] : active->second.members) {
            if (peers.size() == objects_shown || bytes > bitfield_bytes_shown) break;
            auto peer = peer_object(torrent, nodes_.nodes().at(number), each);
            auto bitfield = base64(each.have.wire_bytes());
            bytes += bitfield.size();
            peer["bitfield"] = std::move(bitfield);
            peers.push_back(std::move(peer));
        }
    }
    out["peers"] = std::move(peers);
    auto text = json::serialize(out);
    text.pop_back();
    return text + ",\"files\":" + files + "}";
}

std::string monitor::transfers_json() const {
    json::array all;
    bool is_more = false;
    for (auto const& [hash, of] : nodes_.torrents()) {
        for (auto const& [number, each] : of.members) {
            if (is_more || each.serving.empty()) continue;
            for (auto& [key, transfer] : transfers_of(nodes_, hash, nodes_.nodes().at(number), each)) {
                is_more = all.size() == objects_shown;
                if (is_more) break;
                all.push_back(std::move(transfer));
            }
        }
    }
    return json::serialize(json::object{{"transfers", std::move(all)}, {"more", is_more}});
}

std::string monitor::history_json(time_point) const {
    return json::serialize(history_object(history_, wall(sampled_at_)));
}

std::string monitor::log_json(std::size_t limit) const {
    return json::serialize(json::object{{"log", log_array(log_, limit)}});
}

std::string monitor::metrics(monitor_numbers const& numbers, time_point now) const {
    std::string out;
    auto const add = [&](std::string_view name, std::string_view kind, std::string_view help, auto value) {
        out.append("# HELP shoal_").append(name).append(" ").append(help).append("\n# TYPE shoal_").append(name);
        out.append(" ")
            .append(kind)
            .append("\nshoal_")
            .append(name)
            .append(" ")
            .append(std::to_string(value))
            .append("\n");
    };
    auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(now - started_).count();
    add("uptime_seconds", "gauge", "Seconds since the hub was started.", seconds);
    add("nodes", "gauge", "Nodes with a session.", nodes_.session_count());
    add("nodes_waiting", "gauge", "Nodes that wait for a place.", nodes_.waiting_count());
    add("torrents_active", "gauge", "Torrents with a node that is shown.", nodes_.torrents().size());
    add("catalogue_torrents", "gauge", "Torrents in the catalogue.", shared.size());
    add("registry_peers", "gauge", "Peers that trackers' clients are introduced to.", numbers.registry_peers);
    add("registry_torrents", "gauge", "Torrents with such peers.", numbers.registry_torrents);
    add("announces_http_total", "counter", "Announces by HTTP.", numbers.announces_http);
    add("announces_udp_total", "counter", "Announces by UDP.", numbers.announces_udp);
    add("upload_bytes_per_second", "gauge", "What all nodes together say they send.", all_traffic().up_rate);
    add("session_messages_refused_total", "counter", "Session messages that were broken.", nodes_.refused_messages());
    add("not_permitted_total", "counter", "Requests without a passkey, or with a wrong one.", numbers.not_permitted);
    add("event_streams", "gauge", "Pages that listen.", listeners_);
    return out;
}
}  // namespace shoal::hub
