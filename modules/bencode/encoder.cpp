module;
#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

module shoal.bencode;

namespace shoal::bencode {
namespace {
constexpr std::size_t not_dictionary = std::numeric_limits<std::size_t>::max();
// Room at the start, so that what is short takes memory once: an answer of a tracker with fifty peers, and its keys.
constexpr std::size_t first_capacity = 512;
constexpr std::size_t keys_first_capacity = 12;
}  // namespace

encoder& encoder::integer(std::int64_t number) {
    begin_value();
    std::array<char, 24> whole;  // with 20 for -2^63
    whole.front() = 'i';
    auto* end = std::to_chars(whole.data() + 1, whole.data() + whole.size() - 1, number).ptr;
    *end++ = 'e';
    append({whole.data(), end});
    return *this;
}

encoder& encoder::bytes(byte_view content) {
    return text(as_text(content));
}

encoder& encoder::text(std::string_view content) {
    begin_value();
    append_string(content);
    return *this;
}

encoder& encoder::encoded(byte_view whole_value) {
    begin_value();
    append(as_text(whole_value));
    return *this;
}

encoder& encoder::list() {
    begin_value();
    append("l");
    open_.push_back({.keys = not_dictionary, .awaits_value = false});
    return *this;
}

encoder& encoder::dictionary() {
    begin_value();
    append("d");
    if (keys_.capacity() == 0) keys_.reserve(keys_first_capacity);
    open_.push_back({.keys = keys_.size(), .awaits_value = false});
    return *this;
}

encoder& encoder::end() {
    assert(!open_.empty() && !open_.back().awaits_value);
    if (open_.back().keys != not_dictionary) sort_pairs(open_.back().keys);
    open_.pop_back();
    append("e");
    return *this;
}

encoder& encoder::key(std::string_view name) {
    assert(!open_.empty() && open_.back().keys != not_dictionary && !open_.back().awaits_value);
    open_.back().awaits_value = true;
    auto const begin = out_.size();
    append_string(name);
    keys_.push_back({.begin = begin, .content = out_.size() - name.size(), .length = name.size()});
    return *this;
}

byte_vector encoder::take() {
    assert(open_.empty() && !out_.empty());
    return std::exchange(out_, {});
}

void encoder::begin_value() {
    if (open_.empty()) {
        assert(out_.empty());
        return;
    }
    assert(open_.back().keys == not_dictionary || open_.back().awaits_value);
    open_.back().awaits_value = false;
}

/// Brings the pairs of the dictionary that ends into the order of their keys, and forgets the keys.
void encoder::sort_pairs(std::size_t first_key) {
    auto const first = keys_.begin() + static_cast<std::ptrdiff_t>(first_key);
    auto const by_name = [this](key_place const& a, key_place const& b) { return key_at(a) < key_at(b); };
    if (!std::is_sorted(first, keys_.end(), by_name)) {
        struct pair_range {
            key_place key;
            std::size_t end;
        };
        std::vector<pair_range> pairs;
        for (auto at = first; at != keys_.end(); ++at)
            pairs.push_back({*at, at + 1 == keys_.end() ? out_.size() : (at + 1)->begin});
        std::ranges::sort(pairs, by_name, &pair_range::key);
        byte_vector sorted;
        sorted.reserve(out_.size() - first->begin);
        for (auto const& pair : pairs)
            sorted.insert(sorted.end(), out_.begin() + static_cast<std::ptrdiff_t>(pair.key.begin),
                          out_.begin() + static_cast<std::ptrdiff_t>(pair.end));
        assert(std::ranges::adjacent_find(pairs, [this](auto const& a, auto const& b) {
                   return key_at(a.key) == key_at(b.key);
               }) == pairs.end());
        std::ranges::copy(sorted, out_.begin() + static_cast<std::ptrdiff_t>(first->begin));
    } else {
        assert(std::adjacent_find(first, keys_.end(), [this](auto const& a, auto const& b) {
                   return key_at(a) == key_at(b);
               }) == keys_.end());
    }
    keys_.erase(first, keys_.end());
}

std::string_view encoder::key_at(key_place const& place) const {
    return as_text(out_).substr(place.content, place.length);
}

void encoder::append_string(std::string_view content) {
    constexpr std::size_t short_max = 40;  // keys, hashes: appended in one go
    std::array<char, 24 + short_max> head;
    auto* end = std::to_chars(head.data(), head.data() + head.size(), content.size()).ptr;
    *end++ = ':';
    bool const is_short = content.size() <= short_max;
    if (is_short) end = std::ranges::copy(content, end).out;
    append({head.data(), end});
    if (!is_short) append(content);
}

void encoder::append(std::string_view characters) {
    auto const bytes = as_bytes(characters);
    if (out_.capacity() == 0) out_.reserve(first_capacity);
    out_.insert(out_.end(), bytes.begin(), bytes.end());
}
}  // namespace shoal::bencode
