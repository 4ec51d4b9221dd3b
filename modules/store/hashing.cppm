module;
#include <cstddef>
#include <cstdint>
#include <optional>

/// Hashing one piece against what the torrent says of it. Not exported.
module shoal.store:hashing;
import shoal.core;
import shoal.hash;
import shoal.metainfo;

namespace shoal::store {
/// Takes the bytes of one piece in order, pad bytes included, and compares: v1, v2, or both where both are known.
class piece_hasher {
public:
    piece_hasher(metainfo::torrent const& torrent, piece_index piece);

    /// Whether the torrent has any hash for this piece.
    bool can_judge() const noexcept { return v1_.has_value() || v2_.has_value(); }
    void update(byte_view bytes);
    /// The same for mapped bytes. False: a page was dead; `restart`.
    bool update_mapped(byte_view bytes) noexcept;
    bool is_right();  ///< After all bytes; as new afterwards.
    void restart();

private:
    std::optional<sha1_digest> v1_;
    std::optional<sha256_digest> v2_;
    std::uint64_t v2_size_ = 0;   // bytes of the file in this piece; pad bytes are no part of the tree
    std::uint64_t v2_width_ = 0;  // leaves; 0: as many as the file needs
    std::uint64_t v2_left_ = 0;
    hash::sha1_hasher sha1_;
    hash::merkle_hasher merkle_;
};
}  // namespace shoal::store
