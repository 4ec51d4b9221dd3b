module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

export module shoal.hub:settings;
import shoal.net;
import shoal.registry;
import :gate;
import :roster;

export namespace shoal::hub {
/// Bytes of a UDP reply: within the MTU of any usual path, so that it is never in fragments.
inline constexpr std::size_t udp_reply_max = 1400;

enum class log_level : std::uint8_t { debug, info, warning };
/// Told one line at a time. Remote text in it is escaped. Must not throw.
using log_function = std::function<void(log_level, std::string_view)>;

/// How a hub behaves.
struct settings {
    std::chrono::seconds interval{30 * 60};     ///< When peers are to announce again.
    std::chrono::seconds min_interval{5 * 60};  ///< Not sooner than this.
    std::uint32_t peers_default = 50;           ///< Peers in an answer where the asker names no number.
    std::uint32_t peers_max = 200;              ///< Peers in an answer at most. Source: class I4.
    /// Requests a second of one IPv4 address or IPv6 /64; 0 for no limit. Ten seconds' worth may come at once. UDP
    /// connects, whose sender may be forged, are counted apart.
    std::uint32_t requests_per_second = 50;
    /// Whether the limit holds for loopback too: what comes from there is mostly a proxy, or a test.
    bool is_loopback_limited = false;
    registry::limits bounds{};
    net::http_server_limits http{};
    roster_limits nodes{};
    std::filesystem::path catalogue{};      ///< The file of the catalogue; empty: it is gone with the hub.
    access who = access::open;              ///< Who may use the hub without a passkey.
    std::filesystem::path members{};        ///< The file of the members; it is read again when it changes.
    std::vector<std::string> host_names{};  ///< Names of this machine by which browsers may call it; see `is_our_host`.
    std::string version{};                  ///< Of the program, for display.
    std::int64_t started_at = 0;            ///< Wall time, milliseconds since 1970; for display only.
    log_function log{};                     ///< Empty: nothing is logged.
    bool is_each_announce_logged = false;   ///< At `log_level::debug`.
};

/// How long a peer that only announces counts as there: it missed an announce, and half the time to the next.
std::chrono::seconds peer_lifetime(settings const& how);

/// Numbers for the metrics and the log.
struct counters {
    std::uint64_t http_announces = 0;
    std::uint64_t udp_announces = 0;
    std::uint64_t http_scrapes = 0;
    std::uint64_t udp_scrapes = 0;
    std::uint64_t udp_connects = 0;
    std::uint64_t malformed = 0;      ///< Requests that could not be read.
    std::uint64_t unproven = 0;       ///< UDP requests without a connection id that holds; they are not answered.
    std::uint64_t over_limit = 0;     ///< Requests beyond `requests_per_second`.
    std::uint64_t not_permitted = 0;  ///< Requests without a passkey, or with a wrong one, where one is wanted.
    registry::counters peers{};
    std::size_t memory = 0;  ///< Bytes of the registry.
};
}  // namespace shoal::hub
