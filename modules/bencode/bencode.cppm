/// Strict, bounded, zero-copy reading of bencoded bytes, and canonical writing. Source: BEP 3, "bencoding".
module;
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

export module shoal.bencode;
import shoal.core; // result, byte_view

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

/// Writes one value in canonical form. Keys may come in any order and are sorted when their dictionary ends, which
/// costs nothing when they came sorted.
///
///     auto reply = encoder{}.dictionary().entry("interval", 1800).key("peers").bytes(peers).end().take();
///
/// Asserted, as promises of the caller: one value at the top, a key before each value of a dictionary and nowhere else,
/// no key twice, an `end` for each container.
export class encoder {
public:
    encoder& integer(std::int64_t number);
    encoder& bytes(byte_view content);
    encoder& text(std::string_view content);
    /// A value that is encoded already, taken as it is. Not checked: good for info dictionaries and for hostile tests.
    encoder& encoded(byte_view whole_value);

    encoder& list();        ///< Opens a list.
    encoder& dictionary();  ///< Opens a dictionary.
    encoder& end();         ///< Closes what was opened last.

    /// A key; its value is what is written next.
    encoder& key(std::string_view name);
    /// A key and a value that is no container.
    encoder& entry(std::string_view name, std::int64_t number) { return key(name).integer(number); }
    encoder& entry(std::string_view name, std::string_view content) { return key(name).text(content); }
    encoder& entry(std::string_view name, byte_view content) { return key(name).bytes(content); }

    /// The encoded bytes. The encoder is as new.
    byte_vector take();

private:
    struct key_place {
        std::size_t begin;    // of the pair in out_
        std::size_t content;  // of the key's first byte in out_
        std::size_t length;   // of the key
    };
    struct container {
        std::size_t keys;  // in keys_, of the first key; not_dictionary for a list
        bool awaits_value;
    };
    void begin_value();
    void sort_pairs(std::size_t first_key);
    std::string_view key_at(key_place const& place) const;
    void append_string(std::string_view content);
    void append(std::string_view characters);

    byte_vector out_;
    std::vector<container> open_;
    std::vector<key_place> keys_;  // of all open dictionaries
};

/// Why `decode` refused its input. Each equals `condition::peer_fault`.
export enum class errc {
    truncated = 1,     ///< Input ends inside a value.
    unexpected_byte,   ///< No value starts with this byte, or a key has no value.
    bad_integer,       ///< Not digits between `i` and `e`, or a form that is not canonical (`i03e`, `i-0e`).
    integer_overflow,  ///< An integer outside 64 bits with sign.
    bad_length,        ///< A string's length is no number, does not fit 64 bits, or is not canonical (`03:abc`).
    key_not_string,    ///< A dictionary key of another kind.
    unsorted_keys,     ///< Dictionary keys repeated or out of raw byte order.
    too_deep,          ///< More lists and dictionaries open at once than `rules::depth_max`.
    too_many_items,    ///< More values and keys than `rules::items_max`.
    too_large,         ///< More bytes of input than `input_max`.
    trailing_bytes,    ///< Bytes left over after the value.
};
export std::error_code make_error_code(errc) noexcept;

/// Bytes of input at most: positions are kept in 32 bits, to halve the memory of a token.
export inline constexpr std::size_t input_max = std::numeric_limits<std::uint32_t>::max();

/// What `decode` accepts.
export struct rules {
    /// Canonical form only. Otherwise these pass too, and clear `document::is_canonical`: keys out of order or repeated
    /// (`find` takes the first), leading zeros, `i-0e`.
    bool strict = true;
    /// Lists and dictionaries open at once. A path of a v2 file tree opens one a folder; nothing real comes near.
    std::size_t depth_max = 100;
    /// Values and keys together; each costs 16 bytes. Room for a torrent of 250 000 files.
    std::size_t items_max = std::size_t{1} << 21;
};
/// For what other programs wrote in good faith and no hash depends on: replies of trackers, v1 torrents.
export inline constexpr rules lenient{.strict = false};
/// For messages of peers, which are small and flat. A BEP 10 handshake has some 30 items.
export inline constexpr rules lenient_message{.strict = false, .depth_max = 32, .items_max = 4096};

/// Decodes the one value that `input` spans.
///
/// The document points into `input`, which has to outlive it; no byte is copied, and no memory is taken on the word of
/// a length. Fails with any `errc`. Linear in the size of `input`; no recursion.
export result<document> decode(byte_view input, rules accepted = {});
/// The same for the value that `input` starts with; `root().encoded().size()` bytes were its own. Never fails with
/// `errc::trailing_bytes`. Source: BEP 9, where a dictionary and the data stand one after the other.
export result<document> decode_prefix(byte_view input, rules accepted = {});
}  // namespace shoal::bencode

export template <>
struct std::is_error_code_enum<shoal::bencode::errc> : std::true_type {};
