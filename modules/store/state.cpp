module;
#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.store;
import :state;
import shoal.core;
import shoal.hash;
import shoal.metainfo;

namespace shoal::store {
store_state::store_state(std::shared_ptr<metainfo::torrent const> of, store_settings with,
                         std::shared_ptr<back_end_files> on)
    : torrent(std::move(of)),
      settings{.directory = {},  // where files lie is the back end's matter, and there are thousands of stores
               .writable = with.writable,
               .preallocate = with.preallocate,
               .wanted_files = std::move(with.wanted_files),
               .journal = {},
               .names = {}},
      files(std::move(on)),
      stamps(torrent->content().files().size()),
      held(torrent->pieces().piece_count()),
      durable(torrent->pieces().piece_count()),
      doubtful(torrent->pieces().piece_count()),
      file_states(torrent->content().files().size()) {
    auto const& all = torrent->content().files();
    completable.reserve(all.size());
    for (file_number file = 0; file < all.size(); ++file) {
        if (is_real(file)) {
            auto& state = file_states[file];
            state.stale = files->has_journal();  // whose claims rest on what is read; an earlier run may have failed
            state.missing = torrent->content().pieces_of(file).count;
            state.by_v1_alone = torrent->has_v1() && all[file].pieces_root &&
                                all[file].size > torrent->pieces().piece_length() && torrent->piece_layer(file).empty();
            if (state.by_v1_alone) state.unread = state.missing;
        } else if (!all[file].pad && !all[file].symlink) {
            completable.push_back(file);
        }
    }
    if (std::ranges::any_of(file_states, &file_state::by_v1_alone)) roots.resize(torrent->pieces().piece_count());
}

bool store_state::is_real(file_number file) const {
    auto const& facts = torrent->content().files()[file];
    return !facts.pad && !facts.symlink && facts.size > 0;
}

bool store_state::has_final_name(file_number file) const {
    auto const& facts = torrent->content().files()[file];
    return file_states[file].named || !settings.writable || facts.pad || facts.symlink;
}

void store_state::hold(piece_index piece) {
    if (held.test(piece)) return;
    if (unsynced.size() == unsynced.capacity()) unsynced.reserve(2 * unsynced.size() + 1);  // or nothing has happened
    held.set(piece);
    unsynced.push_back(piece);
    for_each_range(whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        if (!is_real(range.file)) return;
        auto& file = file_states[range.file];
        if (--file.missing == 0 && !std::exchange(file.is_completable, true)) completable.push_back(range.file);
    });
}

void store_state::give_up(piece_index piece, bool by_others) {
    if (!held.set(piece, false)) return;
    durable.set(piece, false);
    doubtful.set(piece, false);
    claims_withdrawn = true;
    for_each_range(whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        if (!is_real(range.file)) return;
        auto& file = file_states[range.file];
        ++file.missing;
        if (file.named && by_others) file.changed = true;
        file.named = false;
        file.ours = true;  // it was right once: writing the piece anew is what its owner wants
    });
}

void store_state::give_up_file(file_number file) {
    if (file_states[file].named) file_states[file].changed = true;
    auto const pieces = torrent->content().pieces_of(file);
    for (auto number = pieces.first; number < pieces.first + pieces.count; ++number) {
        if (!held.test(piece_index{number})) continue;
        given_up.push_back(piece_index{number});  // first what may fail
        give_up(piece_index{number}, false);      // its other files are as they were
    }
    file_states[file].seen.reset();
    file_states[file].synced = false;
}

void store_state::note_wrong(piece_index piece) {
    for_each_range(whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        if (!is_real(range.file)) return;
        auto& file = file_states[range.file];
        file.wrong = file.seen.value_or(file_status{});
        // Nothing rests on how it looked: the next check looks anew.
        if (file.missing == torrent->content().pieces_of(range.file).count) file.seen.reset();
    });
}

void store_state::mark_dirty(block_ref written) {
    for_each_range(written, [&](metainfo::file_range const& range, std::uint32_t) {
        if (is_real(range.file)) file_states[range.file].dirty = true;
    });
}

result<void> store_state::read(block_ref block, mutable_byte_view into) {
    result<void> outcome = success();
    for_each_range(block, [&](metainfo::file_range const& range, std::uint32_t begin) {
        if (!outcome) return;
        auto const part = into.subspan(begin, range.length);
        if (is_real(range.file))
            outcome = files->read(range.file, range.offset, part);
        else
            std::fill(part.begin(), part.end(), std::byte{0});
    });
    return outcome;
}

result<void> store_state::drop_stale(file_number file) {
    auto const failed_before = failed_syncs.load();
    SHOAL_TRY(files->drop_cache(file));
    std::lock_guard const lock(mutex);
    if (failed_syncs == failed_before) file_states[file].stale = false;
    return success();
}

/// Hashes a piece where the system has its bytes, which spares a copy; false where it has to be read instead, be it
/// because the back end does not map, the piece has bytes of several files, or the disk does not give them all.
bool store_state::hash_in_place(piece_index piece, piece_hasher& hasher) {
    auto const& content = torrent->content();
    auto const begin = torrent->pieces().offset_of(piece);
    auto const size = torrent->pieces().piece_size(piece);
    auto const number = content.file_at(begin);
    auto const& file = content.files()[number];
    if (!is_real(number) || begin + size > file.offset + file.size) return false;
    for (std::uint32_t done = 0; done < size;) {
        auto const offset = begin + done - file.offset;
        // One window at a time.
        auto const length =
            std::min({std::uint64_t{size - done}, std::uint64_t{check_read_size}, window_size - offset % window_size});
        // What is in memory is hashed as it faults in, sixteen pages at a time: to populate it takes more than twice
        // that.
        auto there = files->resident(number, offset, length);
        if (!there) {
            files->map_for_reading(number, offset, length);
            there = files->resident(number, offset, length);
        }
        if (!there || !hasher.update_mapped(there->bytes)) return false;
        done += static_cast<std::uint32_t>(length);
    }
    return true;
}

result<bool> store_state::is_right_on_disk(piece_index piece) {
    piece_hasher hasher(*torrent, piece);
    if (!hasher.can_judge()) return errc::no_hash;

    // How the files look before they are read: the journal's claim is about these.
    result<void> outcome = success();
    bool there = true;
    for_each_range(whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        if (!outcome || !there || !is_real(range.file)) return;
        bool is_stale, was_seen;
        {
            std::lock_guard const lock(mutex);
            auto const& known = file_states[range.file];
            is_stale = known.stale;
            was_seen = known.ready || known.seen;
        }
        std::optional<file_status> seen;
        if (!was_seen) {
            auto const status = files->status(range.file);
            if (!status)
                outcome = status.error();
            else if (!status.value())
                there = false;
            else
                seen = *status.value();
            if (!seen) return;
        }
        if (is_stale) outcome = drop_stale(range.file);
        if (!outcome) return;
        std::lock_guard const lock(mutex);
        if (seen && !file_states[range.file].ready) file_states[range.file].seen = *seen;
    });
    SHOAL_TRY(outcome);
    if (!there) return false;

    auto const in_place = hash_in_place(piece, hasher);
    if (!in_place) {
        hasher.restart();
        thread_local byte_vector buffer(check_read_size);
        auto const size = torrent->pieces().piece_size(piece);
        for (std::uint32_t begin = 0; begin < size;) {
            auto const part = mutable_byte_view{buffer}.first(std::min<std::size_t>(size - begin, buffer.size()));
            auto const done = read({piece, begin, static_cast<std::uint32_t>(part.size())}, part);
            if (!done && (done.error() == errc::missing_file || done.error() == errc::truncated_file)) return false;
            if (!done) return done.error();
            hasher.update(part);
            begin += static_cast<std::uint32_t>(part.size());
        }
    }
    if (hasher.judge() != piece_hasher::verdict::right) return false;
    if (!fits_file_root(piece, hasher.root())) return errc::hashes_disagree;
    return true;
}

bool store_state::fits_file_root(piece_index piece, sha256_digest const& root) {
    auto const& content = torrent->content();
    auto const number = content.file_at(torrent->pieces().offset_of(piece));
    auto& file = file_states[number];
    if (!file.by_v1_alone) return true;
    auto& known = roots[to_number(piece)];
    std::vector<sha256_digest> layer;
    {
        std::lock_guard const lock(mutex);
        if (known == root) return true;  // nothing new
        if (known.is_zero()) --file.unread;
        known = root;
        if (file.unread > 0) return true;
        auto const pieces = content.pieces_of(number);
        auto const first = roots.begin() + pieces.first;
        layer.assign(first, first + pieces.count);
    }
    auto const height = std::countr_zero(torrent->pieces().piece_length() / block_length);
    if (hash::merkle_root(layer, static_cast<std::size_t>(height)) == content.files()[number].pieces_root) return true;
    // As if it had not been read: whoever tries again gets the same answer.
    std::lock_guard const lock(mutex);
    if (!known.is_zero()) ++file.unread;
    known = {};
    return false;
}

result<void> store_state::make_writable(file_number file) {
    auto const now = files->now();
    {
        std::lock_guard const lock(mutex);
        if (file_states[file].ready && now < file_states[file].writable_until) return success();
    }
    std::lock_guard const journal_lock(journaling);
    adopting adopt;
    {
        std::lock_guard const lock(mutex);
        auto const& known = file_states[file];
        if (known.ready && now < known.writable_until) return success();
        if (known.changed) return errc::changed_file;
        auto const has_right_piece = known.missing < torrent->content().pieces_of(file).count;
        adopt = known.ours || has_right_piece ? adopting::all
                : known.part_ours             ? adopting::incomplete
                                              : adopting::nothing;
    }
    SHOAL_TRY(announce(file));
    auto const size = torrent->content().files()[file].size;
    // A piece of a wanted file may reach into one that is not.
    bool const is_wanted = settings.wanted_files.empty() || settings.wanted_files.at(file);
    bool const reserves = settings.preallocate && is_wanted;
    auto least = stamps[file] ? std::optional{file_status{stamps[file]->size, stamps[file]->modified}} : std::nullopt;
    bool is_new = false;
    if (!least) {
        SHOAL_TRY(auto const before, files->status(file));
        is_new = !before;
    }
    SHOAL_TRY(files->open_for_writing(file, adopt, reserves ? std::optional{size} : std::nullopt));
    if (strangers.erase(file) > 0) {  // it is gone, and what comes is ours
        rewrite = true;
        SHOAL_TRY(record({}, {}));
    }
    if (!least) {
        SHOAL_TRY(least, files->status(file));
    }
    std::lock_guard const lock(mutex);
    auto& known = file_states[file];
    if (!known.ready) {
        known.least = least;
        if (!stamps[file]) known.synced = is_new;
        if (is_new) known.stale = false;
    }
    known.ready = true;
    known.part_ours = true;
    known.named = false;
    known.seen.reset();
    auto const& stamp = stamps[file];
    known.writable_until = stamp && files->has_journal()
                               ? stamp->latest - std::chrono::nanoseconds(sync_interval_max).count()
                               : std::numeric_limits<std::int64_t>::max();
    return success();
}
}  // namespace shoal::store
