module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

module shoal.core;

namespace shoal {
namespace {
constexpr std::string_view hex_digits = "0123456789abcdef";

int digit_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

void append_hex(std::string& out, std::uint32_t value, int digits) {
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += hex_digits[(value >> shift) & 0xf];
}
}  // namespace

bool equal_without_case(std::string_view a, std::string_view b) noexcept {
    auto const lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

std::string to_hex(byte_view bytes) {
    std::string out;
    out.reserve(2 * bytes.size());
    for (auto const b : bytes) append_hex(out, std::to_integer<std::uint32_t>(b), 2);
    return out;
}

std::optional<byte_vector> from_hex(std::string_view digits) {
    if (digits.size() % 2 != 0) return std::nullopt;
    byte_vector bytes(digits.size() / 2);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        auto const high = digit_value(digits[2 * i]), low = digit_value(digits[2 * i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        bytes[i] = static_cast<std::byte>(high << 4 | low);
    }
    return bytes;
}

std::optional<char32_t> take_code_point(std::string_view& text) noexcept {
    if (text.empty()) return std::nullopt;
    auto const at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    auto const lead = at(0);
    std::size_t const length = lead < 0x80   ? 1
                               : lead < 0xc2 ? 0
                               : lead < 0xe0 ? 2
                               : lead < 0xf0 ? 3
                               : lead < 0xf5 ? 4
                                             : 0;
    if (length == 0 || text.size() < length) return std::nullopt;
    char32_t value = length == 1 ? lead : lead & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xc0) != 0x80) return std::nullopt;
        value = value << 6 | (at(i) & 0x3fU);
    }
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return std::nullopt;
    text.remove_prefix(length);
    return value;
}

void append_utf8(std::string& out, char32_t c) {
    auto const tail = [&](int shift) { out += static_cast<char>(0x80 | ((c >> shift) & 0x3f)); };
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else if (c < 0x800) {
        out += static_cast<char>(0xc0 | c >> 6);
        tail(0);
    } else if (c < 0x10000) {
        out += static_cast<char>(0xe0 | c >> 12);
        tail(6), tail(0);
    } else {
        out += static_cast<char>(0xf0 | c >> 18);
        tail(12), tail(6), tail(0);
    }
}

bool is_valid_utf8(std::string_view text) noexcept {
    while (!text.empty())
        if (!take_code_point(text)) return false;
    return true;
}

bool is_invisible(char32_t c) noexcept {
    return c == 0xad || c == 0x34f || c == 0x61c || (c >= 0x115f && c <= 0x1160) || (c >= 0x17b4 && c <= 0x17b5) ||
           (c >= 0x180b && c <= 0x180f) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0x3164 || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || c == 0xffa0 ||
           (c >= 0xfff0 && c <= 0xfffb) || (c >= 0x1bca0 && c <= 0x1bca3) || (c >= 0x1d173 && c <= 0x1d17a) ||
           (c >= 0xe0000 && c <= 0xe0fff);
}

std::string escaped(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        auto const before = text;
        auto const c = take_code_point(text);
        if (!c) {
            out += "\\x";
            append_hex(out, static_cast<unsigned char>(text.front()), 2);
            text.remove_prefix(1);
        } else if (*c == U'\\') {
            out += "\\\\";
        } else if (*c < 0x20 || (*c >= 0x7f && *c < 0xa0)) {
            out += "\\x";
            append_hex(out, *c, 2);
        } else if (is_invisible(*c)) {
            out += "\\u{";
            append_hex(out, *c, *c > 0xffff ? 5 : 4);
            out += '}';
        } else {
            out += before.substr(0, before.size() - text.size());
        }
    }
    return out;
}
}  // namespace shoal
