module;
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

module shoal.core;

namespace shoal {
ip_address ip_address::v6(std::array<std::uint8_t, 16> const& octets) noexcept {
    ip_address result;
    result.octets_ = octets;
    return result;
}

std::optional<ip_address> ip_address::from(byte_view bytes) noexcept {
    ip_address result;
    if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
    auto const offset = static_cast<std::ptrdiff_t>(16 - bytes.size());
    std::transform(bytes.begin(), bytes.end(), result.octets_.begin() + offset,
                   [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return result;
}

std::optional<ip_address> ip_address::parse(std::string_view text) {
    std::array<std::uint8_t, 16> octets{};
    std::string const terminated{text};
    if (terminated.find('\0') != std::string::npos) return std::nullopt;
    if (inet_pton(AF_INET, terminated.c_str(), octets.data()) == 1)
        return v4({octets[0], octets[1], octets[2], octets[3]});
    if (inet_pton(AF_INET6, terminated.c_str(), octets.data()) == 1) return v6(octets);
    return std::nullopt;
}

bool ip_address::is_unspecified() const noexcept {
    return std::ranges::all_of(bytes(), [](std::byte b) { return b == std::byte{0}; });
}

bool ip_address::is_loopback() const noexcept {
    if (is_v4()) return octets_[12] == 127;
    return octets_[15] == 1 && std::all_of(octets_.begin(), octets_.end() - 1, [](auto o) { return o == 0; });
}

bool ip_address::is_local() const noexcept {
    if (is_loopback() || is_unspecified()) return true;
    if (!is_v4()) return (octets_[0] & 0xfe) == 0xfc || (octets_[0] == 0xfe && (octets_[1] & 0xc0) == 0x80);
    auto const a = octets_[12], b = octets_[13];
    return a == 0 || a == 10 || (a == 172 && (b & 0xf0) == 16) || (a == 192 && b == 168) || (a == 169 && b == 254);
}

bool ip_address::is_multicast() const noexcept {
    return is_v4() ? (octets_[12] & 0xf0) == 0xe0 : octets_[0] == 0xff;
}

ip_address ip_address::customer() const noexcept {
    auto result = *this;
    if (!is_v4()) std::fill(result.octets_.begin() + customer_length(octets_.size()), result.octets_.end(), 0);
    return result;
}

ip_address ip_address::site() const noexcept {
    auto result = *this;
    if (!is_v4()) std::fill(result.octets_.begin() + 6, result.octets_.end(), 0);
    return result;
}

bool crowd::has_room_for(ip_address const& who, std::size_t of_customer_max) const {
    auto const count = [](auto const& in, ip_address const& whose) {
        auto const found = in.find(whose);
        return found == in.end() ? 0 : found->second;
    };
    return count(of_customer_, who.customer()) < of_customer_max &&
           count(of_site_, who.site()) < customers_of_site_max * of_customer_max;
}

void crowd::add(ip_address const& who) {
    auto& of_customer = of_customer_[who.customer()];
    if (!who.is_v4()) ++of_site_[who.site()];
    ++of_customer;
}

void crowd::remove(ip_address const& who) {
    auto const less = [](auto& in, ip_address const& whose) {
        if (auto const found = in.find(whose); found != in.end() && --found->second == 0) in.erase(found);
    };
    less(of_customer_, who.customer());
    less(of_site_, who.site());
}

std::string ip_address::to_string() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    auto const* source = reinterpret_cast<void const*>(bytes().data());
    inet_ntop(is_v4() ? AF_INET : AF_INET6, source, text.data(), text.size());
    return text.data();
}

std::optional<endpoint> endpoint::parse(std::string_view text) {
    auto const colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    auto const digits = text.substr(colon + 1);
    bool const bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    endpoint result;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), result.port);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    auto const address = ip_address::parse(host);
    if (!address || bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
    result.address = *address;
    return result;
}

std::string endpoint::to_string() const {
    auto const host = address.to_string();
    return (address.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}
}  // namespace shoal
