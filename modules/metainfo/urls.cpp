module;
#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string_view>

module shoal.metainfo;
import shoal.core;

namespace shoal::metainfo {
namespace {
/// Longer URLs are no use: servers refuse them at 8 KiB with the query that an announce adds.
constexpr std::size_t url_bytes_max = 4096;

bool is_url(std::string_view url, std::initializer_list<std::string_view> schemes) noexcept {
    auto const colon = url.find("://");
    if (url.size() > url_bytes_max || colon == std::string_view::npos) return false;
    auto const scheme = url.substr(0, colon);
    if (std::none_of(schemes.begin(), schemes.end(),
                     [&](std::string_view known) { return equal_without_case(known, scheme); }))
        return false;
    auto const rest = url.substr(colon + 3);
    auto const authority = rest.substr(0, rest.find_first_of("/?#"));
    auto const host = authority.substr(authority.rfind('@') + 1);  // npos + 1 is 0
    return !host.empty() && host.front() != ':' && std::all_of(url.begin(), url.end(), [](char c) {
        return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
    });
}
}  // namespace

bool is_tracker_url(std::string_view url) noexcept {
    return is_url(url, {"http", "https", "udp", "ws", "wss"});
}
bool is_web_seed_url(std::string_view url) noexcept {
    return is_url(url, {"http", "https"});
}

bool is_host(std::string_view text) noexcept {
    constexpr std::size_t host_bytes_max = 253;  // RFC 1035
    return !text.empty() && text.size() <= host_bytes_max && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
               c == '_' || c == ':';
    });
}
}  // namespace shoal::metainfo
