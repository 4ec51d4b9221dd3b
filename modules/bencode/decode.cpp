module;
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.bencode;

namespace shoal::bencode {
namespace {
constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t length_digits_max = 20;  // of 2^64 - 1; keeps token::prefix in a byte

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

/// Reads one value from the front of the input. Open containers form a chain through their own tokens, so that
/// depth costs nothing: until it is closed, `count` is the container around it and `length` its last key (0: none).
class reader {
public:
    reader(byte_view input, rules const& accepted) noexcept : input_(input), text_(as_text(input)), rules_(accepted) {}

    result<document> read() {
        if (text_.size() > input_max) return errc::too_large;
        do {
            if (auto const refused = step(); refused != errc{}) return refused;
        } while (open_ != none);
        return document{input_, std::move(tokens_), is_canonical_};
    }

private:
    // Each reads one thing at at_ and answers errc{} or why it cannot.
    errc step() {
        if (at_ == text_.size()) return errc::truncated;
        auto const c = text_[at_];
        if (c == 'e' && open_ != none) return close();
        if (key_next_ && !is_digit(c)) return errc::key_not_string;
        if (tokens_.size() >= rules_.items_max) return errc::too_many_items;
        if (is_digit(c)) return string();
        switch (c) {
            case 'i':
                return integer();
            case 'l':
                return open(kind::list);
            case 'd':
                return open(kind::dictionary);
            default:
                return errc::unexpected_byte;
        }
    }

    errc open(kind type) {
        if (depth_ >= rules_.depth_max) return errc::too_deep;
        ++depth_;
        auto const index = static_cast<std::uint32_t>(tokens_.size());
        push({.begin = position(), .length = 0, .count = open_, .type = type});
        ++at_;
        open_ = index;
        key_next_ = type == kind::dictionary;
        return {};
    }

    errc close() {
        auto& container = tokens_[open_];
        if (container.type == kind::dictionary && !key_next_) return errc::unexpected_byte;
        ++at_;
        auto const around = container.count;
        container.count = static_cast<std::uint32_t>(tokens_.size()) - open_;
        container.length = position() - container.begin;
        open_ = around;
        --depth_;
        value_is_complete();
        return {};
    }

    errc integer() {
        auto const* const first = text_.data() + at_ + 1;
        auto const* const last = text_.data() + text_.size();
        std::int64_t number = 0;
        auto const [end, error] = std::from_chars(first, last, number);
        if (error == std::errc::result_out_of_range) return errc::integer_overflow;
        if (error != std::errc{}) {
            bool const cut = first == last || (*first == '-' && first + 1 == last);
            return cut ? errc::truncated : errc::bad_integer;
        }
        if (end == last) return errc::truncated;
        if (*end != 'e') return errc::bad_integer;
        auto const* const digits = first + (*first == '-' ? 1 : 0);
        bool const is_plain = *digits != '0' || (end - first == 1);
        if (!is_plain && !tolerate()) return errc::bad_integer;
        auto const length = static_cast<std::uint32_t>(end - first) + 2;
        push({.begin = position(), .length = length, .count = 1, .type = kind::integer});
        at_ += length;
        value_is_complete();
        return {};
    }

    errc string() {
        auto const* const first = text_.data() + at_;
        auto const* const last = text_.data() + text_.size();
        std::uint64_t size = 0;
        auto const [end, error] = std::from_chars(first, last, size);
        auto const digits = static_cast<std::size_t>(end - first);
        if (error != std::errc{} || digits > length_digits_max) return errc::bad_length;
        if (end == last) return errc::truncated;
        if (*end != ':') return errc::bad_length;
        if (*first == '0' && digits > 1 && !tolerate()) return errc::bad_length;
        if (size > static_cast<std::uint64_t>(last - end - 1)) return errc::truncated;
        auto const length = digits + 1 + static_cast<std::size_t>(size);
        push({.begin = position(),
              .length = static_cast<std::uint32_t>(length),
              .count = 1,
              .type = kind::string,
              .prefix = static_cast<std::uint8_t>(digits + 1)});
        at_ += length;
        if (key_next_) return key_is_complete();
        value_is_complete();
        return {};
    }

    errc key_is_complete() {
        auto& dictionary = tokens_[open_];
        auto const index = static_cast<std::uint32_t>(tokens_.size() - 1);
        if (dictionary.length != 0 && content(dictionary.length) >= content(index) && !tolerate())
            return errc::unsorted_keys;
        dictionary.length = index;
        key_next_ = false;
        return {};
    }

    void value_is_complete() noexcept { key_next_ = open_ != none && tokens_[open_].type == kind::dictionary; }

    /// A form that is not canonical was met: whether to go on.
    bool tolerate() noexcept {
        is_canonical_ = false;
        return !rules_.strict;
    }

    void push(token const& next) { tokens_.push_back(next); }
    std::uint32_t position() const noexcept { return static_cast<std::uint32_t>(at_); }
    std::string_view content(std::uint32_t index) const noexcept {
        auto const& string = tokens_[index];
        return text_.substr(string.begin + string.prefix, string.length - string.prefix);
    }

    byte_view input_;
    std::string_view text_;
    rules const& rules_;
    std::vector<token> tokens_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0;
    std::uint32_t open_ = none;  // the innermost open container
    bool key_next_ = false;
    bool is_canonical_ = true;
};
}  // namespace

result<document> decode_prefix(byte_view input, rules accepted) {
    return reader{input, accepted}.read();
}

result<document> decode(byte_view input, rules accepted) {
    SHOAL_TRY(auto decoded, decode_prefix(input, accepted));
    if (decoded.root().encoded().size() != input.size()) return errc::trailing_bytes;
    return decoded;
}
}  // namespace shoal::bencode
