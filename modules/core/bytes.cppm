module;
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

export module shoal.core:bytes;

export namespace shoal {
/// Bytes somebody else owns and that this code only reads.
using byte_view = std::span<std::byte const>;
/// Bytes somebody else owns and that this code may write.
using mutable_byte_view = std::span<std::byte>;
/// Bytes with an owner.
using byte_vector = std::vector<std::byte>;

/// The same memory seen as bytes, or as characters. Lifetime stays the owner's.
inline byte_view as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<std::byte const*>(text.data()), text.size()};
}
inline std::string_view as_text(byte_view bytes) noexcept {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}
inline bool equal(byte_view a, byte_view b) noexcept {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

/// Reads `T` from the first `sizeof(T)` bytes, most significant first. `bytes` must be that long.
template <std::unsigned_integral T>
constexpr T load_be(byte_view bytes) noexcept {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        value = static_cast<T>((static_cast<std::uint64_t>(value) << 8) | std::to_integer<std::uint8_t>(bytes[i]));
    return value;
}
/// Writes `value` to the first `sizeof(T)` bytes, most significant first. `bytes` must be that long.
template <std::unsigned_integral T>
constexpr void store_be(mutable_byte_view bytes, T value) noexcept {
    for (std::size_t i = sizeof(T); i-- > 0;) {
        bytes[i] = static_cast<std::byte>(value & 0xffU);
        value = static_cast<T>(static_cast<std::uint64_t>(value) >> 8);
    }
}

/// Takes numbers and runs of bytes off the front of `bytes`; nothing when too few are left.
class byte_reader {
public:
    constexpr explicit byte_reader(byte_view bytes) noexcept : left_(bytes) {}

    template <std::unsigned_integral T>
    constexpr std::optional<T> take_be() noexcept {
        auto const bytes = take(sizeof(T));
        if (!bytes) return std::nullopt;
        return load_be<T>(*bytes);
    }
    constexpr std::optional<byte_view> take(std::size_t count) noexcept {
        if (count > left_.size()) return std::nullopt;
        auto const taken = left_.first(count);
        left_ = left_.subspan(count);
        return taken;
    }
    constexpr byte_view rest() const noexcept { return left_; }

private:
    byte_view left_;
};

/// Appends numbers and runs of bytes to `out`, which has to outlive the writer.
class byte_writer {
public:
    explicit byte_writer(byte_vector& out) noexcept : out_(out) {}

    template <std::unsigned_integral T>
    byte_writer& be(T value) {
        auto const at = out_.size();
        out_.resize(at + sizeof(T));
        store_be(mutable_byte_view{out_}.subspan(at), value);
        return *this;
    }
    byte_writer& bytes(byte_view run) {
        out_.insert(out_.end(), run.begin(), run.end());
        return *this;
    }
    byte_writer& text(std::string_view run) { return bytes(as_bytes(run)); }

private:
    byte_vector& out_;
};
}  // namespace shoal
