module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.store;
import :state;
import shoal.core;
import shoal.metainfo;

namespace shoal::store {
chunk_store::chunk_store(std::unique_ptr<store_state> state) : state_(std::move(state)) {}
chunk_store::~chunk_store() = default;

result<std::unique_ptr<chunk_store>> chunk_store::open(std::shared_ptr<metainfo::torrent const> torrent,
                                                       store_settings settings) {
    disk_settings const disk{settings.directory,      settings.journal,
                             settings.writable,       settings.kind == back_end::mapped,
                             settings.open_files_max, settings.writable ? content_names{} : settings.names};
    SHOAL_TRY(auto files, open_disk_files(torrent, disk));
    return open(std::move(torrent), std::move(settings), std::move(files));
}

result<std::unique_ptr<chunk_store>> chunk_store::open(std::shared_ptr<metainfo::torrent const> torrent,
                                                       store_settings settings, std::shared_ptr<back_end_files> files) {
    SHOAL_TRY(files->lock());
    try {
        return std::unique_ptr<chunk_store>(
            new chunk_store(std::make_unique<store_state>(std::move(torrent), std::move(settings), files)));
    } catch (...) {  // no memory: nobody else would unlock them
        files->unlock();
        throw;
    }
}

void chunk_store::rest() {
    std::lock_guard const journal_lock(state_->journaling);
    if (!state_->closed) state_->files->rest();
}

std::unique_ptr<piece_writer> chunk_store::begin(piece_index piece) {
    auto progress = std::make_shared<piece_progress>(*state_->torrent, piece);
    {
        std::lock_guard const lock(state_->mutex);
        state_->progress[piece] = progress;
    }
    return std::make_unique<piece_writer>(*state_, std::move(progress));
}

result<void> chunk_store::prepare(piece_index piece) {
    auto& state = *state_;
    std::shared_ptr<piece_progress> progress;
    {
        std::lock_guard const lock(state.mutex);
        auto const at = state.progress.find(piece);
        if (at == state.progress.end()) return errc::no_writer;
        if (at->second->prepared) return success();
        progress = at->second;
    }
    if (state.closed) return errc::closed;
    std::vector<prepared_part> parts;
    result<void> outcome = success();
    state.for_each_range(state.whole(piece), [&](metainfo::file_range range, std::uint32_t begin) {
        if (!outcome || !state.is_real(range.file)) return;
        outcome = state.make_writable(range.file);
        while (outcome && range.length > 0) {
            auto const size = std::min(range.length, window_size - range.offset % window_size);
            auto mapped = state.files->prepare(range.file, range.offset, size);
            if (!mapped) {
                outcome = mapped.error();
                return;
            }
            if (mapped.value()) parts.push_back({begin, std::move(*mapped.value())});
            range.offset += size;
            range.length -= size;
            begin += static_cast<std::uint32_t>(size);
        }
    });
    SHOAL_TRY(outcome);
    std::lock_guard const lock(state.mutex);
    if (progress->prepared) return success();
    progress->parts = std::move(parts);
    progress->prepared = true;
    return success();
}

std::optional<mutable_byte_view> chunk_store::window(block_ref block) {
    std::lock_guard const lock(state_->mutex);
    auto const at = state_->progress.find(block.piece);
    if (at == state_->progress.end()) return std::nullopt;
    auto& progress = *at->second;
    auto const index = block.begin / block_length;
    if (index >= progress.written.size() || block != state_->torrent->pieces().block_at(block.piece, index))
        return std::nullopt;
    if (progress.written[index] || progress.lent[index]) return std::nullopt;
    auto part = std::upper_bound(progress.parts.begin(), progress.parts.end(), block.begin,
                                 [](std::uint32_t begin, prepared_part const& p) { return begin < p.begin; });
    if (part == progress.parts.begin()) return std::nullopt;
    --part;
    auto const inside = block.begin - part->begin;
    if (inside + std::size_t{block.length} > part->mapped.bytes.size()) return std::nullopt;
    progress.lent[index] = true;
    return part->mapped.bytes.subspan(inside, block.length);
}

void chunk_store::reclaim(block_ref block) {
    std::lock_guard const lock(state_->mutex);
    auto const at = state_->progress.find(block.piece);
    if (at == state_->progress.end()) return;
    auto const index = block.begin / block_length;
    if (index >= at->second->lent.size() || !at->second->lent[index]) return;
    at->second->lent[index] = false;
    state_->mark_dirty(block);  // some of it may have come: the change is ours
}

std::optional<resident_bytes> chunk_store::view(block_ref block) {
    auto& state = *state_;
    if (state.closed) return std::nullopt;
    {
        std::lock_guard const lock(state.mutex);
        if (!state.held.test(block.piece) || state.doubtful.test(block.piece)) return std::nullopt;
    }
    auto const& content = state.torrent->content();
    auto const offset = state.torrent->pieces().offset_of(block);
    auto const file = content.file_at(offset);
    auto const& facts = content.files()[file];
    if (facts.pad || offset + block.length > facts.offset + facts.size) return std::nullopt;
    auto found = state.files->resident(file, offset - facts.offset, block.length);
    if (!found) return std::nullopt;
    return resident_bytes{found->bytes, std::move(found->keep)};
}

result<void> chunk_store::read(block_ref block, mutable_byte_view into) {
    if (state_->closed) return errc::closed;
    if (is_doubtful(block.piece)) return errc::doubtful_piece;
    SHOAL_TRY(state_->read(block, into));
    if (is_doubtful(block.piece)) return errc::doubtful_piece;  // the disk failed just now
    if (is_held(block.piece))
        state_->for_each_range(block, [&](metainfo::file_range const& range, std::uint32_t) {
            if (range.length == block.length && state_->is_real(range.file))
                state_->files->map_for_reading(range.file, range.offset, range.length);
        });
    return success();
}

bitfield chunk_store::absent_pieces() {
    auto const& layout = state_->torrent->content();
    auto const count = state_->torrent->pieces().piece_count();
    bitfield absent(count);
    if (state_->closed) return absent;
    std::vector<bool> is_absent(layout.files().size());
    for (file_number file = 0; file < is_absent.size(); ++file) {
        if (!state_->is_real(file)) continue;
        auto const status = state_->files->status(file);
        is_absent[file] = status && !status.value();  // one that cannot be looked at may be there
    }
    std::lock_guard const lock(state_->mutex);
    for (piece_index piece{0}; to_number(piece) < count; piece = piece_index{to_number(piece) + 1}) {
        bool is_nowhere = false, is_somewhere = false;
        state_->for_each_range(state_->whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
            if (!state_->is_real(range.file)) return;
            (is_absent[range.file] ? is_nowhere : is_somewhere) = true;
        });
        if (!is_nowhere || is_somewhere) continue;
        absent.set(piece);
        state_->note_wrong(piece);
    }
    return absent;
}

result<bool> chunk_store::check_piece(piece_index piece) {
    auto& state = *state_;
    if (state.closed) return errc::closed;
    for (;;) {
        auto const failed_before = state.failed_syncs.load();
        SHOAL_TRY(auto const right, state.is_right_on_disk(piece));
        std::lock_guard const lock(state.mutex);
        if (right && state.failed_syncs != failed_before) continue;  // it may have been read before the disk lost it
        if (!right) {
            state.note_wrong(piece);
            return false;
        }
        state.mark_dirty(state.whole(piece));
        state.hold(piece);
        return true;
    }
}

result<bool> chunk_store::recheck(piece_index piece) {
    if (state_->closed) return errc::closed;
    SHOAL_TRY(auto const right, state_->is_right_on_disk(piece));
    if (right) return true;
    SHOAL_TRY(check_files());  // what somebody changed is his
    std::lock_guard const lock(state_->mutex);
    if (!state_->held.test(piece)) return true;
    state_->give_up(piece, false);
    return false;
}

result<bool> chunk_store::trust_piece(piece_index piece) {
    if (state_->closed) return errc::closed;
    auto const file = state_->torrent->content().file_at(state_->torrent->pieces().offset_of(piece));
    if (state_->file_states[file].by_v1_alone) return check_piece(piece);  // its root is to be known
    if (!may_have(piece)) return false;
    std::lock_guard const lock(state_->mutex);
    state_->mark_dirty(state_->whole(piece));
    state_->hold(piece);
    return true;
}

void chunk_store::reopen(piece_index piece) {
    (void)state_->drop_cache_of(piece);
}

bool chunk_store::may_have(piece_index piece) {
    bool may = true;
    state_->for_each_range(state_->whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        if (!may || !state_->is_real(range.file)) return;
        auto const status = state_->files->status(range.file);
        may = status && status.value() && status.value()->size >= range.offset + range.length;
    });
    return may;
}

void chunk_store::lost(piece_index piece, bool by_somebody) {
    std::lock_guard const lock(state_->mutex);
    state_->give_up(piece, by_somebody);
    // Its files may be gone: they are made ready anew.
    state_->for_each_range(state_->whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        state_->file_states[range.file].ready = false;
    });
}

bool chunk_store::may_receive(piece_index piece) const {
    std::lock_guard const lock(state_->mutex);
    bool may = true;
    state_->for_each_range(state_->whole(piece), [&](metainfo::file_range const& range, std::uint32_t) {
        if (state_->file_states[range.file].changed) may = false;
    });
    return may;
}

bool chunk_store::is_durable() const {
    std::lock_guard const lock(state_->mutex);
    return state_->durable.all();
}

bool chunk_store::is_journal_behind() const {
    std::lock_guard const lock(state_->mutex);
    // A file that is to be stamped is not watched until it is.
    return !state_->unsynced.empty() || !state_->doubtful.none() || state_->claims_withdrawn ||
           std::ranges::any_of(state_->file_states, &file_state::dirty);
}

std::vector<piece_index> chunk_store::take_lost() {
    std::lock_guard const lock(state_->mutex);
    return std::exchange(state_->given_up, {});
}

bool chunk_store::is_doubtful(piece_index piece) const {
    std::lock_guard const lock(state_->mutex);
    return state_->doubtful.test(piece);
}

result<void> chunk_store::settle_doubts() {
    std::lock_guard const lock(state_->syncing);
    if (state_->closed) return errc::closed;
    return state_->recheck_doubtful();
}

bool chunk_store::has_doubts() const {
    std::lock_guard const lock(state_->mutex);
    return !state_->doubtful.none();
}

bool chunk_store::is_held(piece_index piece) const {
    std::lock_guard const lock(state_->mutex);
    return state_->held.test(piece);
}

bitfield chunk_store::held() const {
    std::lock_guard const lock(state_->mutex);
    return state_->held;
}

bool chunk_store::is_complete(file_number file) const {
    std::lock_guard const lock(state_->mutex);
    return state_->file_states[file].missing == 0 && state_->has_final_name(file);
}

std::uint64_t chunk_store::unsynced_bytes() const noexcept {
    return state_->unsynced_bytes;
}
std::string chunk_store::last_failed_path() const {
    return state_->files->last_failed_path();
}
}  // namespace shoal::store
