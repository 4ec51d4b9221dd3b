module;
#include <string>
#include <string_view>
#include <vector>

export module shoal.hub:policy;

export namespace shoal::hub {
/// Whether a browser that names this `Host` talks to us on purpose: an IP address, `localhost`, or one of `names`. Any
/// other name may be an attacker's that he lets point at us (DNS rebinding, class K1). Case and port do not matter.
bool is_our_host(std::string_view host, std::vector<std::string> const& names);
/// Whether a page of this `Origin` may ask: none (no page asks), or the one that we served under `host`.
bool is_our_origin(std::string_view origin, std::string_view host);
}  // namespace shoal::hub
