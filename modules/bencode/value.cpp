module;
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

module shoal.bencode;

namespace shoal::bencode {
std::optional<std::int64_t> value::integer() const noexcept {
    if (type() != kind::integer) return std::nullopt;
    auto const digits = as_text(encoded().subspan(1));  // decode() saw that a number that fits stands between i and e
    std::int64_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

std::optional<byte_view> value::bytes() const noexcept {
    if (type() != kind::string) return std::nullopt;
    return encoded().subspan(at_->prefix);
}

std::optional<std::string_view> value::text() const noexcept {
    if (type() != kind::string) return std::nullopt;
    return as_text(encoded().subspan(at_->prefix));
}

members<value> value::items() const noexcept {
    auto const* const end = at_ + at_->count;
    return {{is_list() ? at_ + 1 : end, input_}, {end, input_}};
}

members<entry> value::entries() const noexcept {
    auto const* const end = at_ + at_->count;
    return {{is_dictionary() ? at_ + 1 : end, input_}, {end, input_}};
}

std::optional<value> value::find(std::string_view key) const noexcept {
    for (auto const [name, content] : entries())
        if (name == key) return content;
    return std::nullopt;
}

std::optional<value> value::find(std::string_view key, kind wanted) const noexcept {
    auto const found = find(key);
    return found && found->type() == wanted ? found : std::nullopt;
}

std::optional<std::int64_t> value::find_integer(std::string_view key) const noexcept {
    auto const found = find(key);
    return found ? found->integer() : std::nullopt;
}

std::optional<byte_view> value::find_bytes(std::string_view key) const noexcept {
    auto const found = find(key);
    return found ? found->bytes() : std::nullopt;
}

std::optional<std::string_view> value::find_text(std::string_view key) const noexcept {
    auto const found = find(key);
    return found ? found->text() : std::nullopt;
}
}  // namespace shoal::bencode
