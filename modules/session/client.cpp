module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "core/canary.hpp"
#include "core/try.hpp"

module shoal.session;
import shoal.core;

namespace shoal::session {
namespace {
std::size_t bytes_of(std::optional<bitfield> const& pieces) {
    return pieces ? std::size_t{pieces->size()} / 8 + 1 : 0;
}
}  // namespace

client::client(client_settings settings, time_point now)
    : settings_(std::move(settings)), random_(settings_.seed), next_try_(now) {
    settings_.name.resize(std::min(settings_.name.size(), text_max));
}

bool client::wants_connection(time_point now) const noexcept {
    return state_ == state::absent && now >= next_try_;
}

void client::connected(time_point now) {
    state_ = state::greeting;
    hello_at_ = now;
    orders_.clear();
    say(request::hello, {});
}

void client::disconnected(time_point now) {
    if (state_ == state::open || state_ == state::waiting) events_.emplace_back(client_event::lost{});
    state_ = state::absent;
    orders_.clear();
    auto const doubled = reconnect_after * (1 << std::min(tries_, 10u));
    auto const wait = std::min<duration>(doubled, reconnect_after_max);
    next_try_ = now + std::chrono::duration_cast<duration>(wait * random_factor());
    ++tries_;
}

/// From 0.5 to 1.5. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
double client::random_factor() noexcept {
    random_ += 0x9e37'79b9'7f4a'7c15u;
    auto mixed = random_;
    mixed = (mixed ^ (mixed >> 30u)) * 0xbf58'476d'1ce4'e5b9u;
    mixed = (mixed ^ (mixed >> 27u)) * 0x94d0'49bb'1331'11ebu;
    mixed ^= mixed >> 31u;
    return 0.5 + static_cast<double>(mixed >> 11u) * 0x1p-53;
}

result<void> client::wake(time_point now) {
    if (state_ == state::greeting && now - hello_at_ >= hello_timeout) return errc::malformed;
    return success();
}

time_point client::deadline() const {
    switch (state_) {
        case state::absent:
            return next_try_;
        case state::greeting:
            return hello_at_ + hello_timeout;
        case state::opening:
        case state::waiting:
            return time_point::max();
        case state::open:
            break;
    }
    return due_.empty() ? time_point::max() : due_.begin()->first;
}

/// When its next status goes out.
time_point client::due_at(joined const& of) const {
    bool const has_news = of.told < of.changes.size() || of.has_news || of.has_serving_news;
    if (!of.is_told || (!has_news && !of.is_asked)) return time_point::max();
    return of.is_urgent || of.is_asked ? time_point::min() : of.told_at + every_;
}

std::optional<byte_vector> client::next_message(time_point now) {
    if (state_ == state::absent || state_ == state::opening) return std::nullopt;
    while (!orders_.empty()) {
        auto const next = orders_.front();
        orders_.pop_front();
        if (auto bytes = encode_order(next)) return bytes;
    }
    if (state_ != state::open) return std::nullopt;
    if (due_.empty() || due_.begin()->first > now) return std::nullopt;
    auto const next = torrents_.find(due_.begin()->second);
    return encode_status(next->first, next->second, now);
}

/// After whatever may have changed when its next status goes out. Of thousands of torrents few have one: nobody looks
/// at the others.
void client::reschedule(info_hash const& torrent, joined& of) {
    auto const due = due_at(of);
    if (due == of.due) return;
    if (due != time_point::max()) due_.emplace(due, torrent);
    if (of.due != time_point::max()) due_.erase({of.due, torrent});
    of.due = due;
}

std::optional<byte_vector> client::encode_order(order const& next) {
    switch (next.what) {
        case request::hello:
            return encode(peer_message{hello{version, settings_.id, settings_.port, settings_.name, token_}});
        case request::join: {
            auto const at = torrents_.find(next.torrent);
            if (at == torrents_.end()) break;
            auto& of = at->second;
            of.is_told = true;
            ++of.joins_asked;
            of.changes.clear();
            of.told = 0;
            of.has_news = false;
            of.has_serving_news = !of.serving.empty();
            of.is_urgent = true;
            reschedule(next.torrent, of);
            return encode(peer_message{
                session::join{next.torrent, of.size, of.have, of.traffic.uploaded, of.traffic.downloaded}});
        }
        case request::leave:
            return encode(peer_message{session::leave{next.torrent, next.quits}});
        case request::peers:
            return encode(peer_message{session::ask_peers{next.torrent}});
        case request::publish: {
            auto const at = published_.find(next.torrent);
            if (at == published_.end()) break;
            at->second.is_answered = false;
            return encode(peer_message{session::publish{next.torrent, *at->second.metainfo}});
        }
        case request::unpublish:
            return encode(peer_message{session::unpublish{next.torrent}});
        case request::status:
            break;  // no order: it is made from what has changed
    }
    return std::nullopt;
}

/// As many changes as one message takes: those of one kind in a row, so that gains and losses keep their order.
byte_vector client::encode_status(info_hash const& torrent, joined& of, time_point now) {
    status said;
    said.torrent = torrent;
    auto const kind = of.told < of.changes.size() && of.changes[of.told].is_gain;
    auto& pieces = kind ? said.gained : said.lost;
    for (; of.told < of.changes.size() && of.changes[of.told].is_gain == kind && pieces.size() < changes_max; ++of.told)
        pieces.push_back(of.changes[of.told].piece);
    said.number = of.told;
    said.uploaded = of.traffic.uploaded;
    said.downloaded = of.traffic.downloaded;
    said.up_rate = of.traffic.up_rate;
    said.down_rate = of.traffic.down_rate;
    if (std::exchange(of.has_serving_news, false)) said.serving = of.serving;
    of.has_news = false;
    bool const is_all = of.told == of.changes.size();
    said.is_asked = is_all && std::exchange(of.is_asked, false);
    of.is_urgent = !is_all;
    of.told_at = now;
    reschedule(torrent, of);
    return encode(peer_message{std::move(said)});
}

std::optional<any_client_event> client::next_event() {
    if (events_.empty()) return std::nullopt;
    auto next = std::move(events_.front());
    events_.pop_front();
    return next;
}

void client::say(request what, info_hash const& torrent, bool quits) {
    if (state_ == state::open || what == request::hello) orders_.push_back({what, torrent, quits});
}

result<void> client::join(info_hash const& torrent, std::uint64_t size, bitfield have, traffic const& so_far) {
    if (torrents_.size() >= torrents_max && !torrents_.contains(torrent)) return errc::too_large;
    auto& of = torrents_[torrent];
    if (of.due != time_point::max()) due_.erase({of.due, torrent});
    of = joined{};
    of.size = size;
    of.have = std::move(have);
    of.traffic = so_far;
    say(request::join, torrent);
    return success();
}

void client::gained(info_hash const& torrent, piece_index piece) {
    piece_changed(torrent, piece, true);
}
void client::lost(info_hash const& torrent, piece_index piece) {
    piece_changed(torrent, piece, false);
}

void client::has_now(info_hash const& torrent, bitfield const& have) {
    auto const at = torrents_.find(torrent);
    if (at == torrents_.end() || at->second.have == have) return;
    for (bool const is_gain : {false, true})
        for (std::uint32_t i = 0; i < have.size(); ++i)
            if (have.test(piece_index{i}) == is_gain) piece_changed(torrent, piece_index{i}, is_gain);
}

void client::piece_changed(info_hash const& torrent, piece_index piece, bool is_gain) {
    auto const at = torrents_.find(torrent);
    if (at == torrents_.end() || to_number(piece) >= at->second.have.size()) return;
    auto& of = at->second;
    if (!of.have.set(piece, is_gain) || !of.is_told) return;
    of.changes.push_back({piece, is_gain});
    if (of.have.all()) of.is_urgent = true;
    // Whoever gains and loses for ever is told of anew.
    bool const is_too_much = of.changes.size() > 2 * std::size_t{of.have.size()} + 64;
    if (is_too_much) of.is_told = false;
    reschedule(torrent, of);
    if (is_too_much) say(request::join, torrent);
}

void client::update(info_hash const& torrent, traffic const& now_at, std::vector<served> serving) {
    auto const at = torrents_.find(torrent);
    if (at == torrents_.end()) return;
    auto& of = at->second;
    if (serving.size() > served_max) serving.resize(served_max);
    if (of.traffic != now_at) of.has_news = true;
    if (of.serving != serving) of.has_serving_news = true;
    of.traffic = now_at;
    of.serving = std::move(serving);
    reschedule(torrent, of);
}

void client::ask_status(info_hash const& torrent) {
    auto const at = torrents_.find(torrent);
    if (at == torrents_.end()) return;
    at->second.is_asked = true;
    reschedule(torrent, at->second);
}
void client::ask_peers(info_hash const& torrent) {
    say(request::peers, torrent);
}

void client::leave(info_hash const& torrent, bool quits) {
    auto const at = torrents_.find(torrent);
    if (at == torrents_.end()) return;
    if (at->second.due != time_point::max()) due_.erase({at->second.due, torrent});
    torrents_.erase(at);
    say(request::leave, torrent, quits);
}

result<void> client::publish(info_hash const& torrent, std::shared_ptr<byte_vector const> metainfo) {
    if (metainfo->size() > metainfo_max || (published_.size() >= torrents_max && !published_.contains(torrent)))
        return errc::too_large;
    published_[torrent] = {std::move(metainfo)};
    withdrawn_.erase(torrent);
    say(request::publish, torrent);
    return success();
}

void client::unpublish(info_hash const& torrent) {
    published_.erase(torrent);
    if (withdrawn_.size() < torrents_max) withdrawn_.insert(torrent);
    say(request::unpublish, torrent);
}

std::map<endpoint, set_member> const& client::peers(info_hash const& torrent) const {
    static std::map<endpoint, set_member> const none;
    auto const at = torrents_.find(torrent);
    return at == torrents_.end() ? none : at->second.peers;
}

result<void> client::received(byte_view message, time_point now) {
    auto read = parse_hub_message(message);
    if (!read && read.error() == errc::unknown_kind) return success();
    if (!read) return read.error();
    auto& said = read.value();
    bool const is_greeting = state_ == state::greeting || state_ == state::waiting;
    bool const opens = std::holds_alternative<welcome>(said) || std::holds_alternative<wait>(said);
    if (opens != is_greeting && !std::holds_alternative<refused>(said)) return errc::malformed;
    std::visit([&](auto& each) { on(each, now); }, said);
    return success();
}

void client::on(welcome& said, time_point) {
    state_ = state::open;
    tries_ = 0;
    every_ = std::clamp<duration>(said.every, every_min, every_max);
    token_ = said.resume;
    self_ = endpoint{said.seen_as, settings_.port};
    events_.emplace_back(client_event::welcomed{said.seen_as, !said.torrents.empty()});
    std::map<info_hash, std::uint64_t> known;
    for (auto const& each : said.torrents) known.emplace(each.torrent, each.number);
    for (auto const& [torrent, number] : known)
        if (!torrents_.contains(torrent)) say(request::leave, torrent);
    for (auto& [torrent, of] : torrents_) {
        auto const at = known.find(torrent);
        of.is_urgent = true;
        of.has_serving_news = true;
        // Of a join that was lost with the connection the hub knows nothing: it speaks of the one before.
        bool const is_heard = std::exchange(of.joins_asked, 0) == 0;
        if (at != known.end() && of.is_told && is_heard && at->second <= of.changes.size()) {
            of.told = static_cast<std::size_t>(at->second);
            of.has_news = true;
            say(request::peers, torrent);
        } else {
            of.is_told = false;
            if (is_planted("rejoin_forgotten") && of.told_at != time_point{}) continue;
            say(request::join, torrent);
        }
        reschedule(torrent, of);
    }
    if (is_planted("withdrawal_forgotten")) withdrawn_.clear();
    for (auto const& torrent : withdrawn_) say(request::unpublish, torrent);
    for (auto const& [torrent, of] : published_)
        if (!known.contains(torrent) || !of.is_answered) say(request::publish, torrent);
}

void client::on(wait& said, time_point) {
    state_ = state::waiting;
    events_.emplace_back(client_event::waiting{said.place, said.length});
}

/// The hub has heard what it answers, whatever the answer is.
void client::answered(request what, info_hash const& torrent) {
    auto const joined = torrents_.find(torrent);
    if (what == request::join && joined != torrents_.end() && joined->second.joins_asked > 0)
        --joined->second.joins_asked;
    auto const published = published_.find(torrent);
    if (what == request::publish && published != published_.end()) published->second.is_answered = true;
    if (what == request::unpublish) withdrawn_.erase(torrent);
}

void client::on(done& said, time_point) {
    answered(said.what, said.torrent);
    if (said.what != request::peers) events_.emplace_back(client_event::answered{said.what, said.torrent});
}

void client::on(refused& said, time_point) {
    answered(said.what, said.torrent);
    // Who is not let in need not come again soon.
    if (said.what == request::hello) tries_ = std::max(tries_, 10u);
    events_.emplace_back(client_event::refused{said.what, said.torrent, std::move(said.reason)});
}

void client::on(peer_set& said, time_point) {
    auto const at = torrents_.find(said.torrent);
    if (at == torrents_.end()) return;  // left meanwhile
    auto& of = at->second;
    if (said.is_whole) {
        of.peers.clear();
        of.bitfield_bytes = 0;
    }
    for (auto const& each : said.gone) drop(of, each);
    for (auto& each : said.peers)
        if (each.at != self_) take_in(of, std::move(each));
    events_.emplace_back(client_event::set_changed{said.torrent});
    if (said.is_whole) events_.emplace_back(client_event::answered{request::peers, said.torrent});
}

void client::take_in(joined& to, set_member&& member) {
    auto at = to.peers.find(member.at);
    if (at == to.peers.end()) {
        if (to.peers.size() >= members_max) return;
        at = to.peers.emplace(member.at, set_member{}).first;
    }
    auto& known = at->second;
    auto have = std::exchange(known.have, std::nullopt);
    to.bitfield_bytes -= bytes_of(have);
    if (member.have) have = std::move(member.have);
    bool const fits =
        have && have->size() == to.have.size() && to.bitfield_bytes + bytes_of(have) <= member_bitfield_bytes_max;
    if (!fits) have.reset();
    for (auto const piece : member.gained)
        if (have && to_number(piece) < have->size()) have->set(piece);
    to.bitfield_bytes += bytes_of(have);
    known = std::move(member);
    known.gained.clear();
    known.have = std::move(have);
}

void client::drop(joined& from, endpoint const& peer) {
    auto const at = from.peers.find(peer);
    if (at == from.peers.end()) return;
    from.bitfield_bytes -= bytes_of(at->second.have);
    from.peers.erase(at);
}
}  // namespace shoal::session
