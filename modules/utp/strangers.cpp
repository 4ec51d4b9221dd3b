module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
namespace {
std::uint16_t plus(std::uint16_t number, int what) noexcept {
    return static_cast<std::uint16_t>(number + what);
}
}  // namespace

/// A stranger gets one packet, no larger than his, and is remembered; no connection begins until he answers it.
void host::receive_syn(endpoint const& from, packet const& syn, time_point now) {
    name const is{from, plus(syn.header.connection_id, 1)};
    if (auto const known = by_name_.find(is); known != by_name_.end()) {
        auto const at = known->second;
        if (slots_[at].core->is_initiator()) return;  // an id of ours: BEP 29 has the attempt fail
        slots_[at].core->receive_syn(now);
        settle(at);
        return;
    }
    if (auto const known = half_open_by_name_.find(is); known != half_open_by_name_.end()) {
        auto const& attempt = *known->second;
        if (attempt.syn_nr == syn.header.seq_nr && now - attempt.since < limits::half_open_for)
            return answer_syn(attempt, syn, now);
        forget_half_open(is);
    }
    if (!settings_.accepts || !has_room_for(from)) return answer_by_reset(from, syn, now);
    auto const is_old = [&] { return now - half_open_.front().since >= limits::half_open_for; };
    while (!half_open_.empty() && (half_open_.size() >= limits::half_open_max || is_old()))
        forget_half_open(name{half_open_.front().is});
    half_open_.push_back({is, syn.header.seq_nr, static_cast<std::uint16_t>(random() >> 48U), now});
    half_open_by_name_.emplace(is, std::prev(half_open_.end()));
    answer_syn(half_open_.back(), syn, now);
}

/// A reset may have the id that the peer's packets have, or that of the packet which it answers.
void host::receive_reset(endpoint const& from, packet const& reset, time_point now) {
    for (auto const off : {0, 1, -1}) {
        auto const known = by_name_.find({from, plus(reset.header.connection_id, off)});
        if (known == by_name_.end()) continue;
        auto const at = known->second;
        auto& core = *slots_[at].core;
        if (off != 0 && core.send_id() != reset.header.connection_id) continue;
        core.receive(reset, now);
        settle(at);
        return;
    }
}

/// The packet of a stranger who has answered us begins his connection; one with another answer ends his attempt, so
/// that nobody can try them all. False when there is no such attempt.
bool host::receive_proof(name const& is, packet const& from_peer, time_point now) {
    auto const known = half_open_by_name_.find(is);
    if (known == half_open_by_name_.end()) return false;
    auto const attempt = *known->second;
    forget_half_open(is);
    // BEP 29 counts our answer, which everybody else gives the number of the first data
    auto const is_by_the_book = from_peer.header.ack_nr == attempt.seq_nr;
    auto const is_right = is_by_the_book || from_peer.header.ack_nr == plus(attempt.seq_nr, -1);
    if (!is_right || now - attempt.since >= limits::half_open_for) return true;
    if (!has_room_for(is.remote)) return false;
    connection::settings with;
    with.remote = is.remote;
    with.receive_id = is.receive_id;
    with.seq_nr = plus(attempt.seq_nr, is_by_the_book ? 1 : 0);
    with.ack_nr = attempt.syn_nr;
    auto const at = add(with, is, now);
    strangers_.add(is.remote.address);
    accepted_.push_back(handle_of(at));
    slots_[at].core->receive(from_peer, now);
    settle(at);
    return true;
}

bool host::has_room_for(endpoint const& stranger) const noexcept {
    return by_name_.size() < settings_.connections_max &&
           strangers_.has_room_for(stranger.address, settings_.per_customer_max);
}

void host::forget_half_open(name const& is) {
    auto const known = half_open_by_name_.find(is);
    half_open_.erase(known->second);
    half_open_by_name_.erase(known);
}

void host::answer_syn(half_open_connection const& to, packet const& syn, time_point now) {
    if (replies_.size() >= limits::replies_max) return;
    packet_header header;
    header.connection_id = syn.header.connection_id;
    header.timestamp_difference_microseconds = clock(now) - syn.header.timestamp_microseconds;
    header.wnd_size = static_cast<std::uint32_t>(settings_.receive_window);
    header.seq_nr = to.seq_nr;
    header.ack_nr = to.syn_nr;
    replies_.push_back({to.is.remote, header});
}

void host::answer_by_reset(endpoint const& to, packet const& unknown, time_point now) {
    if (replies_.size() >= limits::replies_max || !resets_.take(now)) return;
    packet_header header;
    header.type = packet_type::reset;
    header.connection_id = unknown.header.connection_id;
    // numbers that the peer finds plausible: a packet without data has the number of the next one with data
    header.seq_nr = plus(unknown.header.ack_nr, 1);
    header.ack_nr = plus(unknown.header.seq_nr, unknown.header.type == packet_type::state ? -1 : 0);
    replies_.push_back({to, header});
}
}  // namespace shoal::utp
