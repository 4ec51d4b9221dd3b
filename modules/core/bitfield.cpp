module;
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

module shoal.core;

namespace shoal {
namespace {
constexpr std::uint64_t mask_of(std::uint32_t index) noexcept {
    return std::uint64_t{1} << (63 - index % 64);
}
}  // namespace

bitfield::bitfield(std::uint32_t size, bool value) : size_(size), words_((std::size_t{size} + 63) / 64) {
    if (value) fill(true);
}

std::optional<bitfield> bitfield::parse(byte_view payload, std::uint32_t size) {
    if (payload.size() != (std::size_t{size} + 7) / 8) return std::nullopt;
    if (size % 8 != 0 && (std::to_integer<unsigned>(payload.back()) & (0xffU >> (size % 8))) != 0) return std::nullopt;
    bitfield result{size};
    for (std::size_t i = 0; i < payload.size(); ++i)
        result.words_[i / 8] |= std::to_integer<std::uint64_t>(payload[i]) << (56 - 8 * (i % 8));
    for (auto const word : result.words_) result.count_ += static_cast<std::uint32_t>(std::popcount(word));
    return result;
}

byte_vector bitfield::wire_bytes() const {
    byte_vector bytes((std::size_t{size_} + 7) / 8);
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::byte>((words_[i / 8] >> (56 - 8 * (i % 8))) & 0xff);
    return bytes;
}

bool bitfield::test(piece_index index) const noexcept {
    return (words_[to_number(index) / 64] & mask_of(to_number(index))) != 0;
}

bool bitfield::set(piece_index index, bool value) noexcept {
    if (test(index) == value) return false;
    words_[to_number(index) / 64] ^= mask_of(to_number(index));
    count_ += value ? 1 : std::uint32_t(-1);
    return true;
}

void bitfield::fill(bool value) noexcept {
    for (auto& word : words_) word = value ? ~std::uint64_t{0} : 0;
    if (value && size_ % 64 != 0) words_.back() = ~std::uint64_t{0} << (64 - size_ % 64);
    count_ = value ? size_ : 0;
}

std::optional<piece_index> bitfield::next_set(std::uint32_t from) const noexcept {
    if (from >= size_) return std::nullopt;
    std::size_t at = from / 64;
    auto word = words_[at] & (~std::uint64_t{0} >> (from % 64));
    while (word == 0) {
        if (++at == words_.size()) return std::nullopt;
        word = words_[at];
    }
    return piece_index{static_cast<std::uint32_t>(at * 64 + static_cast<unsigned>(std::countl_zero(word)))};
}

bool bitfield::has_beyond(bitfield const& other) const noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i)
        if ((words_[i] & ~other.words_[i]) != 0) return true;
    return false;
}
}  // namespace shoal
