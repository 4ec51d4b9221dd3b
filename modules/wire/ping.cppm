module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

export module shoal.wire:ping;
import shoal.core;

export namespace shoal::wire {
/// The name in `m` of the extension by which Shoal peers measure a round trip. A message is a kind, 0 for the question
/// and 1 for the answer, and the eight bytes by which the asker knows it again.
inline constexpr std::string_view ping_extension = "sl_ping";
inline constexpr std::size_t ping_length = 9;  ///< Bytes.

struct ping_message {
    bool is_answer = false;
    std::uint64_t number = 0;  ///< The answer has that of the question.
    friend bool operator==(ping_message const&, ping_message const&) = default;
};
std::array<std::byte, ping_length> encode(ping_message const& from) noexcept;
/// Nothing unless the payload is a question or an answer of just that length.
std::optional<ping_message> parse_ping(byte_view payload) noexcept;
}  // namespace shoal::wire
