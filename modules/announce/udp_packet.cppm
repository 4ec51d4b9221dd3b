module;
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

export module shoal.announce:udp_packet;
import shoal.core;
import :types;

// All numbers are big-endian. Source: BEP 15; the options behind an announce: BEP 41.
export namespace shoal::announce {
enum class udp_action : std::uint32_t { connect = 0, announce = 1, scrape = 2, error = 3 };
/// What a connect request starts with, in place of a connection id.
inline constexpr std::uint64_t udp_protocol_id = 0x41727101980;
/// Bytes of a connect request and of its reply: an address that is not proven gets back no more than it sent.
inline constexpr std::size_t udp_connect_size = 16;
/// Bytes of an announce request without options.
inline constexpr std::size_t udp_announce_size = 98;

// Requests, as a tracker sees them.
struct udp_connect {
    std::uint32_t transaction = 0;
};
struct udp_announce {
    std::uint64_t connection = 0;
    std::uint32_t transaction = 0;
    announce_request request;
    std::string url_data;  ///< Path and query of the URL that the client was given; cut at `url_data_max`.
};
struct udp_scrape {
    std::uint64_t connection = 0;
    std::uint32_t transaction = 0;
    std::vector<info_hash> torrents;  ///< The first `scrape_hashes_max`.
    bool is_cut = false;              ///< There were more.
};
using udp_request = std::variant<udp_connect, udp_announce, udp_scrape>;

/// Reads one request. Fails with `truncated`, `unknown_action`.
result<udp_request> parse_udp_request(byte_view packet);

void encode(byte_vector& out, udp_connect const& request);
/// `url_data` is sent in as many options as it needs.
void encode(byte_vector& out, udp_announce const& request);
void encode(byte_vector& out, udp_scrape const& request);

// Replies. `encode_...` append one packet to `out`.
struct udp_connected {
    std::uint32_t transaction = 0;
    std::uint64_t connection = 0;
};
struct udp_announced {
    std::uint32_t transaction = 0;
    announce_reply reply;
};
struct udp_scraped {
    std::uint32_t transaction = 0;
    std::vector<scrape_entry> torrents;  ///< In the order of the request, without the names.
};
struct udp_error {
    std::uint32_t transaction = 0;
    std::string message;  ///< Remote text, cut at `reply_text_max`.
};
using udp_reply = std::variant<udp_connected, udp_announced, udp_scraped, udp_error>;

/// The address family of a conversation: peers in announce replies are of the same.
enum class udp_family : std::uint8_t { v4, v6 };

/// Reads one reply. Intervals are clamped and peers dropped as in `parse_http_reply`.
/// Fails with `truncated`, `unknown_action`, `bad_peers`.
result<udp_reply> parse_udp_reply(byte_view packet, udp_family family);

void encode_udp_connected(byte_vector& out, udp_connected const& reply);
/// The header of an announce reply, and of `peers` those of the family, as many as fit in `bytes_max`.
void encode_udp_announced(byte_vector& out, std::uint32_t transaction, announce_reply const& reply, udp_family family,
                          std::size_t bytes_max);
void encode_udp_scraped(byte_vector& out, std::uint32_t transaction, std::span<scrape_entry const> torrents);
void encode_udp_error(byte_vector& out, std::uint32_t transaction, std::string_view message);
}  // namespace shoal::announce
