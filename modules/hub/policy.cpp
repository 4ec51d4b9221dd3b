module;
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

module shoal.hub;
import shoal.core;
import :monitor;

namespace shoal::hub {
namespace {
/// Without the port; empty when there is anything odd.
std::string_view name_in(std::string_view host) {
    auto const is_port = [](std::string_view text) {
        return !text.empty() && text.size() <= 5 &&
               std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    };
    if (host.starts_with('[')) {
        auto const end = host.find(']');
        if (end == host.npos) return {};
        auto const rest = host.substr(end + 1);
        if (!rest.empty() && (rest.front() != ':' || !is_port(rest.substr(1)))) return {};
        return host.substr(1, end - 1);
    }
    auto const colon = host.find(':');
    if (colon == host.npos) return host;
    return is_port(host.substr(colon + 1)) ? host.substr(0, colon) : std::string_view{};
}
}  // namespace

bool is_our_host(std::string_view host, std::vector<std::string> const& names) {
    auto const name = name_in(host);
    if (name.empty()) return false;
    if (ip_address::parse(name)) return true;
    if (equal_without_case(name, "localhost")) return true;
    return std::ranges::any_of(names, [name](auto const& each) { return equal_without_case(name, each); });
}

bool is_our_origin(std::string_view origin, std::string_view host) {
    if (origin.empty()) return true;
    for (auto const scheme : {std::string_view{"http://"}, std::string_view{"https://"}})
        if (origin.starts_with(scheme) && equal_without_case(origin.substr(scheme.size()), host)) return true;
    return false;
}
}  // namespace shoal::hub
