module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
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
/// The blocks that are new, ascending and once each. Under store.mutex.
result<void> choose(store_state& store, piece_progress& progress, std::span<block_data const> blocks) {
    progress.order.clear();
    for (auto const& block : blocks) {
        auto const index = block.begin / block_length;
        if (index >= progress.written.size()) return errc::bad_block;
        auto const expected = store.torrent->pieces().block_at(progress.piece, index);
        if (block.begin != expected.begin || block.bytes.size() != expected.length) return errc::bad_block;
        if (progress.written[index]) continue;
        if (block.in_place && !progress.lent[index]) return errc::bad_block;
        if (!block.in_place && progress.lent[index]) return errc::window_lent;
        progress.order.push_back(block);
    }
    std::sort(progress.order.begin(), progress.order.end(),
              [](auto const& a, auto const& b) { return a.begin < b.begin; });
    auto const same = [](auto const& a, auto const& b) { return a.begin == b.begin; };
    progress.order.erase(std::unique(progress.order.begin(), progress.order.end(), same), progress.order.end());
    return success();
}

void mark_written(store_state& store, piece_progress& progress, std::uint32_t begin, std::uint32_t end) {
    std::lock_guard const lock(store.mutex);
    for (auto index = begin / block_length; index * block_length < end; ++index) {
        progress.written[index] = true;
        progress.lent[index] = false;
        ++progress.written_count;
    }
    store.mark_dirty({progress.piece, begin, end - begin});
    store.unsynced_bytes += end - begin;
}

/// Writes buffers that follow each other in the piece, from `begin` on: one system call for each file.
result<void> write_run(store_state& store, piece_progress& progress, std::uint32_t begin, std::uint32_t end) {
    auto const& run = progress.run;
    std::size_t at = 0;     // the buffer that is next
    std::size_t taken = 0;  // of it
    result<void> outcome = success();
    // Bytes of the run whose files are ours to write to. Some of them may stand there whatever happens, and the change
    // is ours; a file behind them may be a stranger's, and must not count as ours.
    std::uint32_t reached = 0;
    bool is_done = false;
    scope_exit const note_change{[&] {
        if (is_done || reached == 0) return;
        std::lock_guard const lock(store.mutex);
        store.mark_dirty({progress.piece, begin, reached});
    }};
    store.for_each_range(
        {progress.piece, begin, end - begin}, [&](metainfo::file_range const& range, std::uint32_t range_begin) {
            progress.gather.clear();
            for (auto left = range.length; left > 0;) {
                auto const part = run[at].subspan(taken, std::min<std::size_t>(left, run[at].size() - taken));
                progress.gather.push_back(part);
                left -= part.size();
                taken += part.size();
                if (taken < run[at].size()) continue;
                ++at;
                taken = 0;
            }
            if (!outcome || !store.is_real(range.file)) return;
            outcome = store.make_writable(range.file);
            if (!outcome) return;
            reached = range_begin + static_cast<std::uint32_t>(range.length);
            outcome = store.files->write(range.file, range.offset, progress.gather);
            if (!outcome && outcome.error() == errc::no_space && is_planted("no_space_ignored")) outcome = success();
            if (!outcome && is_planted("short_write_taken_as_whole")) outcome = success();
        });
    is_done = outcome.has_value();
    return outcome;
}

result<void> write_blocks(store_state& store, piece_progress& progress) {
    auto const& order = progress.order;
    for (std::size_t i = 0; i < order.size();) {
        auto const first = i;
        auto end = order[i].begin;
        progress.run.clear();
        do {
            progress.run.push_back(order[i].bytes);
            end += static_cast<std::uint32_t>(order[i].bytes.size());
            ++i;
        } while (i < order.size() && order[i].in_place == order[first].in_place && order[i].begin == end);
        if (!order[first].in_place) {
            SHOAL_TRY(write_run(store, progress, order[first].begin, end));
        }
        mark_written(store, progress, order[first].begin, end);
    }
    return success();
}

/// Hashes on from `progress.hashed`: blocks of `order` from memory, older ones from the disk.
result<void> advance_hash(store_state& store, piece_progress& progress) {
    auto const is_written = [&](std::uint32_t begin) {
        return begin < progress.size && progress.written[begin / block_length];
    };
    auto next = progress.order.begin();
    while (is_written(progress.hashed)) {
        while (next != progress.order.end() && next->begin < progress.hashed) ++next;
        if (next != progress.order.end() && next->begin == progress.hashed) {
            if (!next->in_place) {
                progress.hasher.update(next->bytes);
            } else if (!progress.hasher.update_mapped(next->bytes)) {
                progress.hasher.restart();
                progress.hashed = 0;
                return errc::dead_page;
            }
            progress.hashed += static_cast<std::uint32_t>(next->bytes.size());
            continue;
        }
        thread_local byte_vector buffer(check_read_size);
        auto end = progress.hashed;
        while (is_written(end) && end - progress.hashed < buffer.size() &&
               (next == progress.order.end() || end < next->begin))
            end = std::min(end + block_length, progress.size);
        auto const part = mutable_byte_view{buffer}.first(end - progress.hashed);
        SHOAL_TRY(store.read({progress.piece, progress.hashed, end - progress.hashed}, part));
        progress.hasher.update(part);
        progress.hashed = end;
    }
    return success();
}
}  // namespace

piece_writer::piece_writer(store_state& store, std::shared_ptr<piece_progress> progress)
    : store_(store), progress_(std::move(progress)) {}

piece_writer::~piece_writer() {
    std::lock_guard const lock(store_.mutex);
    auto const at = store_.progress.find(progress_->piece);
    if (at != store_.progress.end() && at->second == progress_) store_.progress.erase(at);
}

result<void> piece_writer::write(std::span<block_data const> blocks) {
    if (store_.closed) return errc::closed;
    if (!store_.settings.writable) return errc::read_only;
    if (store_.disk_failing) return errc::disk_failing;
    {
        std::lock_guard const lock(store_.mutex);
        if (store_.held.test(progress_->piece)) return errc::already_held;
        SHOAL_TRY(choose(store_, *progress_, blocks));
    }
    // In-place bytes changed their files when they arrived, and the time of modification with it.
    for (auto const& block : progress_->order) {
        if (!block.in_place) continue;
        result<void> outcome = success();
        store_.for_each_range({progress_->piece, block.begin, static_cast<std::uint32_t>(block.bytes.size())},
                              [&](metainfo::file_range const& range, std::uint32_t) {
                                  if (outcome) outcome = store_.make_writable(range.file);
                              });
        SHOAL_TRY(outcome);
    }
    SHOAL_TRY(write_blocks(store_, *progress_));
    auto const outcome = advance_hash(store_, *progress_);
    progress_->order.clear();  // the bytes are the caller's again
    return outcome;
}

result<bool> piece_writer::finish() {
    if (store_.closed) return errc::closed;
    auto& progress = *progress_;
    if (progress.written_count < progress.written.size()) return errc::piece_incomplete;
    if (!progress.hasher.can_judge()) return errc::no_hash;
    progress.order.clear();
    SHOAL_TRY(advance_hash(store_, progress));
    auto const verdict = progress.hasher.judge();
    bool right = verdict == piece_hasher::verdict::right || is_planted("hash_not_compared");
    progress.hashed = 0;
    bool was_suspect = false;
    {
        std::lock_guard const lock(store_.mutex);
        was_suspect = std::exchange(progress.suspect, false);
    }
    if (right && was_suspect) {
        // Its hash is of what was written; a sync failed since, and what counts is what the disk has kept.
        auto const dropped = store_.drop_cache_of(progress.piece);
        auto const there = dropped ? store_.is_right_on_disk(progress.piece) : dropped.error();
        if (!there) {
            std::lock_guard const lock(store_.mutex);
            progress.suspect = true;
            return there.error();
        }
        right = there.value();
    }
    bool const fits = !right || store_.fits_file_root(progress.piece, progress.hasher.root());
    right = right && fits;
    // What was hashed may have been read back from the disk: a wrong hash blames nobody then.
    bool const is_lost = was_suspect && !right && fits;
    std::lock_guard const lock(store_.mutex);
    if (right) {
        store_.hold(progress.piece);
        if (progress.suspect) {  // a sync has failed meanwhile
            store_.unsynced.pop_back();
            store_.doubtful.set(progress.piece);
        }
    } else {
        progress.written.assign(progress.written.size(), false);
        progress.written_count = 0;
    }
    if (is_lost) return errc::doubtful_piece;
    if (verdict == piece_hasher::verdict::contradictory || !fits) return errc::hashes_disagree;
    return right;
}
}  // namespace shoal::store
