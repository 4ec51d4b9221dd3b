module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "core/canary.hpp"
#include "core/try.hpp"

module shoal.store;
import :state;
import shoal.core;
import shoal.metainfo;

namespace shoal::store {
namespace {
constexpr std::int64_t growth_lasts = 2 * std::chrono::nanoseconds(sync_interval_max).count();

journal::stamp settled(file_status const& status) {
    return {status.size, status.modified, status.modified};
}
/// `least`: what the disk has at least, if it was written to meanwhile.
journal::stamp growing(file_status const& least, std::int64_t now) {
    return {least.size, least.modified, std::max(now, least.modified) + growth_lasts};
}
file_status lesser(file_status const& a, file_status const& b) {
    return {std::min(a.size, b.size), std::min(a.modified, b.modified)};
}
bool same_content(file_status const& a, file_status const& b) {
    return a.size == b.size && a.modified == b.modified;
}

/// Whether a file could not be looked at, for want of descriptors or memory or for a failing disk: that tells nothing
/// of it.
bool is_unknown(result<std::optional<file_status>> const& status) {
    return !status && status.error() != errc::symbolic_link && status.error() != errc::not_a_file;
}
}  // namespace

result<void> store_state::announce(file_number file) {
    if (!files->has_journal()) return success();
    if (stamps[file]) {
        SHOAL_TRY(auto const status, files->status(file));
        if (status && stamps[file]->covers(status->size, status->modified))
            return record({}, {{file, growing({stamps[file]->size, stamps[file]->modified}, files->now())}});
        // It is not what the journal is about any more: nothing that was recorded may be believed of what comes.
        stamps[file].reset();
        (void)files->drop_cache(file);  // what is cached is of a file that nobody claims any more
        std::lock_guard const lock(mutex);
        give_up_file(file);
    }
    bool withdrawn;
    {
        std::lock_guard const lock(mutex);
        withdrawn = claims_withdrawn;
    }
    return rewrite || withdrawn ? record({}, {}) : result<void>(success());
}

result<void> store_state::record(std::vector<piece_index> const& now_durable,
                                 std::vector<journal::file_stamp> const& seen) {
    // Until this succeeds: half a record may stand at the end.
    bool const has_to_rewrite = std::exchange(rewrite, true);
    has_recorded = true;
    for (auto const& [file, stamp] : seen) stamps[file] = stamp;
    if (!files->has_journal()) return success();
    bitfield claimed;
    bool whole, withdraws;
    {
        std::lock_guard const lock(mutex);
        withdraws = claims_withdrawn;
        // Where we only read, others who do may have replaced it.
        whole = withdraws || has_to_rewrite || !settings.writable;
        if (whole) claimed = durable;  // first what may fail
        claims_withdrawn = false;
    }
    scope_exit const keep_withdrawn{[&] {
        if (!withdraws || !rewrite) return;
        std::lock_guard const lock(mutex);
        claims_withdrawn = true;
    }};
    if (whole) {
        for (auto const piece : now_durable) claimed.set(piece);
        journal::checksum fresh;
        auto told = stamps;
        for (auto const& [file, stamp] : strangers)
            if (!told[file]) told[file] = stamp;
        SHOAL_TRY(files->replace_journal(journal::compose(*torrent, claimed, told, fresh)));
        last = fresh;
    } else {
        byte_vector records;
        auto next = last;
        journal::append_stamps(records, next, seen);
        journal::append_held(records, next, now_durable);
        if (!records.empty()) {
            SHOAL_TRY(files->append_journal(records));
        }
        last = next;
    }
    rewrite = false;
    is_known = true;
    return success();
}

result<std::vector<journal::file_stamp>> store_state::unclaimed(std::vector<file_number> const& named) {
    std::vector<journal::file_stamp> ours;
    for (auto const file : named) {
        if (!is_real(file) || stamps[file]) continue;
        SHOAL_TRY(auto const status, files->status(file));
        if (!status || !status->is_part) continue;
        std::lock_guard const lock(mutex);
        if (file_states[file].missing > 0) continue;  // somebody else's, as a look at it has shown, or lost
        auto const least = lesser(file_states[file].least.value_or(*status), *status);
        ours.push_back({file, growing({0, least.modified}, files->now())});  // its bytes were not synced yet
    }
    return ours;
}

bool store_state::looks_as_on_disk(std::vector<journal::file_stamp> const& of) {
    std::lock_guard const lock(mutex);
    return std::ranges::all_of(of, [&](auto const& each) { return file_states[each.file].synced; });
}

result<void> store_state::claim(std::vector<file_number> const& named) {
    if (!files->has_journal()) return success();
    for (bool was_synced = false;; was_synced = true) {
        {
            std::lock_guard const journal_lock(journaling);
            SHOAL_TRY(auto const ours, unclaimed(named));
            if (ours.empty() && !rewrite) return success();
            // A power cut could show a file that was there before as it was long ago, older than the claim says.
            if (was_synced || looks_as_on_disk(ours)) return record({}, ours);
        }
        std::lock_guard const sync_lock(syncing);
        SHOAL_TRY(sync());
    }
}

std::vector<journal::file_stamp> store_state::stamps_of(std::vector<synced_file> const& synced) {
    std::vector<journal::file_stamp> found;
    for (auto const [file, is_final] : synced) {
        std::optional<file_status> seen, least;
        {
            std::lock_guard const lock(mutex);
            seen = file_states[file].seen;
            least = file_states[file].least;
        }
        auto const status = files->status(file);
        if (status && status.value() && (!seen || same_content(*seen, *status.value()))) {
            auto const& now = *status.value();
            if (is_final || seen) {
                found.push_back({file, settled(now)});
            } else {
                // Somebody may have written while it was synced: how it looks now may not be on disk.
                found.push_back({file, growing(lesser(least.value_or(now), now), files->now())});
                std::lock_guard const lock(mutex);
                file_states[file].least = now;
            }
            continue;
        }
        if (is_unknown(status)) {
            std::lock_guard const lock(mutex);
            file_states[file].dirty = true;  // the next sync says it
            continue;
        }
        (void)files->drop_cache(file);
        std::lock_guard const lock(mutex);
        give_up_file(file);
        file_states[file].ready = false;
    }
    return found;
}

result<void> store_state::drop_cache_of(piece_index piece) {
    result<void> outcome = success();
    for_each_range(whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        if (!is_real(range.file)) return;
        auto const dropped = drop_stale(range.file);
        if (outcome && !dropped) outcome = dropped;
    });
    return outcome;
}

result<void> store_state::recheck_doubtful() {
    for (std::uint32_t from = 0;;) {
        std::optional<piece_index> piece;
        {
            std::lock_guard const lock(mutex);
            piece = doubtful.next_set(from);
        }
        if (!piece) return success();
        from = to_number(*piece) + 1;
        SHOAL_TRY(drop_cache_of(*piece));
        SHOAL_TRY(auto const right, is_right_on_disk(*piece));
        std::lock_guard const lock(mutex);
        if (!doubtful.test(*piece)) continue;  // given up meanwhile
        if (right) {
            mark_dirty(whole(*piece));
            unsynced.push_back(*piece);  // first what may fail
            doubtful.set(*piece, false);
        } else {
            given_up.push_back(*piece);
            give_up(*piece, false);
        }
    }
}

result<void> store_state::sync() {
    auto const failed = [&](std::error_code why) {
        if (++failed_in_a_row >= sync_failures_max) disk_failing = true;
        return why;
    };
    if (auto const checked = recheck_doubtful(); !checked) return failed(checked.error());
    std::vector<piece_index> batch;
    std::vector<file_number> dirty;
    std::vector<synced_file> synced;
    std::uint64_t bytes;
    bool withdrawn;
    {
        std::lock_guard const lock(mutex);
        batch = unsynced;  // which they leave when they are recorded, and not before: there may be no memory
        auto const changed = static_cast<std::size_t>(std::ranges::count_if(file_states, &file_state::dirty));
        dirty.reserve(changed);
        synced.reserve(changed);
        for (file_number file = 0; file < file_states.size(); ++file) {
            auto& known = file_states[file];
            if (!std::exchange(known.dirty, false)) continue;
            dirty.push_back(file);
            synced.push_back({file, !settings.writable || (known.missing == 0 && has_final_name(file))});
        }
        bytes = unsynced_bytes.exchange(0);
        withdrawn = claims_withdrawn;
    }
    if (batch.empty() && dirty.empty() && !withdrawn) return success();

    auto const begun = batch.size();
    bool is_recorded = false;
    scope_exit const put_back{[&] {
        if (is_recorded) return;
        std::lock_guard const lock(mutex);
        for (auto const file : dirty) file_states[file].dirty = true;
        unsynced_bytes += bytes;
    }};
    if (!dirty.empty() && !is_planted("claimed_before_sync")) {
        if (auto const done = files->sync(dirty); !done && !is_planted("sync_error_ignored")) {
            // The system may have marked the pages clean: what a read shows now proves nothing about the disk.
            std::lock_guard const lock(mutex);
            ++failed_syncs;
            for (auto& each : file_states) each.stale = true;  // of many files it was the whole file system's
            // And what was finished meanwhile: it was written before the failure.
            for (auto const piece : unsynced)
                if (held.test(piece)) doubtful.set(piece);
            unsynced.clear();
            for (auto const& [piece, receiving] : progress) receiving->suspect = true;
            return failed(done.error());
        }
        failed_in_a_row = 0;
        disk_failing = false;
    }
    // From the look at the files to the record: a writer that announces itself between would be overwritten.
    std::lock_guard const journal_lock(journaling);
    auto const seen = stamps_of(synced);
    {
        std::lock_guard const lock(mutex);
        std::erase_if(batch, [&](piece_index piece) { return !held.test(piece); });
    }
    SHOAL_TRY(record(batch, seen));
    is_recorded = true;
    std::lock_guard const lock(mutex);
    unsynced.erase(unsynced.begin(), unsynced.begin() + static_cast<std::ptrdiff_t>(begun));
    for (auto const piece : batch)
        if (held.test(piece)) durable.set(piece);
    for (auto const& [file, stamp] : seen) {
        file_states[file].synced = true;
        if (files->has_journal())
            file_states[file].writable_until = stamp.latest - std::chrono::nanoseconds(sync_interval_max).count();
    }
    return success();
}

result<bitfield> chunk_store::load() {
    auto& state = *state_;
    std::lock_guard const journal_lock(state.journaling);
    bitfield const none(state.torrent->pieces().piece_count());
    {  // Called again after a failure, it may know less than it did.
        std::lock_guard const lock(state.mutex);
        for (auto piece = state.held.next_set(0); piece; piece = state.held.next_set(to_number(*piece) + 1))
            state.give_up(*piece, false);
        state.unsynced.clear();
        for (auto& each : state.file_states) each.seen.reset();
    }
    state.stamps.assign(state.stamps.size(), std::nullopt);
    auto const bytes = state.files->read_journal();
    if (!bytes && bytes.error() != errc::bad_journal) return bytes.error();
    state.is_known = bytes && !bytes.value();
    if (state.is_known) return none;
    auto claimed = bytes ? journal::parse(*bytes.value(), *state.torrent) : bytes.error();
    if (!claimed) {
        SHOAL_TRY(state.files->set_journal_aside());
        state.is_known = true;
        return none;
    }
    auto& claims = claimed.value();
    auto const all_claimed = claims.held.count();
    // A file that was begun since the last sync is not in it yet; one that is, and looks otherwise, is somebody else's.
    std::vector<bool> was_stamped(claims.stamps.size());
    std::vector<std::optional<file_status>> finals(claims.stamps.size());  // files under their final names
    for (file_number file = 0; file < claims.stamps.size(); ++file) was_stamped[file] = claims.stamps[file].has_value();
    bool are_all_there = true;
    auto const& content = state.torrent->content();
    for (file_number file = 0; file < claims.stamps.size(); ++file) {
        if (!state.is_real(file)) continue;
        auto& stamp = claims.stamps[file];
        if (stamp) {
            auto const status = state.files->status(file);
            bool const is_other =
                !status && (status.error() == errc::not_a_file || status.error() == errc::symbolic_link);
            if (!status && !is_other) return status.error();
            bool const is_as_claimed =
                !is_other && status.value() && stamp->covers(status.value()->size, status.value()->modified) &&
                // What an earlier run named had its size: a power cut may have taken some, but nobody of us made it
                // grow.
                (stamp->is_settled() || status.value()->is_part || status.value()->size <= content.files()[file].size);
            if (!is_as_claimed) {
                // Forgotten, it would look like one that was begun since the last sync.
                if (!is_other && status.value() && status.value()->is_part) state.strangers.emplace(file, *stamp);
                stamp.reset();
                are_all_there = false;
            } else if (!status.value()->is_part) {
                finals[file] = *status.value();
            }
        }
        auto const pieces = content.pieces_of(file);
        bool is_proven = stamp.has_value();
        // The last piece was held only when the root of the file was right; what is less has to be read for it.
        if (is_proven && state.file_states[file].by_v1_alone)
            for (auto piece = pieces.first; piece < pieces.first + pieces.count; ++piece)
                is_proven = is_proven && claims.held.test(piece_index{piece});
        if (is_proven) continue;
        for (auto piece = pieces.first; piece < pieces.first + pieces.count; ++piece)
            claims.held.set(piece_index{piece}, false);
    }
    {
        std::lock_guard const lock(state.mutex);
        for (auto piece = claims.held.next_set(0); piece; piece = claims.held.next_set(to_number(*piece) + 1))
            state.hold(*piece);
        state.unsynced.clear();
        state.durable = claims.held;
        for (file_number file = 0; file < claims.stamps.size(); ++file) {
            auto& known = state.file_states[file];
            known.named = finals[file] && known.missing == 0;
            known.ours = claims.stamps[file].has_value();
            known.part_ours = known.ours || !was_stamped[file];
            if (!known.named) continue;
            known.seen = finals[file];
            // The run before ended before it could say that it is finished: until the journal does, nobody watches it.
            known.dirty = known.dirty || !claims.stamps[file]->is_settled();
        }
    }
    state.stamps = std::move(claims.stamps);
    state.last = claims.last;
    state.is_known = true;
    state.rewrite = claims.torn || !are_all_there || claims.held.count() != all_claimed;
    // Now, before a new stamp could make an old claim look right.
    if (state.rewrite) {
        SHOAL_TRY(state.record({}, {}));
    }
    return claims.held;
}

result<void> chunk_store::sync() {
    if (state_->closed) return errc::closed;
    std::lock_guard const lock(state_->syncing);
    return state_->sync();
}

result<void> chunk_store::check_files() {
    auto& state = *state_;
    if (state.closed) return errc::closed;
    std::lock_guard const sync_lock(state.syncing);
    std::lock_guard const journal_lock(state.journaling);
    for (file_number file = 0; file < state.stamps.size(); ++file) {
        auto& stamp = state.stamps[file];
        if (!stamp || !stamp->is_settled()) continue;
        auto const status = state.files->status(file);
        if (is_unknown(status)) continue;
        if (status && status.value() && stamp->covers(status.value()->size, status.value()->modified)) continue;
        {
            std::lock_guard const lock(state.mutex);
            if (state.file_states[file].dirty) continue;
        }
        stamp.reset();
        (void)state.files->drop_cache(file);  // another file may have taken its place
        std::lock_guard const lock(state.mutex);
        state.give_up_file(file);
        state.file_states[file].ready = false;
    }
    return success();
}

bool chunk_store::have_wrong_files_changed() {
    auto& state = *state_;
    bool have_changed = false;
    for (file_number file = 0; file < state.file_states.size(); ++file) {
        std::optional<file_status> wrong;
        {
            std::lock_guard const lock(state.mutex);
            wrong = state.file_states[file].wrong;
        }
        if (!wrong) continue;
        auto const status = state.files->status(file);
        if (!status || same_content(*wrong, status.value().value_or(file_status{}))) continue;
        (void)state.files->drop_cache(file);
        std::lock_guard const lock(state.mutex);
        state.file_states[file].wrong.reset();
        have_changed = true;
    }
    return have_changed;
}

result<void> chunk_store::complete_files() {
    auto& state = *state_;
    if (state.closed) return errc::closed;
    if (!state.settings.writable) return success();
    std::unique_lock lock(state.mutex);
    std::erase_if(state.completable, [&](file_number file) {
        auto& known = state.file_states[file];
        known.is_completable = known.missing == 0;
        return !known.is_completable;
    });
    auto todo = state.completable;
    lock.unlock();
    return complete(std::move(todo));
}

result<void> chunk_store::complete_file(file_number file) {
    auto& state = *state_;
    if (state.closed) return errc::closed;
    {
        std::lock_guard const lock(state.mutex);
        if (!state.settings.writable || std::ranges::count(state.completable, file) == 0) return success();
        if (state.file_states[file].missing > 0) return success();
    }
    return complete({file});
}

result<void> chunk_store::complete(std::vector<file_number> files) {
    auto& state = *state_;
    SHOAL_TRY(state.claim(files));
    result<void> outcome = success();
    for (auto const file : files) {
        {
            std::lock_guard const lock(state.mutex);
            if (state.file_states[file].missing > 0) continue;  // one was found to be lost meanwhile
        }
        auto const done = state.files->complete(file, state.torrent->content().files()[file].size);
        std::lock_guard const lock(state.mutex);
        auto& known = state.file_states[file];
        if (!done) {
            if (outcome) outcome = done.error();
            continue;
        }
        std::erase(state.completable, file);
        known.is_completable = false;
        known.ready = false;  // under this name nobody writes to it
        if (known.missing == 0) {
            known.named = true;
            known.changed = false;
            // To be stamped as it is now, unless it was so since its pieces were checked.
            known.dirty = state.is_real(file) && (known.dirty || !known.seen);
        }
    }
    return outcome;
}

result<void> chunk_store::close(closing how) {
    auto& state = *state_;
    std::lock_guard const sync_lock(state.syncing);
    if (state.closed) return success();
    result<void> outcome = success();
    if (how == closing::durable) outcome = state.sync();
    std::lock_guard const journal_lock(state.journaling);
    state.closed = true;
    for (file_number file = 0; file < state.stamps.size(); ++file) {
        auto& stamp = state.stamps[file];
        if (!stamp || stamp->is_settled()) continue;
        {
            std::lock_guard const lock(state.mutex);
            if (!state.file_states[file].synced || state.file_states[file].dirty) continue;
        }
        auto const status = state.files->status(file);
        if (status && status.value() && stamp->covers(status.value()->size, status.value()->modified)) {
            stamp = settled(*status.value());
            state.has_recorded = true;
        }
    }
    {
        std::lock_guard const lock(state.mutex);
        state.has_recorded = state.has_recorded || state.rewrite || state.claims_withdrawn;
    }
    // Stopped before it was read, the journal knows more than we do. And where it is as it was read it can stay: who
    // seeds thousands of torrents would wait for the disk at each.
    if (state.is_known && state.has_recorded) {
        state.rewrite = true;
        auto const recorded = state.record({}, {});
        if (outcome && !recorded) outcome = recorded.error();
    }
    state.files->unlock();
    return outcome;
}
}  // namespace shoal::store
