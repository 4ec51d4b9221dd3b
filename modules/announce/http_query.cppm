module;
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

export module shoal.announce:http_query;
import shoal.core;
import :types;

export namespace shoal::announce {
/// The bytes of `text` as they stand in a query: all but letters, digits and `-._~` as `%XX`.
std::string percent_encoded(byte_view bytes);
/// The bytes that `text` stands for. `+` is itself: in a query of BEP 3 it is no space.
/// Fails with `errc::bad_escape`.
result<std::string> percent_decoded(std::string_view text);

/// The URL to get for an announce: `announce_url` with the parameters behind its own query, and no fragment.
std::string announce_target(std::string_view announce_url, announce_request const& request);
/// The scrape URL that belongs to an announce URL; nothing where the last part of its path does not start with
/// `announce`. Source: BEP 48.
std::optional<std::string> scrape_url(std::string_view announce_url);
/// The URL to get for a scrape of `torrents`.
std::optional<std::string> scrape_target(std::string_view announce_url, std::span<info_hash const> torrents);

// A tracker that lets only its members in knows them by a passkey: a secret parameter of the announce URL, the one form
// that every client can be given, by HTTP and by UDP (BEP 41).

/// The passkey in a URL, a path with a query, or BEP 41's URL data; nothing where there is none.
std::optional<std::string> passkey_of(std::string_view url);
/// The URL as strangers and logs may see it.
std::string without_passkey(std::string_view url);
/// `url`, which has none, with the passkey of `from`, where that has one.
std::string with_passkey_of(std::string_view from, std::string url);

/// Reads the query of an announce, still percent-encoded, without its `?`.
///
/// `info_hash`, `peer_id` and `port` are needed. Of a key that is repeated the first counts; unknown keys and events
/// are passed over; negative and too large byte counts are clamped (class I7). Fails with `bad_escape`, `too_long`,
/// `bad_info_hash`, `bad_peer_id`, `bad_port`, `bad_number`.
result<announce_request> parse_http_query(std::string_view raw_query);
/// Reads the query of a scrape: each `info_hash` of it. None means all torrents, which a tracker may refuse.
/// Fails with `bad_escape`, `too_long`, `bad_info_hash`, `too_many_hashes`.
result<std::vector<info_hash>> parse_scrape_query(std::string_view raw_query);
}  // namespace shoal::announce
