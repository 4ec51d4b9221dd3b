module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

export module shoal.metainfo:torrent;
import :geometry;
import shoal.core;

namespace shoal::metainfo {
class torrent_reader;  // reads one info dictionary, parse.cpp

/// A host by name or address, and a port.
export struct host_port {
    std::string host;
    std::uint16_t port = 0;
    friend bool operator==(host_port const&, host_port const&) = default;
};

/// What a torrent may ask for. The defaults hold for files and for metadata from peers alike.
export struct limits {
    /// Bytes of a torrent file: room for 2^21 pieces in v1 and v2 hashes, which are 104 MiB, and the names.
    std::size_t input_bytes_max = 128 * 1024 * 1024;
    /// Pieces: a bitfield stays below 256 KiB, and at the default 512 KiB a piece that is 1 TiB.
    std::uint32_t pieces_max = 1U << 21;
    /// Bytes a piece: the largest that clients are known to make is 256 MiB.
    std::uint32_t piece_length_max = 1U << 29;
    /// Trackers in all tiers, web seeds, DHT nodes, each: further ones are dropped.
    std::size_t urls_max = 100;
};
/// The smallest piece of a v2 torrent, one block. Source: BEP 52, "piece length".
export inline constexpr std::uint32_t v2_piece_length_min = 16 * 1024;

/// What a .torrent file says. An immutable value; share it by `shared_ptr<torrent const>`.
///
/// Texts are a stranger's bytes, names apart, which are sanitised: escape them where they are shown.
export class torrent {
public:
    /// Sanitised: of the root folder, or of the single file.
    std::string const& name() const noexcept { return name_; }
    /// The content is one file named `name()`, without a folder of its own.
    bool single_file() const noexcept { return single_file_; }

    std::optional<sha1_digest> const& info_hash_v1() const noexcept { return info_hash_v1_; }
    std::optional<sha256_digest> const& info_hash_v2() const noexcept { return info_hash_v2_; }
    bool has_v1() const noexcept { return info_hash_v1_.has_value(); }
    bool has_v2() const noexcept { return info_hash_v2_.has_value(); }
    /// What names the swarm: the v1 info-hash where there is one, else the v2 one cut to 20 bytes.
    info_hash swarm_hash() const noexcept;

    layout const& content() const noexcept { return content_; }
    geometry const& pieces() const noexcept { return content_.geometry(); }
    /// SHA-1 of a piece. Only where `has_v1()`.
    sha1_digest piece_hash(piece_index piece) const noexcept;
    /// The merkle root of a piece's own blocks: an entry of the file's piece layer, or for a file of at most one piece
    /// its `pieces_root`. Nothing where the torrent is v1 or the layer was missing (then peers have it). Source:
    /// BEP 52.
    std::optional<sha256_digest> piece_root(piece_index piece) const noexcept;
    /// Whether `piece_root` answers for every piece.
    bool has_piece_roots() const noexcept { return layers_complete_; }
    /// The piece layer of a file larger than a piece: 32 bytes a piece; empty where there is none.
    byte_view piece_layer(std::uint32_t file) const noexcept;

    /// Tiers, first to be asked first (BEP 12). http, https, udp, ws and wss only.
    std::vector<std::vector<std::string>> const& trackers() const noexcept { return trackers_; }
    /// http and https URLs. Source: BEP 19.
    std::vector<std::string> const& web_seeds() const noexcept { return web_seeds_; }
    std::string const& comment() const noexcept { return comment_; }
    std::string const& created_by() const noexcept { return created_by_; }
    std::optional<std::int64_t> creation_date() const noexcept { return creation_date_; }  ///< Seconds since 1970.
    /// `private` inside the info dictionary is a number other than 0. Source: BEP 27.
    bool is_private() const noexcept { return private_; }

    std::vector<host_port> const& nodes() const noexcept { return nodes_; }  ///< DHT nodes, BEP 5.

    /// The info dictionary, byte for byte what the info-hashes are of. Lives as long as this torrent stays in place.
    byte_view info_bytes() const noexcept { return info_; }

private:
    friend class torrent_reader;
    torrent() = default;

    struct layer {
        std::uint32_t file;  // index into files()
        std::size_t at;      // in layers_, bytes
        std::size_t size;    // bytes
    };
    byte_vector info_;
    byte_vector layers_;                // piece layers, one after the other
    std::vector<layer> layer_of_file_;  // ascending by file
    std::size_t piece_hashes_at_ = 0;   // the v1 hashes, in info_
    layout content_;
    std::string name_;
    std::optional<sha1_digest> info_hash_v1_;
    std::optional<sha256_digest> info_hash_v2_;
    std::vector<std::vector<std::string>> trackers_;
    std::vector<std::string> web_seeds_;
    std::vector<host_port> nodes_;
    std::string comment_;
    std::string created_by_;
    std::optional<std::int64_t> creation_date_;
    bool single_file_ = false;
    bool private_ = false;
    bool layers_complete_ = false;
};

/// Reads a .torrent file, v1, v2 or hybrid.
///
/// Bytes after the torrent are refused, and so is a torrent without a byte of content, a repeated key (of the torrent,
/// its info dictionary, a file or the piece layers), and a hybrid whose two halves disagree. Keys out of order are
/// taken in v1 torrents and refused in v2 and hybrid ones. Piece layers that are wrong or of no file are refused,
/// missing ones are taken. Names are sanitised and made unique. Fails with any `errc` of reading. Takes at most 32 x
/// `bytes` + 1 MiB of memory. Source: BEP 3, 12, 19, 27, 47, 52.
export result<torrent> parse_torrent(byte_view bytes, limits const& within = {});
/// The same for an info dictionary alone, as peers send it. Compare the info-hashes with the expected ones before use:
/// this function cannot. Source: BEP 9.
export result<torrent> parse_info(byte_view info, limits const& within = {});

/// Whether a tracker can have this URL: http, https, udp, ws or wss, some host, no space or control character.
export bool is_tracker_url(std::string_view url) noexcept;
/// The same for a web seed: http or https.
export bool is_web_seed_url(std::string_view url) noexcept;
/// A host name or address by its characters alone.
bool is_host(std::string_view text) noexcept;
}  // namespace shoal::metainfo
