/// Digests and the trees of digests that torrents are checked by. Over OpenSSL's EVP, which no importer sees.
module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

export module shoal.hash;
import shoal.core; // digests, byte_view

namespace shoal::hash {
/// Hashes a run of bytes that comes in parts, and after `finish` the next run, with no further allocation.
/// `Digest` is `sha1_digest` or `sha256_digest`.
///
/// One thread at a time. A hasher that was moved from can only be assigned to or destroyed. OpenSSL failing (no memory,
/// no provider) throws `std::system_error`; nothing that is hashed can cause it.
export template <class Digest>
class hasher {
public:
    hasher();

    /// Takes no lock and allocates nothing, so that the store may run it under its SIGBUS guard. When a fault cut it
    /// off, call `restart`.
    void update(byte_view bytes);
    /// The digest of all bytes since construction, the last `finish` or `restart`.
    Digest finish();
    /// Forgets what was hashed so far.
    void restart();

private:
    struct free_context {
        void operator()(void* context) const noexcept;
    };
    std::unique_ptr<void, free_context> context_;  // EVP_MD_CTX
};
export using sha1_hasher = hasher<sha1_digest>;
export using sha256_hasher = hasher<sha256_digest>;

/// The digest of one run of bytes. Each thread keeps one context for these.
export sha1_digest sha1_of(byte_view bytes);
export sha256_digest sha256_of(byte_view bytes);

/// Heights of a tree, leaves being height 0: enough for 2^63 bytes in 16 KiB leaves, and one for the root.
export inline constexpr std::size_t height_max = 50;

/// SHA-256 of two nodes, one after the other. Source: BEP 52, "pieces root".
export sha256_digest parent_of(sha256_digest const& left, sha256_digest const& right);

/// The root of a tree of `2^height` leaves that all lie beyond the end of the file, and so are zero.
/// `height` is at most `height_max`. Computed once for each height.
export sha256_digest const& pad_hash(std::size_t height);

/// The root over `nodes`, which are one layer at `height` (0: hashes of blocks; of a piece layer, the logarithm of
/// blocks in a piece). Nodes missing to `width` are taken as beyond the end of the file. `width` is a power of two and
/// not less than `nodes.size()`; 0 means the least such. No nodes and width 0: a zero digest.
///
/// A file's root is `merkle_root(leaves)`, or from its piece layer `merkle_root(layer, height of a piece)`. A piece of
/// a file that has several is `merkle_root(leaves, 0, blocks in a full piece)`, the last one too.
export sha256_digest merkle_root(std::span<sha256_digest const> nodes, std::size_t height = 0, std::uint64_t width = 0);

/// The same root from the bytes themselves, which come in parts of any size. Keeps one digest a height.
export class merkle_hasher {
public:
    void update(byte_view bytes);
    /// The root, with the tree padded to `width` leaves as by `merkle_root`; the hasher is as new afterwards.
    sha256_digest finish(std::uint64_t width = 0);
    /// Forgets what was hashed so far.
    void restart();

private:
    void add_leaf(sha256_digest leaf);

    sha256_hasher block_;
    std::uint32_t filled_ = 0;  // bytes of the block that is under way
    std::uint64_t leaves_ = 0;  // complete; bit h of it set: pending_[h] waits for its right sibling
    std::array<sha256_digest, height_max> pending_{};
};
}  // namespace shoal::hash
