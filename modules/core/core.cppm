/// What three or more rooms need: results, bytes, numbers with a meaning, addresses, bit sets, escaped text.
module;
#include <algorithm>
#include <array>
#include <bit>
#include <boost/outcome/std_result.hpp>
#include <chrono>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

export module shoal.core;

export namespace shoal {
/// A value, or an error code whose `condition` says what the caller may do. See docs/architecture.md, "Failure".
template <class T>
using result = boost::outcome_v2::std_result<T>;

using boost::outcome_v2::success;

/// What a caller can do about a failure. Compare any error code with these; codes themselves are for the log.
enum class condition {
    peer_fault = 1,  ///< The other side broke the protocol or sent bad data: drop it, perhaps ban it.
    local_fault,     ///< This machine or its user is at fault (disk, permission, argument): report it.
    transient,       ///< Nobody is at fault and it may work later: try again with back-off.
};
std::error_condition make_error_condition(condition) noexcept;

/// The condition of a system error: `transient` for network weather, `local_fault` for the rest.
condition condition_of_system_error(int error_number) noexcept;
/// True when `code` means what `what` says; system errors are judged by `condition_of_system_error`.
bool is(std::error_code code, condition what) noexcept;
}  // namespace shoal
export template <>
struct std::is_error_condition_enum<shoal::condition> : std::true_type {};

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

export namespace shoal {
/// Monotonic time. Cores get it as an argument; only `net::clock` reads it from the system.
using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

/// Which piece of a torrent, from 0. Comes from the geometry or from a checked message, so it is in range.
enum class piece_index : std::uint32_t {};
constexpr std::uint32_t to_number(piece_index index) noexcept {
    return static_cast<std::uint32_t>(index);
}

/// The unit of request: 16 KiB, shorter only at the end of a torrent. Source: BEP 3, "peer messages".
inline constexpr std::uint32_t block_length = 16 * 1024;

/// A range of bytes inside one piece.
struct block_ref {
    piece_index piece{};
    std::uint32_t begin = 0;   ///< Offset in the piece, bytes.
    std::uint32_t length = 0;  ///< Bytes.
    friend constexpr auto operator<=>(block_ref const&, block_ref const&) = default;
};

/// Bytes that name something: a digest, an info-hash, a peer id. `Tag` keeps the kinds apart.
template <std::size_t Size, class Tag>
struct identifier {
    std::array<std::byte, Size> bytes{};

    static constexpr std::size_t size() noexcept { return Size; }
    /// Nothing unless `from` has exactly `Size` bytes.
    static constexpr std::optional<identifier> from(byte_view from) noexcept {
        if (from.size() != Size) return std::nullopt;
        identifier result;
        std::copy(from.begin(), from.end(), result.bytes.begin());
        return result;
    }
    constexpr byte_view view() const noexcept { return bytes; }
    constexpr bool is_zero() const noexcept {
        return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
    }
    friend constexpr auto operator<=>(identifier const&, identifier const&) = default;
};

/// SHA-1 and SHA-256 digests.
using sha1_digest = identifier<20, struct sha1_digest_tag>;
using sha256_digest = identifier<32, struct sha256_digest_tag>;
/// What names a torrent on the wire and at trackers: the v1 info-hash, or the v2 one cut to 20 bytes (BEP 52).
using info_hash = identifier<20, struct info_hash_tag>;
/// What a peer calls itself. Source: BEP 3, "peer_id"; BEP 20.
using peer_id = identifier<20, struct peer_id_tag>;
}  // namespace shoal

/// Good for keys that this program chose. Tables keyed by a stranger's bytes need a keyed hash.
export template <std::size_t Size, class Tag>
struct std::hash<shoal::identifier<Size, Tag>> {
    std::size_t operator()(shoal::identifier<Size, Tag> const& id) const noexcept {
        std::size_t value = 0;
        std::memcpy(&value, id.bytes.data(), std::min(sizeof value, Size));
        return value;
    }
};
export template <>
struct std::hash<shoal::piece_index> {
    std::size_t operator()(shoal::piece_index index) const noexcept { return shoal::to_number(index); }
};

export namespace shoal {
/// One bit for each piece of a torrent. Wire order: bit 7 of byte 0 is piece 0 (BEP 3, "bitfield").
class bitfield {
public:
    bitfield() = default;
    explicit bitfield(std::uint32_t size, bool value = false);

    /// The payload of a bitfield message for `size` pieces; nothing when its length is wrong or a spare bit is set.
    static std::optional<bitfield> parse(byte_view payload, std::uint32_t size);
    /// The payload of a bitfield message.
    byte_vector wire_bytes() const;

    std::uint32_t size() const noexcept { return size_; }
    /// How many bits are set. Constant time.
    std::uint32_t count() const noexcept { return count_; }
    bool all() const noexcept { return count_ == size_; }
    bool none() const noexcept { return count_ == 0; }

    /// `index` must be below `size()`.
    bool test(piece_index index) const noexcept;
    /// Sets or clears one bit; true when it changed.
    bool set(piece_index index, bool value = true) noexcept;
    void fill(bool value) noexcept;

    /// The first set bit at or after `from`; nothing when there is none.
    std::optional<piece_index> next_set(std::uint32_t from) const noexcept;
    /// Whether some bit is set here and clear in `other`, which has the same size.
    bool has_beyond(bitfield const& other) const noexcept;

    friend bool operator==(bitfield const&, bitfield const&) = default;

private:
    std::uint32_t size_ = 0;
    std::uint32_t count_ = 0;
    std::vector<std::uint64_t> words_;  // piece i is bit 63 - i % 64 of word i / 64; spare bits are 0
};
}  // namespace shoal

export namespace shoal {
/// An IPv4 or IPv6 address. A v4-mapped IPv6 address is the IPv4 address: the two never differ.
class ip_address {
public:
    constexpr ip_address() = default;  ///< 0.0.0.0
    static constexpr ip_address v4(std::array<std::uint8_t, 4> octets) noexcept {
        ip_address made;
        std::copy(octets.begin(), octets.end(), made.octets_.begin() + 12);
        return made;
    }
    static ip_address v6(std::array<std::uint8_t, 16> const& octets) noexcept;
    /// 4 or 16 bytes in network order; nothing otherwise.
    static std::optional<ip_address> from(byte_view bytes) noexcept;
    /// `127.0.0.1`, `::1`; nothing for anything else, zone ids and brackets included.
    static std::optional<ip_address> parse(std::string_view text);

    constexpr bool is_v4() const noexcept {
        // As words: the call that compares twelve bytes takes longer than all else of this.
        constexpr auto any_v4 = std::bit_cast<std::array<std::uint32_t, 4>>(ip_address{}.octets_);
        auto const words = std::bit_cast<std::array<std::uint32_t, 4>>(octets_);
        return words[0] == any_v4[0] && words[1] == any_v4[1] && words[2] == any_v4[2];
    }
    bool is_unspecified() const noexcept;
    bool is_loopback() const noexcept;
    /// Loopback, link-local, private (RFC 1918, RFC 4193) or unspecified.
    bool is_local() const noexcept;
    bool is_multicast() const noexcept;
    /// Whom a limit per address means: this address, or the /64 of an IPv6 one, which is the least that a customer has.
    ip_address customer() const noexcept;
    /// The /48 of an IPv6 address, which is the most that a customer is given as a rule; else the address.
    ip_address site() const noexcept;
    /// The 4 or 16 bytes in network order; they live as long as this object.
    inline byte_view bytes() const noexcept {  // in a module this does not go without saying
        auto const all = std::as_bytes(std::span{octets_});
        return is_v4() ? all.subspan(12) : all;
    }
    std::string to_string() const;
    friend constexpr auto operator<=>(ip_address const&, ip_address const&) = default;

private:
    // ::ffff:a.b.c.d for IPv4, so that comparison is one memcmp
    std::array<std::uint8_t, 16> octets_{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
};

/// Bytes that tell the `ip_address::customer` of an address of 4 or 16 bytes.
constexpr std::size_t customer_length(std::size_t address_length) noexcept {
    return address_length == 4 ? 4 : 8;
}

/// Customers' shares that the 65,536 customers of an IPv6 site have together, where something is shared out by
/// customer.
inline constexpr std::size_t customers_of_site_max = 4;

/// How many each customer has of something that there is little of, and each site.
class crowd {
public:
    /// Whether `who` may have one more, where a customer may have `of_customer_max`.
    bool has_room_for(ip_address const& who, std::size_t of_customer_max) const;
    void add(ip_address const& who);
    void remove(ip_address const& who);  ///< After `add`.

private:
    std::map<ip_address, std::size_t> of_customer_,
        of_site_;  // the latter of IPv6 alone; neither has more entries than there are things
};

/// An address and a TCP or UDP port.
struct endpoint {
    ip_address address;
    std::uint16_t port = 0;

    /// `IP:PORT` or `[IPv6]:PORT`; nothing for anything else.
    static std::optional<endpoint> parse(std::string_view text);
    std::string to_string() const;
    friend constexpr auto operator<=>(endpoint const&, endpoint const&) = default;
};
}  // namespace shoal

export template <>
struct std::hash<shoal::ip_address> {
    std::size_t operator()(shoal::ip_address const& address) const noexcept {
        return std::hash<std::string_view>{}(shoal::as_text(address.bytes()));
    }
};
export template <>
struct std::hash<shoal::endpoint> {
    std::size_t operator()(shoal::endpoint const& at) const noexcept {
        return std::hash<shoal::ip_address>{}(at.address) * 31 + at.port;
    }
};

export namespace shoal {
/// Lower-case hexadecimal digits, two a byte.
std::string to_hex(byte_view bytes);
/// The bytes that `digits` name; nothing for an odd count or another character.
std::optional<byte_vector> from_hex(std::string_view digits);

/// `text` of a stranger, fit for a terminal and a log line: control characters (C0, DEL, C1), invalid UTF-8, and
/// characters that are invisible or change the direction of text appear as `\xNN` or `\u{N}`, a backslash as `\\`.
std::string escaped(std::string_view text);

/// Whether they are the same but for the case of ASCII letters, as in schemes, host names and field names.
bool equal_without_case(std::string_view a, std::string_view b) noexcept;

/// One code point taken off the front of `text`; nothing when it does not start with valid UTF-8 (overlong forms,
/// surrogates and numbers past U+10FFFF are not valid). `text` then stays as it is.
std::optional<char32_t> take_code_point(std::string_view& text) noexcept;
/// The UTF-8 form of a code point, appended.
void append_utf8(std::string& out, char32_t code_point);
bool is_valid_utf8(std::string_view text) noexcept;
/// Code points that show nothing or reorder what stands around them: zero-width, bidi controls, tags, BOM.
bool is_invisible(char32_t code_point) noexcept;
}  // namespace shoal

export namespace shoal {
/// So many of something each second on average, and some at once after a pause. Neither is 0.
struct pace {
    std::uint32_t burst = 1;       ///< So many at once.
    std::uint32_t per_second = 1;  ///< So many more each second.
};

/// What of a `pace` is left: a bucket that refills. Begins full.
class budget {
public:
    constexpr explicit budget(pace kept) noexcept : pace_(kept) {}

    /// Takes `count` off; false, and nothing taken, when fewer are left.
    bool take(time_point now, std::uint64_t count = 1) noexcept;
    bool has(time_point now, std::uint64_t count = 1) const noexcept { return full_after(now, count) <= now + whole(); }
    /// Whether all of it is there.
    bool is_full(time_point now) const noexcept { return full_at_ <= now; }

private:
    duration time_of(std::uint64_t count) const noexcept;
    duration whole() const noexcept { return time_of(pace_.burst); }
    time_point full_after(time_point now, std::uint64_t count) const noexcept {
        return std::max(full_at_, now) + time_of(count);
    }

    pace pace_;
    time_point full_at_ = time_point::min();
};
}  // namespace shoal

export namespace shoal {
/// A secret for `siphash`, from a random device.
using siphash_key = std::array<std::uint64_t, 2>;

/// SipHash-2-4: a keyed hash that somebody without the key cannot aim, for tables whose keys strangers choose and for
/// short proofs. About 1 ns a byte. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
std::uint64_t siphash(siphash_key const& key, byte_view bytes) noexcept;
}  // namespace shoal
