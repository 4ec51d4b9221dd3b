module;
#include <system_error>

export module shoal.announce:error;

namespace shoal::announce {
/// Why a query, a packet or a reply was refused. All equal `condition::peer_fault`, but `timed_out` is `transient`.
export enum class errc {
    bad_escape = 1,   ///< A `%` without two hexadecimal digits after it.
    too_long,         ///< A query or a reply beyond its limit.
    bad_info_hash,    ///< No info-hash, or one that is not 20 bytes.
    bad_peer_id,      ///< No peer id, or one that is not 20 bytes.
    bad_port,         ///< No port, or one that is no number up to 65535.
    bad_number,       ///< Something else than digits where a number belongs.
    too_many_hashes,  ///< A scrape for more torrents than `scrape_hashes_max`.
    bad_reply,        ///< A reply that is no dictionary, or says nothing.
    bad_peers,        ///< A list of peers whose length or kind is wrong.
    truncated,        ///< A packet that is too short for what it claims to be.
    unknown_action,   ///< A packet of no known kind, or a connect without the protocol's number.
    timed_out,        ///< No answer to the last of the retransmissions.
};
export std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::announce

export template <>
struct std::is_error_code_enum<shoal::announce::errc> : std::true_type {};
