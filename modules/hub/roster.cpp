module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/try.hpp"

module shoal.hub;
import shoal.announce;
import shoal.core;
import shoal.session;

namespace shoal::hub {
namespace {
using namespace std::chrono_literals;

/// Publications that wait for the catalogue, and bytes of their metainfo: four of the largest.
constexpr std::size_t publications_max = 1000;
constexpr std::size_t publication_bytes_max = 4 * session::metainfo_max;
}  // namespace

roster::roster(roster_limits limits, siphash_key const& secret)
    : limits_(limits), secret_(secret), by_address_(0, keyed_hash{secret}) {}

// Sessions

session_id roster::connected(endpoint const& from, time_point now, std::string member) {
    auto const which = ++last_session_;
    auto& added = sessions_[which];
    added.from = from;
    added.member = std::move(member);
    added.second = now;
    return which;
}

result<void> roster::received(session_id from, byte_view message, time_point now) {
    auto const found = sessions_.find(from);
    if (found == sessions_.end()) return success();
    auto& state = found->second;
    if (now - state.second >= 1s) {
        state.second = now;
        state.messages = 0;
    }
    if (++state.messages > limits_.messages_per_second) return session::errc::too_large;
    auto parsed = session::parse_peer_message(message);
    if (!parsed && parsed.error() == session::errc::unknown_kind) return success();
    if (!parsed) {
        ++refused_messages_;
        if (parsed.error() == session::errc::unsupported_version)
            send(from, session::refused{session::request::hello, {}, parsed.error().message()});
        return parsed.error();
    }
    auto& what = parsed.value();
    if (state.has_said_hello == std::holds_alternative<session::hello>(what)) {
        ++refused_messages_;
        return session::errc::malformed;  // the first message is a hello, and no other
    }
    if (state.waits) return success();  // it comes again with it when it is let in
    return std::visit([&](auto& said) { return handle(from, said, now); }, what);
}

time_point roster::may_go_on_at(session_id which) const {
    auto const found = sessions_.find(which);
    if (found == sessions_.end() || found->second.messages < limits_.messages_per_second) return {};
    return found->second.second + 1s;
}

bool roster::has_said_hello(session_id which) const {
    auto const found = sessions_.find(which);
    return found != sessions_.end() && found->second.has_said_hello;
}

result<void> roster::handle(session_id from, session::hello const& said, time_point now) {
    auto& state = sessions_.at(from);
    state.has_said_hello = true;
    state.id = said.id;
    state.client = said.client;
    state.port = said.port;
    replace_older(from, now);
    if (admitted_ < limits_.sessions_max && line_.empty()) {
        admit(from, said.resume, now);
        return success();
    }
    if (line_.size() >= limits_.waiting_max) {
        send(from, session::refused{session::request::hello, {}, "the hub is full; come again later"});
        return std::make_error_code(std::errc::resource_unavailable_try_again);
    }
    state.waits = true;
    state.resume = said.resume;
    line_.push_back(from);
    note("waiting", 0, std::nullopt, "[WAITING] " + comma({state.from.address, state.port}) + " waits for a place");
    send(from, session::wait{limits_.wait, static_cast<std::uint32_t>(line_.size())});
    return success();
}

/// The same peer at the same address has come again before we noticed that its old connection is dead.
void roster::replace_older(session_id which, time_point now) {
    auto const& state = sessions_.at(which);
    for (auto const& [other, older] : sessions_) {
        if (other == which || !older.has_said_hello || older.id != state.id) continue;
        if (older.from.address != state.from.address) continue;
        disconnected(other, now);
        return;
    }
}

void roster::admit(session_id which, std::optional<session::token> const& resume, time_point now) {
    auto& state = sessions_.at(which);
    endpoint const at{state.from.address, state.port};
    std::set<info_hash> counted;
    ++admitted_;  // before an older one leaves, whose place is not given to somebody in line then
    if (auto const other = by_address_.find(at); other != by_address_.end() && at.port != 0) {
        // An announcing client becomes a session; two sessions cannot listen on one address.
        auto const number = other->second->number;
        if (auto const older = session_of_.find(number); older != session_of_.end()) {
            disconnected(older->second, now);
        } else {
            for (auto const& [torrent, part] : other->second->torrents)
                if (part->is_counted) counted.insert(torrent);
            remove_node(number);
        }
    }
    try {
        auto const number = add_node(at, state.client, true, now).number;
        session_of_[number] = which;
        state.number = number;
    } catch (...) {  // no memory: it has no place
        --admitted_;
        remove_node(last_node_);
        throw;
    }
    auto& added = nodes_.at(state.number);
    added.member_name = state.member;
    added.counted = std::move(counted);
    state.waits = false;
    session::welcome reply;
    reply.seen_as = state.from.address;
    reply.every = limits_.every;
    note("connected", added.number, std::nullopt, "[NEW CONNECTION] " + comma(at) + " connected");
    note("connected", 0, std::nullopt, "[ACTIVE CONNECTIONS] " + std::to_string(admitted_));
    if (auto const lost = resume ? lost_.find(*resume) : lost_.end(); lost != lost_.end()) {
        if (lost->second.id == state.id) {
            for (auto& [torrent, member] : lost->second.members) {
                if (!fits(torrent, member.have)) continue;
                // Back at once, it has not left: the registry would forget whether it was counted.
                std::erase_if(presences_, [&](presence const& each) {
                    return each.has_left && each.torrent == torrent && each.at == at;
                });
                auto& kept = add_member(torrent, added);
                auto& of = torrents_.at(torrent);
                ++of.session_members;
                traffic_change const summed{traffic_, kept};
                kept = std::exchange(member, {});
                added.bytes += kept.bytes;  // counted among all still
                kept.of = added.number;
                kept.is_new = true;
                kept.is_counted = kept.is_counted || added.counted.contains(torrent);
                kept.seen = now;
                kept.serving.clear();
                of.pieces = kept.have.size();
                reply.torrents.push_back({torrent, kept.number});
                present(torrent, added, kept, now);
                touch(torrent, added.number);
            }
        }
        forget_lost(lost);
    }
    state.proof = draw_token();
    reply.resume = state.proof;
    send(which, reply);
    for (auto const& each : reply.torrents) send_whole_set(which, each.torrent);
}

/// Numbers under a keyed hash: whoever knows his own token learns nothing of others'.
session::token roster::draw_token() {
    session::token drawn;
    for (std::size_t i = 0; i < drawn.size(); i += 8) {
        std::array<std::byte, 8> number;
        store_be(mutable_byte_view{number}, tokens_++);
        store_be(mutable_byte_view{drawn}.subspan(i, 8), siphash(secret_, number));
    }
    return drawn;
}

/// Whether it has as many pieces as the torrent, as far as anybody has said.
bool roster::fits(info_hash const& torrent, bitfield const& have) const {
    auto const there = torrents_.find(torrent);
    auto const told = there == torrents_.end() ? 0 : there->second.pieces;
    auto const known = pieces_known ? pieces_known(torrent) : 0;
    return (told == 0 || told == have.size()) && (known == 0 || known == have.size());
}

result<void> roster::handle(session_id from, session::join& said, time_point now) {
    auto& state = sessions_.at(from);
    auto& self = nodes_.at(state.number);
    auto const refuse = [&](std::string reason) {
        send(from, session::refused{session::request::join, said.torrent, std::move(reason)});
        return success();
    };
    if (self.torrents.size() >= session::torrents_max && !self.torrents.contains(said.torrent))
        return refuse("too many torrents in one session");
    if (!fits(said.torrent, said.have)) return refuse("the torrent has another number of pieces");
    auto const there = self.torrents.find(said.torrent);
    auto* const had = there != self.torrents.end() ? there->second : nullptr;
    if (!is_room_for(self, had, bytes_for(said.have.size()))) return refuse("the hub has no memory for so many pieces");
    bool const is_new = had == nullptr;
    auto& joined = had != nullptr ? *had : add_member(said.torrent, self);
    auto& of = torrents_.at(said.torrent);
    of.pieces = said.have.size();
    if (of.size == 0) of.size = said.size;
    if (is_new) {
        joined.is_counted = self.counted.contains(said.torrent);
        ++of.session_members;
        note("joined", state.number, said.torrent, comma(self.at) + " joined");
    }
    joined.have = std::move(said.have);
    joined.is_complete = joined.have.all();
    traffic_change const summed{traffic_, joined};
    joined.uploaded = said.uploaded;
    joined.downloaded = said.downloaded;
    joined.number = 0;
    joined.seen = now;
    joined.is_new = true;
    joined.gained = {};
    joined.serving = {};
    weigh(self, joined);
    touch(said.torrent, state.number);
    present(said.torrent, self, joined, now);
    send(from, session::done{session::request::join, said.torrent});
    send_whole_set(from, said.torrent);
    return success();
}

result<void> roster::handle(session_id from, session::status const& said, time_point now) {
    auto const number = sessions_.at(from).number;
    auto const torrent = torrents_.find(said.torrent);
    if (torrent == torrents_.end() || !torrent->second.members.contains(number)) {
        send(from, session::refused{session::request::status, said.torrent, "join the torrent first"});
        return success();
    }
    auto& self = torrent->second.members.at(number);
    for (auto const* list : {&said.gained, &said.lost})
        for (auto const piece : *list)
            if (to_number(piece) >= self.have.size()) return session::errc::out_of_range;
    for (auto const piece : said.gained)
        if (self.have.set(piece)) self.gained.push_back(piece);
    if (self.gained.size() > session::changes_max) {  // told as a whole bitfield
        self.gained = {};
        self.is_new = true;
    }
    for (auto const piece : said.lost)
        if (self.have.set(piece, false)) self.is_new = true;  // told as a whole bitfield
    bool const completes = self.have.all() && !self.is_complete;
    self.is_complete = self.have.all();
    traffic_change const summed{traffic_, self};
    self.uploaded = said.uploaded;
    self.downloaded = said.downloaded;
    self.up_rate = said.up_rate;
    self.down_rate = said.down_rate;
    auto& who = nodes_.at(number);
    if (said.serving) {
        self.serving = *said.serving;
        if (!is_room_for(who, &self, bytes_for(self.have.size()) + self.serving.size() * sizeof(session::served)))
            self.serving = {};  // the page shows less
        weigh(who, self);
    }
    self.number = said.number;
    self.seen = now;
    touch(said.torrent, number);
    if (completes) {
        // Once: a piece that a disk lost and that is fetched again makes no further download.
        bool const is_first = !std::exchange(self.is_counted, true);
        if (is_first) note("completed", number, said.torrent, comma(who.at) + " is complete");
        present(said.torrent, who, self, now, is_first);
    }
    if (said.is_asked) {
        note("updated", number, said.torrent, "[PEER UPDATE] " + comma(who.at));
        send(from, session::done{session::request::status, said.torrent});
    }
    return success();
}

result<void> roster::handle(session_id from, session::leave const& said, time_point) {
    auto const number = sessions_.at(from).number;
    auto& self = nodes_.at(number);
    if (self.torrents.contains(said.torrent)) {
        presences_.push_back({said.torrent, self.at, false, true});
        note("left", number, said.torrent,
             (said.quits ? "[PEER QUIT TORRENT] " : "[PEER DISCONNECTED TRACKER] ") + comma(self.at));
        remove_member(said.torrent, number);
    }
    send(from, session::done{session::request::leave, said.torrent});
    return success();
}

result<void> roster::handle(session_id from, session::ask_peers const& said, time_point) {
    send_whole_set(from, said.torrent);
    return success();
}

result<void> roster::handle(session_id from, session::publish& said, time_point) {
    order(from, session::request::publish, said.torrent, std::move(said.metainfo));
    return success();
}

result<void> roster::handle(session_id from, session::unpublish const& said, time_point) {
    order(from, session::request::unpublish, said.torrent, std::nullopt);
    return success();
}

void roster::order(session_id from, session::request what, info_hash const& torrent,
                   std::optional<byte_vector> metainfo) {
    auto const bytes = metainfo ? metainfo->size() : 0;
    if (publications_.size() >= publications_max || publication_bytes_ + bytes > publication_bytes_max) {
        send(from, session::refused{what, torrent, "the hub is busy; try again later"});
        return;
    }
    publication_bytes_ += bytes;
    auto const& self = nodes_.at(sessions_.at(from).number);
    publications_.push_back({from, self.number, self.at, self.member_name, torrent, std::move(metainfo)});
}

/// Where there is no memory it throws, and is called again.
void roster::disconnected(session_id which, time_point now) {
    auto const found = sessions_.find(which);
    if (found == sessions_.end()) return;
    auto& state = found->second;
    std::erase(line_, which);
    bool const waited = state.waits;
    if (state.number != 0) {
        auto const& self = nodes_.at(state.number);
        auto const at = self.at;
        lost_session kept{state.id, {}, now + limits_.resumable};
        bool const keeps = !self.torrents.empty() && lost_.size() < limits_.sessions_max;
        std::size_t bytes = 0;
        for (auto const& [torrent, part] : self.torrents) {
            presences_.push_back({torrent, at, false, true});
            if (!keeps) continue;
            auto& of = kept.members.emplace(torrent, *part).first->second;
            of.serving = {};
            of.gained = {};
            of.bytes = bytes_for(of.have.size());
            bytes += of.bytes;
        }
        if (keeps && lost_.emplace(state.proof, std::move(kept)).second) bytes_ += bytes;
        note("disconnected", state.number, std::nullopt, "[PEER DISCONNECTED] " + comma(at));
        session_of_.erase(state.number);
        remove_node(state.number);
        state.number = 0;
        --admitted_;
        note("disconnected", 0, std::nullopt, "[ACTIVE CONNECTIONS] " + std::to_string(admitted_));
    }
    ready_.push_back(which);  // its writer finds that it is over
    sessions_.erase(found);
    if (waited) tell_places();
    let_in(now);
}

void roster::let_in(time_point now) {
    bool changed = false;
    while (admitted_ < limits_.sessions_max && !line_.empty()) {
        auto const next = line_.front();
        line_.pop_front();
        admit(next, sessions_.at(next).resume, now);
        changed = true;
    }
    if (changed) tell_places();
}

void roster::tell_places() {
    std::uint32_t place = 0;
    for (auto const each : line_) send(each, session::wait{limits_.wait, ++place});
}

// Output

std::vector<std::shared_ptr<byte_vector const>> roster::take_output(session_id to) {
    auto const found = sessions_.find(to);
    if (found == sessions_.end()) return {};
    auto& state = found->second;
    std::vector<std::shared_ptr<byte_vector const>> taken{state.output.begin(), state.output.end()};
    state.output.clear();
    state.output_bytes = 0;
    return taken;
}

bool roster::overflowed(session_id which) const {
    auto const found = sessions_.find(which);
    return found == sessions_.end() || found->second.output_bytes > limits_.output_max;
}

std::vector<session_id> roster::take_ready() {
    return std::exchange(ready_, {});
}

void roster::send(session_id to, session::hub_message const& message) {
    send(to, std::make_shared<byte_vector const>(session::encode(message)));
}

void roster::send(session_id to, std::shared_ptr<byte_vector const> encoded) {
    auto const found = sessions_.find(to);
    if (found == sessions_.end()) return;
    auto& state = found->second;
    if (state.output_bytes > limits_.output_max) return;  // it is being dropped
    if (state.output.empty()) ready_.push_back(to);
    state.output_bytes += encoded->size();
    state.output.push_back(std::move(encoded));
}

// Publishing

std::optional<publish_order> roster::take_publication() {
    if (publications_.empty()) return std::nullopt;
    auto next = std::move(publications_.front());
    publications_.pop_front();
    if (next.metainfo) publication_bytes_ -= next.metainfo->size();
    return next;
}

void roster::answer_publication(publish_order const& asked, std::string const& refusal) {
    bool const adds = asked.metainfo.has_value();
    auto const what = adds ? session::request::publish : session::request::unpublish;
    if (!refusal.empty()) {
        note("refused", asked.owner, asked.torrent, comma(asked.at) + ": " + refusal);
        send(asked.from, session::refused{what, asked.torrent, refusal.substr(0, session::text_max)});
        return;
    }
    note(adds ? "published" : "unpublished", asked.owner, asked.torrent,
         comma(asked.at) + (adds ? " shares it" : " shares it no more"));
    touched_.torrents.insert(asked.torrent);
    send(asked.from, session::done{what, asked.torrent});
}

void roster::know(info_hash const& torrent, std::uint32_t pieces, std::uint64_t size) {
    auto const found = torrents_.find(torrent);
    if (found == torrents_.end()) return;
    touched_.torrents.insert(torrent);
    auto& of = found->second;
    of.size = size;
    if (of.pieces == pieces) return;
    of.pieces = pieces;
    std::vector<node_number> wrong;
    for (auto const& [number, each] : of.members)
        if (each.have.size() != 0 && each.have.size() != pieces) wrong.push_back(number);
    for (auto const number : wrong) {
        if (auto const to = session_of_.find(number); to != session_of_.end())
            send(to->second,
                 session::refused{session::request::join, torrent, "the torrent has another number of pieces"});
        remove_member(torrent, number);
    }
}
}  // namespace shoal::hub
