module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

module shoal.store;
import :state;
import shoal.core;
import shoal.hash;
import shoal.metainfo;

namespace shoal::store {
namespace {
/// Hashed by one function, then by the other: stays in the first-level cache.
constexpr std::size_t hot_size = 16 * 1024;
}  // namespace

piece_hasher::piece_hasher(metainfo::torrent const& torrent, piece_index piece) {
    if (torrent.has_v1()) v1_ = torrent.piece_hash(piece);
    size_ = torrent.pieces().piece_size(piece);
    v2_ = torrent.piece_root(piece);
    makes_root_ = torrent.has_v2() && can_judge();
    if (!makes_root_) return;
    auto const& geometry = torrent.pieces();
    auto const& files = torrent.content().files();
    auto const& file = files[torrent.content().file_at(geometry.offset_of(piece))];
    v2_size_ = std::min<std::uint64_t>(geometry.piece_length(), file.offset + file.size - geometry.offset_of(piece));
    // Source: BEP 52: the last piece of a file that has several is padded to a whole one, a single one is not.
    if (file.size > geometry.piece_length()) v2_width_ = geometry.piece_length() / block_length;
    v2_left_ = v2_size_;
}

void piece_hasher::update(byte_view bytes) {
    while (!bytes.empty()) {
        auto const now = bytes.first(std::min(hot_size, bytes.size()));
        bytes = bytes.subspan(now.size());
        if (v1_) sha1_.update(now);
        auto const inside = std::min<std::uint64_t>(v2_left_, now.size());
        if (inside > 0) merkle_.update(now.first(inside));
        v2_left_ -= inside;
    }
}

bool piece_hasher::update_mapped(byte_view bytes) noexcept {
    struct job {
        piece_hasher* hasher;
        byte_view bytes;
    } work{this, bytes};
    return guarded(
        bytes,
        [](void* context) {
            auto const& todo = *static_cast<job const*>(context);
            todo.hasher->update(todo.bytes);
        },
        &work);
}

auto piece_hasher::judge() -> verdict {
    bool const v1_right = !v1_ || sha1_.finish() == *v1_;
    if (makes_root_) root_ = merkle_.finish(v2_width_);
    bool const v2_right = !v2_ || root_ == *v2_;
    v2_left_ = v2_size_;
    if (v1_right && v2_right) return can_judge() ? verdict::right : verdict::wrong;
    if (!v1_ || !v2_ || v1_right == v2_right) return verdict::wrong;
    // Pad bytes are no part of the v2 hash: a liar can spoil them and leave that one right.
    return v1_right || v2_size_ == size_ ? verdict::contradictory : verdict::wrong;
}

void piece_hasher::restart() {
    if (v1_) sha1_.restart();
    if (makes_root_) merkle_.restart();
    v2_left_ = v2_size_;
}
}  // namespace shoal::store
