module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

module shoal.hub;
import shoal.announce;
import shoal.core;
import shoal.session;

/// Who is there, by a session or by announcing, and in which torrents.
namespace shoal::hub {
namespace {
using namespace std::chrono_literals;

/// Log lines and events that wait to be taken; beyond that the oldest news are worth less than the memory.
constexpr std::size_t happenings_max = 10'000;
/// The same for peers that only announce: the log keeps no more lines.
constexpr std::size_t announced_happenings_max = 1000;
/// A peer that only announces is shown anew no more often, but when it is complete.
constexpr auto announced_shown_every = 5s;
/// Nodes and members whose time is looked at each second: so many at least, and this part of all.
constexpr std::size_t looks_min = 1000, looks_part = 10;
/// What a member takes besides its pieces and whom it serves: nodes of maps and sets, the member itself.
constexpr std::size_t member_bytes = 512;

std::uint64_t rate_between(std::uint64_t before, std::uint64_t after, duration time) {
    auto const length = std::chrono::duration_cast<std::chrono::seconds>(time).count();
    if (after <= before || length <= 0) return 0;
    return (after - before) / static_cast<std::uint64_t>(length);
}

/// As `traffic` says.
std::uint64_t counted(std::uint64_t said) {
    return std::min(said, exact_max / 1024);
}
}  // namespace

std::size_t bytes_for(std::uint32_t pieces) {
    return member_bytes + pieces / 8;
}

std::string comma(endpoint const& at) {
    return at.address.to_string() + "," + std::to_string(at.port);
}

std::size_t keyed_hash::operator()(endpoint const& at) const {
    return siphash(key, at.address.bytes()) + at.port;
}
std::size_t keyed_hash::operator()(info_hash const& torrent) const {
    return siphash(key, torrent.view());
}

roster::traffic_change::traffic_change(traffic& sum, member const& of) : sum_(sum), of_(of) {
    sum_.up_rate -= counted(of_.up_rate);
    sum_.down_rate -= counted(of_.down_rate);
    sum_.served -= counted(of_.uploaded);
}
roster::traffic_change::~traffic_change() {
    sum_.up_rate += counted(of_.up_rate);
    sum_.down_rate += counted(of_.down_rate);
    sum_.served += counted(of_.uploaded);
}

// Ordinary clients

void roster::announced(announce::announce_request const& request, endpoint const& at, time_point now) {
    if (at.port == 0) return;
    auto const known = by_address_.find(at);
    auto* const there = known == by_address_.end() ? nullptr : known->second;
    if (there != nullptr && there->is_session) return;  // its session tells more
    member* had = nullptr;
    if (there != nullptr)
        if (auto const found = there->torrents.find(request.torrent); found != there->torrents.end())
            had = found->second;
    if (request.what == announce::event::stopped) {
        if (had == nullptr) return;
        auto const number = there->number;
        note("left", number, request.torrent, comma(at) + " stopped");
        remove_member(request.torrent, number);
        if (there->torrents.empty()) remove_node(number);
        return;
    }
    bool const is_new = had == nullptr;
    if (is_new && announced_members_ >= limits_.announced_max) return;
    auto& who = there != nullptr ? *there : add_node(at, client_of(request.peer), false, now);
    auto& self = is_new ? add_member(request.torrent, who) : *had;
    traffic_change const summed{traffic_, self};
    if (is_new) {
        ++announced_members_;
        note("joined", who.number, request.torrent, comma(at) + " announced");
    } else {
        self.up_rate = rate_between(self.uploaded, request.uploaded, now - self.seen);
        self.down_rate = rate_between(self.downloaded, request.downloaded, now - self.seen);
    }
    bool const is_complete = request.left == 0;
    bool const changes = is_complete != self.is_complete;
    if (is_complete && !self.is_complete && !is_new && !std::exchange(self.is_counted, true))
        note("completed", who.number, request.torrent, comma(at) + " is complete");
    self.is_complete = is_complete;
    self.uploaded = request.uploaded;
    self.downloaded = request.downloaded;
    self.seen = now;
    // Who announces all the time is not shown all the time.
    if (!is_new && !changes && now - self.touched < announced_shown_every) return;
    self.touched = now;
    touch(request.torrent, who.number);
}

// Nodes

node& roster::add_node(endpoint const& at, std::string client, bool is_session, time_point now) {
    auto const number = ++last_node_;
    auto& added = nodes_.try_emplace(number, secret_).first->second;
    added.number = number;
    added.at = at;
    added.client = std::move(client);
    added.is_session = is_session;
    added.since = now;
    try {
        if (at.port != 0) by_address_[at] = &added;
        if (is_session) touched_.nodes.insert(number);
    } catch (...) {  // no memory
        by_address_.erase(at);
        nodes_.erase(number);
        throw;
    }
    return added;
}

/// A node takes part in a torrent: each knows of the other, or neither does.
member& roster::add_member(info_hash const& torrent, node& who) {
    auto& place = who.torrents[torrent];
    try {
        auto& added = torrents_[torrent].members[who.number];
        added.of = who.number;
        place = &added;
        ++members_;
        return added;
    } catch (...) {  // no memory
        who.torrents.erase(torrent);
        if (auto const found = torrents_.find(torrent); found != torrents_.end() && found->second.members.empty())
            torrents_.erase(found);
        throw;
    }
}

void roster::remove_node(node_number number) {
    auto const found = nodes_.find(number);
    if (found == nodes_.end()) return;
    while (!found->second.torrents.empty()) remove_member(info_hash{found->second.torrents.begin()->first}, number);
    if (auto const at = by_address_.find(found->second.at); at != by_address_.end() && at->second == &found->second)
        by_address_.erase(at);
    if (found->second.is_session) touched_.nodes.insert(number);
    nodes_.erase(found);
}

void roster::remove_member(info_hash const& torrent, node_number of) {
    auto& self = nodes_.at(of);
    if (!self.torrents.contains(torrent)) return;
    auto const found = torrents_.find(torrent);
    auto& in = found->second;
    // What takes memory comes first: where there is none, it is still there, and removed later.
    bool const is_heard_by_others = in.session_members > (self.is_session ? 1u : 0u);
    if (self.at.port != 0 && is_heard_by_others) in.gone.push_back(self.at);
    if (self.is_session) {
        touched_.members.emplace(torrent, of);
        touched_.torrents.insert(torrent);
        touched_.nodes.insert(of);
    } else {
        touched_.announced.emplace(torrent, of);
    }
    self.torrents.erase(torrent);
    auto const gone = in.members.find(of);
    self.bytes -= gone->second.bytes;
    bytes_ -= gone->second.bytes;
    {
        traffic_change const summed{traffic_, gone->second};
        gone->second.uploaded = gone->second.up_rate = gone->second.down_rate = 0;
    }
    in.members.erase(gone);
    --members_;
    --(self.is_session ? in.session_members : announced_members_);
    in.touched.erase(of);
    if (in.members.empty()) torrents_.erase(found);
}

/// Whether what a node tells of a torrent may come to take `bytes`; `had` is what it told before, if anything. Who was
/// lost makes room first.
bool roster::is_room_for(node const& who, member const* had, std::size_t bytes) {
    auto const before = had ? had->bytes : 0;
    if (who.bytes - before + bytes > limits_.session_bytes_max) return false;
    while (bytes_ - before + bytes > limits_.bytes_max && !lost_.empty()) forget_lost(lost_.begin());
    return bytes_ - before + bytes <= limits_.bytes_max;
}

/// Counts what a member takes now.
void roster::weigh(node& who, member& what) {
    auto const bytes = bytes_for(what.have.size()) + what.serving.size() * sizeof(session::served);
    who.bytes += bytes - what.bytes;
    bytes_ += bytes - what.bytes;
    what.bytes = bytes;
}

void roster::forget_lost(std::map<session::token, lost_session>::iterator which) {
    for (auto const& [torrent, each] : which->second.members) bytes_ -= each.bytes;
    lost_.erase(which);
}

void roster::present(info_hash const& torrent, node const& who, member& what, time_point now, bool has_completed) {
    what.presented = now;
    presences_.push_back({torrent, who.at, what.is_complete, false, has_completed});
}

void roster::touch(info_hash const& torrent, node_number of) {
    auto& there = torrents_.at(torrent);
    if (there.session_members > 0) there.touched.insert(of);
    if (!nodes_.at(of).is_session) {
        touched_.announced.emplace(torrent, of);
        return;
    }
    touched_.members.emplace(torrent, of);
    touched_.torrents.insert(torrent);
    touched_.nodes.insert(of);
}

node const* roster::node_at(endpoint const& at) const {
    auto const found = by_address_.find(at);
    return found == by_address_.end() ? nullptr : found->second;
}

void roster::note(std::string_view kind, node_number of, std::optional<info_hash> torrent, std::string text) {
    auto const found = nodes_.find(of);
    bool const only_announces = found != nodes_.end() && !found->second.is_session;
    if (happenings_.size() >= (only_announces ? announced_happenings_max : happenings_max)) return;
    std::optional<endpoint> at;
    if (found != nodes_.end()) at = found->second.at;
    happenings_.push_back({kind, of, at, torrent, std::move(text)});
}

// Time

void roster::tick(time_point now) {
    for (auto& [torrent, of] : torrents_) send_changes(torrent, of, now);
    if (now - expired_at_ >= 1s) {
        expired_at_ = now;
        expire(now);
    }
}

void roster::expire(time_point now) {
    for (auto each = lost_.begin(); each != lost_.end();) {
        auto const which = each++;
        if (which->second.until <= now) forget_lost(which);
    }
    std::vector<std::pair<info_hash, node_number>> silent;
    // A part of the nodes each time, so that nobody's announce waits for a look at all.
    std::size_t const looks = std::max(looks_min, (members_ + nodes_.size()) / looks_part);
    std::size_t looked = 0;
    auto at = nodes_.upper_bound(looked_at_);
    for (auto left = nodes_.size(); left > 0 && looked < looks; --left, ++at) {
        if (at == nodes_.end()) at = nodes_.begin();
        auto& [number, who] = *at;
        looked_at_ = number;
        looked += 1 + who.torrents.size();
        for (auto& [torrent, part] : who.torrents) {
            if (!who.is_session && now - part->seen > limits_.announced_lifetime) silent.emplace_back(torrent, number);
            // The registry forgets who is silent; a session speaks for its node.
            if (who.is_session && now - part->presented > limits_.announced_lifetime / 3)
                present(torrent, who, *part, now);
        }
    }
    for (auto const& [torrent, number] : silent) {
        remove_member(torrent, number);
        if (auto const who = nodes_.find(number); who != nodes_.end() && who->second.torrents.empty())
            remove_node(number);
    }
}
}  // namespace shoal::hub
