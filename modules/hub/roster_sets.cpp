module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

module shoal.hub;
import shoal.core;
import shoal.session;

/// How sessions hear of each other: whole peer sets, and what changed.
namespace shoal::hub {
namespace {
using namespace std::chrono_literals;

/// Peers that announce are told to sessions in batches; a large swarm less often, so that the work stays linear.
constexpr auto tell_after = 500ms;
constexpr auto tell_later_per_member = 4ms;

/// Bytes of peers in one message, roughly: bitfields make a set large, and no message may near its limit.
constexpr std::size_t set_bytes_max = 1u << 20;
constexpr std::size_t bytes_beside_bitfield = 512;

bool is_full(session::peer_set const& set, member const& last) {
    return set.peers.size() >= session::set_max ||
           set.peers.size() * (last.have.size() / 8 + bytes_beside_bitfield) >= set_bytes_max;
}

session::set_member told(node const& who, member const& of, bool whole) {
    session::set_member entry;
    entry.at = who.at;
    entry.client = who.client.substr(0, session::text_max);
    entry.is_session = who.is_session;
    entry.is_complete = of.is_complete;
    entry.uploaded = of.uploaded;
    entry.downloaded = of.downloaded;
    if ((whole || of.is_new) && of.have.size() > 0)
        entry.have = of.have;
    else
        entry.gained = of.gained;
    return entry;
}
}  // namespace

void roster::send_whole_set(session_id to, info_hash const& torrent) {
    auto const self = sessions_.at(to).number;
    session::peer_set set;
    set.torrent = torrent;
    set.is_whole = true;
    auto const found = torrents_.find(torrent);
    std::size_t count = 0;
    if (found != torrents_.end()) {
        for (auto const& [number, of] : found->second.members) {
            auto const& who = nodes_.at(number);
            if (number == self || who.at.port == 0) continue;
            if (++count > limits_.set_peers_max) break;
            set.peers.push_back(told(who, of, true));
            if (is_full(set, of)) send(to, std::exchange(set, {torrent, false, {}, {}}));
        }
    }
    if (set.is_whole || !set.peers.empty()) send(to, set);
}

void roster::send_changes(info_hash const& torrent, membership& of, time_point now) {
    if (of.touched.empty() && of.gone.empty()) return;
    if (now - of.told_at < tell_after + tell_later_per_member * of.members.size()) return;
    of.told_at = now;
    session::peer_set set;
    set.torrent = torrent;
    auto const flush = [&] {
        if (set.peers.empty() && set.gone.empty()) return;
        auto const encoded = std::make_shared<byte_vector const>(session::encode(session::hub_message{set}));
        for (auto const& [number, each] : of.members)
            if (auto const to = session_of_.find(number); to != session_of_.end()) send(to->second, encoded);
        set.peers.clear();
        set.gone.clear();
    };
    for (auto const& at : of.gone) {
        set.gone.push_back(at);
        if (set.gone.size() == session::set_max) flush();
    }
    of.gone.clear();
    for (auto const number : std::exchange(of.touched, {})) {
        auto const found = of.members.find(number);
        if (found == of.members.end()) continue;
        auto& each = found->second;
        auto const& who = nodes_.at(number);
        if (each.gained.size() > session::changes_max) each.is_new = true;
        if (who.at.port != 0 && of.session_members > 0) set.peers.push_back(told(who, each, false));
        each.gained = {};
        each.is_new = false;
        if (is_full(set, each)) flush();
    }
    flush();
}
}  // namespace shoal::hub
