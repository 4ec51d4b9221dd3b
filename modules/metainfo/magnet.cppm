module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

export module shoal.metainfo:magnet;
import :torrent;
import shoal.core;

export namespace shoal::metainfo {
/// Bytes of a magnet link; browsers and chat programs cut long before.
inline constexpr std::size_t magnet_bytes_max = 64 * 1024;
/// Trackers, peers, web seeds and file ranges of a magnet link, each: further ones are dropped.
inline constexpr std::size_t magnet_items_max = 100;

/// Files `first` to `last`, both included.
struct index_range {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    friend bool operator==(index_range const&, index_range const&) = default;
};

/// A torrent by name: `magnet:?xt=urn:btih:...`. Source: BEP 9, "magnet URI format"; BEP 53.
struct magnet {
    std::optional<sha1_digest> info_hash_v1 = {};    ///< `xt=urn:btih:`, hex or base32.
    std::optional<sha256_digest> info_hash_v2 = {};  ///< `xt=urn:btmh:1220`.
    std::string name = {};                           ///< `dn`, sanitised; may be empty.
    std::vector<std::string> trackers = {};          ///< `tr`.
    std::vector<host_port> peers = {};               ///< `x.pe`.
    std::vector<std::string> web_seeds = {};         ///< `ws`.
    std::vector<index_range> select_only = {};       ///< `so`, as written; empty: every file.

    /// What names the swarm: the v1 info-hash where there is one, else the v2 one cut to 20 bytes.
    info_hash swarm_hash() const noexcept;
    friend bool operator==(magnet const&, magnet const&) = default;
};

/// Reads a magnet link. Unknown parameters, other `xt`, other URL schemes, and parameters with a bad escape are
/// ignored; of several info-hashes of one kind the first counts. Fails with `not_a_magnet`, `bad_info_hash` or
/// `no_info_hash`.
result<magnet> parse_magnet(std::string_view link);
/// The link, percent-encoded where needed; `parse_magnet` reads the same back.
std::string to_string(magnet const& link);
/// The link that names this torrent and its trackers.
magnet magnet_of(torrent const& of);
}  // namespace shoal::metainfo
