module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// Who sent wrong blocks (class C9).
export module shoal.picker:blame;
import shoal.core; // ip_address, peer_id, piece_index

export namespace shoal::picker {
/// Who sends blocks, by whichever connection, so that nobody gets away with it by leaving.
struct sender {
    ip_address from;
    peer_id id;
    friend bool operator==(sender const&, sender const&) = default;
};

/// What is kept of a block that was received: see `block_prints`. All zeros: none was taken.
using block_print = std::array<std::uint64_t, 2>;

/// Tells blocks apart. Two that differ have the same print once in 2^64 cases, for whoever does not know the secret:
/// nobody can choose them. It costs a tenth of SHA-1.
///
/// Source: Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC: Fast and Secure Message Authentication" (the hash NH).
class block_prints {
public:
    /// One for each word of a block.
    using secret = std::vector<std::uint64_t>;
    static constexpr std::size_t secret_size = block_length / sizeof(std::uint64_t);

    /// `secret_size` random words.
    explicit block_prints(secret words);
    /// Of a block of up to `block_length` bytes. Any thread. Only for blocks of one length to be compared.
    block_print of(byte_view block) const noexcept;

private:
    secret secret_;
};

/// A block of a piece, as it was received. Its print is needed where several peers sent the piece, or where one that
/// failed is to be compared with it.
struct received_block {
    sender by;
    block_print print{};
};

/// Blocks of failed pieces that are remembered, 5 MiB of memory: two of the largest pieces that there are (2^29 bytes).
/// The oldest failure is forgotten first: who sends so much that is wrong is caught by the others.
inline constexpr std::size_t blamed_blocks_max = 1u << 16;

/// Finds out who sent the wrong blocks of pieces that failed their hash, and never names anybody else: when such a
/// piece is right at last, whoever sent a block before that is not as it is now has lied.
///
/// Only what was received counts; nobody is blamed for what a disk did to it, nor for a block without a print. Give
/// each piece's blocks in order.
class blame {
public:
    /// The hash was wrong. The culprit, where all blocks came from one.
    std::optional<sender> failed(piece_index piece, std::span<received_block const> blocks);
    /// The hash was right. The culprits of all failures of the piece since it was last right, once each.
    std::vector<sender> passed(piece_index piece, std::span<received_block const> blocks);
    /// Whether `passed` will compare this piece: take the prints of its blocks.
    bool remembers(piece_index piece) const noexcept;
    /// Blocks that are remembered.
    std::size_t block_count() const noexcept { return block_count_; }

private:
    struct failure {
        piece_index piece;
        std::vector<received_block> blocks;
    };
    std::vector<failure> failures_;  // oldest first
    std::size_t block_count_ = 0;
};
}  // namespace shoal::picker
