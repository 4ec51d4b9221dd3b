module;
#include <cstdint>
#include <span>
#include <vector>

export module shoal.picker:rarity;
import :types;

export namespace shoal::picker {
/// How many peers have each piece, and those pieces that are *listed*, rarest first.
///
/// One array holds the listed pieces in buckets of equal availability; a piece that gets one more or less swaps to the
/// border of its bucket and crosses it, in constant time. It lands at a random place of its new bucket, so that peers
/// that hear the same announcements do not end up with the same order.
class rarity_order {
public:
    /// No piece is listed, no peer has any.
    rarity_order(std::uint32_t piece_count, std::uint64_t seed);

    std::uint32_t availability(std::uint32_t piece) const noexcept { return availability_[piece]; }
    bool is_listed(std::uint32_t piece) const noexcept { return ((listed_[piece / 64] >> (piece % 64)) & 1U) != 0; }
    /// Constant time.
    void increase(std::uint32_t piece);
    /// Availability must not be 0. Constant time.
    void decrease(std::uint32_t piece);
    /// Linear in the highest availability.
    void list(std::uint32_t piece);
    void unlist(std::uint32_t piece);

    /// The listed pieces, rarest first. Valid until the next change.
    std::span<std::uint32_t const> rarest_first() const noexcept { return order_; }
    /// How many listed pieces have availability 0: the first so many of `rarest_first()`.
    std::uint32_t unavailable_count() const noexcept { return ends_.empty() ? 0 : ends_[0]; }
    /// The same set as bits: piece i is bit i % 64 of word i / 64.
    std::span<std::uint64_t const> words() const noexcept { return listed_; }

private:
    std::uint32_t bucket_begin(std::uint32_t bucket) const noexcept { return bucket == 0 ? 0 : ends_[bucket - 1]; }
    void put(std::uint32_t at, std::uint32_t piece) noexcept;
    void swap(std::uint32_t a, std::uint32_t b) noexcept;
    void shuffle_in(std::uint32_t at, std::uint32_t bucket) noexcept;

    random_sequence random_;
    std::vector<std::uint32_t> availability_;  // by piece
    std::vector<std::uint32_t> position_;      // by piece, in order_; meaningful for listed pieces
    std::vector<std::uint32_t> order_;         // listed pieces, bucket after bucket
    std::vector<std::uint32_t> ends_;          // by availability: where its bucket ends in order_
    std::vector<std::uint64_t> listed_;
};
}  // namespace shoal::picker
