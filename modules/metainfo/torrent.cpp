module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

module shoal.metainfo;
import shoal.core;

namespace shoal::metainfo {
namespace {
info_hash swarm_hash_of(std::optional<sha1_digest> const& v1, std::optional<sha256_digest> const& v2) noexcept {
    if (v1) return *info_hash::from(v1->view());
    return v2 ? *info_hash::from(v2->view().first(info_hash::size())) : info_hash{};
}
}  // namespace

info_hash torrent::swarm_hash() const noexcept {
    return swarm_hash_of(info_hash_v1_, info_hash_v2_);
}
info_hash magnet::swarm_hash() const noexcept {
    return swarm_hash_of(info_hash_v1, info_hash_v2);
}

sha1_digest torrent::piece_hash(piece_index piece) const noexcept {
    auto const at = piece_hashes_at_ + std::size_t{to_number(piece)} * sha1_digest::size();
    return *sha1_digest::from(info_bytes().subspan(at, sha1_digest::size()));
}

std::optional<sha256_digest> torrent::piece_root(piece_index piece) const noexcept {
    if (!has_v2()) return std::nullopt;
    auto const index = content_.file_at(pieces().offset_of(piece));  // pieces of v2 start in a file, never in a pad
    auto const& holder = content_.files()[index];
    if (holder.size <= pieces().piece_length()) return holder.pieces_root;
    auto const layer = piece_layer(index);
    if (layer.empty()) return std::nullopt;
    auto const at = std::size_t{to_number(piece) - content_.pieces_of(index).first} * sha256_digest::size();
    return sha256_digest::from(layer.subspan(at, sha256_digest::size()));
}

byte_view torrent::piece_layer(std::uint32_t file) const noexcept {
    auto const found = std::lower_bound(layer_of_file_.begin(), layer_of_file_.end(), file,
                                        [](layer const& each, std::uint32_t wanted) { return each.file < wanted; });
    if (found == layer_of_file_.end() || found->file != file) return {};
    return byte_view{layers_}.subspan(found->at, found->size);
}
}  // namespace shoal::metainfo
