#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "swarm.hpp"

// What must hold at every moment of a run.
namespace simulated_swarm {
namespace {
/// Of the heap, for each peer beside its disk and its sockets.
constexpr std::size_t memory_of_peer_max = 8u << 20;
constexpr std::size_t looks_at_memory_every = 4096;
/// Of the content, where nobody lies: blocks of the end game that were under way already when another one came.
constexpr double wasted_max = 0.25;
}  // namespace

std::size_t heap_in_use() {
    auto const now = mallinfo2();
    return now.uordblks + now.hblkhd;
}

void swarm::complain(std::string what) {
    if (!wrong_.empty()) return;
    sim_.remark("wrong: " + what);
    wrong_ = std::move(what);
}

void swarm::happened(peer& who, engine::transfer_event const& what) {
    namespace event = engine::event;
    if (std::holds_alternative<event::checked>(what)) {
        sim_.remark(name(who) + " has checked");
        if (hub_) had_by(who);
        auto const& have = who.transfer->have();
        for (auto piece = have.next_set(0); piece; piece = have.next_set(to_number(*piece) + 1))
            check_piece(who, *piece);
    }
    if (auto const* verified = std::get_if<event::piece_verified>(&what)) {
        sim_.remark(name(who) + " has piece " + std::to_string(to_number(verified->piece)));
        who.is_complete = false;  // a disk that failed can cost pieces of a complete content
        check_piece(who, verified->piece);
        if (hub_ && had_by(who).all() && who.transfer->have().all()) count_download(who);
    }
    if (std::holds_alternative<event::piece_rejected>(what)) {
        ++rejected_pieces_;
        sim_.remark(name(who) + " rejects a piece");
        bool const is_any_wrong = with_.corrupt_blocks || with_.poison || !who.took_wrong_of.empty() || who.has_rot;
        if (!is_any_wrong) complain(name(who) + " rejected a piece although nobody lies");
    }
    if (auto const* failed = std::get_if<event::failed>(&what))
        sim_.remark(name(who) + " stands still: " + failed->why.message());
    if (std::holds_alternative<event::completed>(what)) {
        sim_.remark(name(who) + " is complete");
        who.is_complete = true;
        check_content(who);
    }
    if (auto const* banned = std::get_if<event::peer_banned>(&what)) {
        who.banned.insert_or_assign(banned->address, sim_.host(who.host).clock.now());
        // A disk that gives back what was not written makes its owner a liar, and himself blame others.
        bool const has_lied = lied_to_.contains({banned->address, at(who.host).address}) || who.has_rot;
        if (!has_lied) complain(name(who) + " banned " + banned->address.to_string() + ", who has not lied to it");
    }
    if (auto const* joined = std::get_if<event::peer_joined>(&what)) {
        sim_.remark(name(who) + " talks to " + joined->remote.to_string());
        // Whoever was taken for a liar for what its disk did comes back under another name once it starts again.
        auto const banned = who.banned.find(joined->remote.address);
        auto const now = sim_.host(who.host).clock.now();
        if (banned != who.banned.end() && now - banned->second < engine::ban_lifetime &&
            dishonest_.contains(joined->remote.address))
            complain(name(who) + " talks to one whom it has banned: " + joined->remote.to_string());
    }
    if (auto const* left = std::get_if<event::peer_left>(&what))
        sim_.remark(name(who) + " is left by " + left->remote.to_string() + ": " + left->why.message());
}

/// A wrong byte says whose it is: each liar's differ in its own way from what is right, and so do those of each disk.
/// Whoever is honest and has a good disk gives nothing away that it has not verified.
void swarm::look_at_bytes(peer& who, store::file_number file, std::uint64_t offset, byte_view bytes) {
    auto const right = byte_view{content_.files[file]}.subspan(offset, bytes.size());
    if (equal(bytes, right)) return;
    auto const [is, should_be] = std::ranges::mismatch(bytes, right);
    auto const difference = std::to_integer<std::size_t>(*is ^ *should_be);
    if (difference >= 0x80 && difference - 0x80 < peers_.size() && peers_[difference - 0x80].has_rot) {
        auto const from = at(difference - 0x80).address;
        lied_to_.emplace(from, at(who.host).address);
        who.took_wrong_of.insert(from);
        return;
    }
    if (difference - 1 < liars_.size() && lied_to_.contains({liars_[difference - 1], at(who.host).address})) {
        who.took_wrong_of.insert(liars_[difference - 1]);
        return;
    }
    complain(name(who) + " was given a wrong block by somebody honest");
}

void swarm::look_at_block(ip_address const& of, block_ref block, byte_view bytes) {
    auto const right = content_.block(block);
    if (equal(bytes, right)) return;
    for (auto const& each : peers_)
        if (at(each.host).address == of && each.has_rot) return;
    complain(of.to_string() + " gave a block away that it has not verified");
}

void swarm::check_bans(peer const& who, outcome& result) {
    result.bans += who.banned.size();
    result.liars_taken_in_by += who.took_wrong_of.size();
    if (who.transfer) {
        auto const now = who.transfer->status();
        result.wasted = std::max(result.wasted, static_cast<double>(now.wasted) / static_cast<double>(now.bytes_total));
    }
    bool const may_reject = with_.corrupt_blocks || with_.poison || who.has_rot || !who.took_wrong_of.empty();
    if (!may_reject && result.wasted > wasted_max)
        complain(name(who) + " got " + std::to_string(result.wasted) + " of the content in vain");
    if (!with_.poison) return;
    for (auto const& liar : who.took_wrong_of)
        if (!who.banned.contains(liar)) complain(name(who) + " has not banned the liar " + liar.to_string());
}

void swarm::check_piece(peer const& who, piece_index piece) {
    auto const& pieces = content_.torrent->pieces();
    auto const& layout = content_.torrent->content();
    for (auto const& range : layout.ranges(pieces.offset_of(piece), pieces.piece_size(piece))) {
        if (layout.files()[range.file].pad) continue;
        auto const file = std::to_string(range.file);
        auto const right = byte_view{content_.files[range.file]}.subspan(range.offset, range.length);
        auto is_there = who.disk->holds(file + ".part", range.offset, right);
        if (!is_there) is_there = who.disk->holds(file, range.offset, right);
        if (!is_there.value_or(false)) complain(name(who) + " holds a wrong piece " + std::to_string(to_number(piece)));
    }
}

void swarm::check_content(peer const& who) {
    if (!has_all(who)) return;
    if (auto const wrong = wrong_file(who))
        complain(name(who) + " is complete with a wrong file " + std::to_string(*wrong));
}

std::optional<std::size_t> swarm::wrong_file(peer const& who) const {
    auto const& files = content_.torrent->content().files();
    for (std::size_t i = 0; i < files.size(); ++i) {
        if (files[i].pad) continue;
        auto const there = who.disk->content(std::to_string(i));
        auto const& right = content_.files[i];
        if (!there || !equal(*there, right)) return i;
    }
    return std::nullopt;
}

/// What each peer may hold is bounded; what its disk and its sockets hold is the simulation's.
void swarm::watch_memory() {
    if (looks_++ % looks_at_memory_every != 0) return;
    auto const now = heap_in_use();
    memory_ = std::max(memory_, now > memory_before_ ? now - memory_before_ : 0);
    auto const of_disks = 4 * content_.linear.size() * (peers_.size() + 1);
    auto const of_sockets = (512u << 10) * peers_.size() * peers_.size() / 2;
    if (memory_ > of_disks + of_sockets + memory_of_peer_max * peers_.size())
        complain("the swarm holds " + std::to_string(memory_) + " bytes");
}

bool swarm::has_all(peer const& who) const {
    return who.is_seeder || (who.is_complete && !who.is_changing && who.transfer->status().bytes_left == 0);
}

bool swarm::is_done() {
    watch_memory();
    // Asked after every event: what costs little comes first.
    if (std::ranges::any_of(peers_, [](auto const& each) { return !each.is_seeder && !each.is_complete; }))
        return false;
    if (hub_ && !hub_is_right_) return false;
    // A sync that fails after the end can cost what was complete: it is seen at the next one, and fetched again. Calls
    // that fail can be syncs.
    bool const may_lose = is_drawn(fault::sync_error) || is_drawn(fault::write_error);
    return std::ranges::all_of(
        peers_, [this, may_lose](auto& each) { return has_all(each) && !(may_lose && has_wrong_file(each)); });
}

/// As `wrong_file`; compares only where its disk was touched since it was last asked.
bool swarm::has_wrong_file(peer& who) const {
    auto const now = std::pair{who.process, who.disk->calls()};
    if (std::exchange(who.compared_at, now) != now) who.was_wrong = wrong_file(who).has_value();
    return who.was_wrong;
}
}  // namespace simulated_swarm
