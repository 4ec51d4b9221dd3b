module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

export module shoal.core:bitfield;
import :bytes;
import :types;

export namespace shoal {
/// One bit for each piece of a torrent. Wire order: bit 7 of byte 0 is piece 0 (BEP 3, "bitfield").
class bitfield {
public:
    bitfield() = default;
    explicit bitfield(std::uint32_t size, bool value = false);

    /// The payload of a bitfield message for `size` pieces; nothing when its length is wrong or a spare bit is set.
    static std::optional<bitfield> parse(byte_view payload, std::uint32_t size);
    /// The payload of a bitfield message.
    byte_vector wire_bytes() const;

    std::uint32_t size() const noexcept { return size_; }
    /// How many bits are set. Constant time.
    std::uint32_t count() const noexcept { return count_; }
    bool all() const noexcept { return count_ == size_; }
    bool none() const noexcept { return count_ == 0; }

    /// `index` must be below `size()`.
    bool test(piece_index index) const noexcept;
    /// Sets or clears one bit; true when it changed.
    bool set(piece_index index, bool value = true) noexcept;
    void fill(bool value) noexcept;

    /// The first set bit at or after `from`; nothing when there is none.
    std::optional<piece_index> next_set(std::uint32_t from) const noexcept;
    /// Whether some bit is set here and clear in `other`, which has the same size.
    bool has_beyond(bitfield const& other) const noexcept;

    friend bool operator==(bitfield const&, bitfield const&) = default;

private:
    std::uint32_t size_ = 0;
    std::uint32_t count_ = 0;
    std::vector<std::uint64_t> words_;  // piece i is bit 63 - i % 64 of word i / 64; spare bits are 0
};
}  // namespace shoal
