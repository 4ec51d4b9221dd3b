module;
#include <cstddef>
#include <cstdint>
#include <span>

export module shoal.wire:source;
import shoal.core;

export namespace shoal::wire {
/// Moves bytes to or from the destination of a block; false when that memory is dead. Ranges may overlap.
using copy_function = bool (*)(std::byte* to, std::byte const* from, std::size_t count);
/// `memmove`.
bool plain_copy(std::byte* to, std::byte const* from, std::size_t count);
}  // namespace shoal::wire

namespace shoal::wire {
/// A place that `prepare` named.
struct aim {
    enum class use : std::uint8_t {
        own,          // memory of the connection
        header,       // the same, and the header of a predicted block is expected here, its data in the next place
        destination,  // memory of the caller, which may be dead
    };
    mutable_byte_view place;
    use as = use::own;
    block_ref expected{};  // of a header
};

/// Received bytes that do not stand where they should, in the order in which they came.
class source {
public:
    /// `count` bytes in `places`.
    source(std::span<aim const> places, std::size_t count, copy_function copy);
    /// Bytes that are no destination.
    source(byte_view bytes, copy_function copy);

    std::size_t left() const noexcept { return left_; }
    /// Moves the next `count` bytes, at most `left()`, to `to`; false when they cannot be read.
    bool take(std::byte* to, std::size_t count);
    void skip(std::size_t count);

    enum class moved : std::uint8_t { all, target_dead, source_dead };
    /// The same to a destination. All are taken in any case.
    moved take_to_destination(std::byte* to, std::size_t count);
    /// Whether writing `target` from here on in order would overwrite bytes before they were taken.
    bool is_threatened_by(byte_view target) const;
    /// Copies what is left to `spill` and goes on there; false when it cannot be read.
    bool move_to(byte_vector& spill);

private:
    void next_place();

    byte_view now_;  // rest of the place that is being read
    bool guarded_ = false;
    std::span<aim const> later_;
    std::size_t left_ = 0;
    copy_function copy_;
};
}  // namespace shoal::wire
