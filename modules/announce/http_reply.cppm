module;
#include <string>
#include <string_view>
#include <variant>

export module shoal.announce:http_reply;
import shoal.core;
import :types;

export namespace shoal::announce {
/// Reads the body of a reply to an announce: compact peers (BEP 23), IPv6 peers (BEP 7) and peers as dictionaries, also
/// several forms at once.
///
/// The interval is clamped to `interval_min` and `interval_max`; peers with port 0, with a name instead of an address,
/// or with an address that is nobody's are dropped, those beyond `reply_peers_max` too.
/// Fails with `too_long`, `bad_reply`, `bad_peers`, or what `bencode::decode` says.
result<std::variant<announce_reply, failure>> parse_http_reply(byte_view body);
/// Reads the body of a reply to a scrape. Entries that do not name a torrent are dropped.
result<std::variant<scrape_reply, failure>> parse_http_scrape_reply(byte_view body);

/// The body for an announce. `asked` says in which form; peers of IPv6 go to `peers6` in the compact one.
std::string encode_http_reply(announce_reply const& reply, announce_request const& asked);
std::string encode_http_scrape_reply(scrape_reply const& reply);
/// The body of a refusal. It goes with status 200: some clients do not read the body of another one.
std::string encode_http_failure(failure const& why);
}  // namespace shoal::announce
