module;
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

export module shoal.core:endpoint;
import :bytes;

export namespace shoal {
/// An IPv4 or IPv6 address. A v4-mapped IPv6 address is the IPv4 address: the two never differ.
class ip_address {
public:
    constexpr ip_address() = default;  ///< 0.0.0.0
    static ip_address v4(std::array<std::uint8_t, 4> octets) noexcept;
    static ip_address v6(std::array<std::uint8_t, 16> const& octets) noexcept;
    /// 4 or 16 bytes in network order; nothing otherwise.
    static std::optional<ip_address> from(byte_view bytes) noexcept;
    /// `127.0.0.1`, `::1`; nothing for anything else, zone ids and brackets included.
    static std::optional<ip_address> parse(std::string_view text);

    bool is_v4() const noexcept;
    bool is_unspecified() const noexcept;
    bool is_loopback() const noexcept;
    /// Loopback, link-local, private (RFC 1918, RFC 4193) or unspecified.
    bool is_local() const noexcept;
    bool is_multicast() const noexcept;
    /// Whom a limit per address means: this address, or the /64 of an IPv6 one, which is the least that a customer has.
    ip_address customer() const noexcept;
    /// The 4 or 16 bytes in network order; they live as long as this object.
    byte_view bytes() const noexcept;
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
