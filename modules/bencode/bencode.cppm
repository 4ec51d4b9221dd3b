module;
#include <cstddef>
#include <cstdint>
#include <limits>
#include <system_error>

/// Strict, bounded, zero-copy reading of bencoded bytes, and canonical writing. Source: BEP 3, "bencoding".
export module shoal.bencode;
export import :value;    // document, value, entry
export import :encoder;  // encoder
import shoal.core;       // result, byte_view

namespace shoal::bencode {
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
