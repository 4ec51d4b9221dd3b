module;
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

export module shoal.bencode:value;
import shoal.core;

namespace shoal::bencode {
/// The four kinds of value. Source: BEP 3, "bencoding".
export enum class kind : std::uint8_t { integer, string, list, dictionary };

/// One value in the flat array that `decode` fills. A container stands before what it holds, a key before its value.
struct token {
    std::uint32_t begin = 0;   // of the encoded form in the input
    std::uint32_t length = 0;  // of the encoded form, bytes
    std::uint32_t count = 0;   // tokens of this value: itself and all it holds
    kind type = kind::integer;
    std::uint8_t prefix = 0;  // bytes before the content of a string: its length and the colon
};

export class value;
export struct entry;

/// Steps over the members of one container.
export template <class Member>
class member_iterator {
public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Member;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = Member;

    member_iterator() = default;
    member_iterator(token const* at, std::byte const* input) noexcept : at_(at), input_(input) {}
    Member operator*() const noexcept;
    member_iterator& operator++() noexcept;
    member_iterator operator++(int) noexcept {
        auto const before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(member_iterator const& a, member_iterator const& b) noexcept { return a.at_ == b.at_; }

private:
    token const* at_ = nullptr;
    std::byte const* input_ = nullptr;
};

/// The members of one container, in the order of the input.
export template <class Member>
class members {
public:
    members(member_iterator<Member> first, member_iterator<Member> last) noexcept : first_(first), last_(last) {}
    member_iterator<Member> begin() const noexcept { return first_; }
    member_iterator<Member> end() const noexcept { return last_; }
    bool empty() const noexcept { return first_ == last_; }

private:
    member_iterator<Member> first_, last_;
};

/// A value inside a `document`; valid while the document (moved or not) and the bytes it was decoded from are there.
/// As cheap to copy as two pointers. Asked for another kind than it is, it answers nothing or an empty range.
export class value {
public:
    value(token const* at, std::byte const* input) noexcept : at_(at), input_(input) {}

    kind type() const noexcept { return at_->type; }
    bool is_dictionary() const noexcept { return type() == kind::dictionary; }
    bool is_list() const noexcept { return type() == kind::list; }

    std::optional<std::int64_t> integer() const noexcept;
    /// The content of a string: any bytes, as characters in `text`, where UTF-8 is not checked.
    std::optional<byte_view> bytes() const noexcept;
    std::optional<std::string_view> text() const noexcept;
    /// The elements of a list.
    members<value> items() const noexcept;
    /// The pairs of a dictionary.
    members<entry> entries() const noexcept;

    /// What the first `key` of a dictionary maps to, of any kind or only of kind `wanted`. When the first has another
    /// kind, later ones do not count. Linear in the number of keys: to look up many, walk `entries` once.
    std::optional<value> find(std::string_view key) const noexcept;
    std::optional<value> find(std::string_view key, kind wanted) const noexcept;
    std::optional<std::int64_t> find_integer(std::string_view key) const noexcept;
    std::optional<byte_view> find_bytes(std::string_view key) const noexcept;
    std::optional<std::string_view> find_text(std::string_view key) const noexcept;

    /// The encoded form exactly as it stood in the input. An info-hash is over these bytes.
    byte_view encoded() const noexcept { return {input_ + at_->begin, at_->length}; }

private:
    token const* at_;
    std::byte const* input_;
};

/// A key and what it maps to.
export struct entry {
    std::string_view key;
    value content;
};

/// What `decode` read: a flat array over the input, which has to outlive it. Values stay valid when it is moved.
export class document {
public:
    document(byte_view input, std::vector<token> tokens, bool is_canonical) noexcept
        : input_(input.data()), tokens_(std::move(tokens)), is_canonical_(is_canonical) {}
    document(document&&) noexcept = default;
    document& operator=(document&&) noexcept = default;

    value root() const& noexcept { return {tokens_.data(), input_}; }
    value root() const&& = delete;  // would point into a document that is gone
    /// Whether `strict` rules would have read the same input.
    bool is_canonical() const noexcept { return is_canonical_; }

private:
    std::byte const* input_;
    std::vector<token> tokens_;
    bool is_canonical_;
};

template <>
inline value member_iterator<value>::operator*() const noexcept {
    return {at_, input_};
}
template <>
inline member_iterator<value>& member_iterator<value>::operator++() noexcept {
    at_ += at_->count;
    return *this;
}
template <>
inline entry member_iterator<entry>::operator*() const noexcept {
    return {*value{at_, input_}.text(), {at_ + 1, input_}};
}
template <>
inline member_iterator<entry>& member_iterator<entry>::operator++() noexcept {
    at_ += 1 + at_[1].count;  // a key is one token
    return *this;
}
}  // namespace shoal::bencode
