/// Torrent files v1, v2 and hybrid, read and made; magnet links; where pieces lie in files; names fit for a disk.
module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

export module shoal.metainfo;
import shoal.core;

export namespace shoal::metainfo {
/// Bytes in one name: what ext4, XFS, NTFS and APFS take.
inline constexpr std::size_t name_bytes_max = 255;
/// Bytes in a path below the torrent's root, separators counted: leaves half of Linux's PATH_MAX to the download
/// folder.
inline constexpr std::size_t path_bytes_max = 2048;
/// Names in a path; bounds the memory that a path of one-letter names takes.
inline constexpr std::size_t path_depth_max = 100;
/// What an incomplete file has appended to its name.
inline constexpr std::string_view part_suffix = ".part";

/// A stranger's name as one that every common file system takes and that stays in its folder.
///
/// Separators, `: * ? " < > |`, control characters and invalid UTF-8 become `_`; invisible and bidi characters,
/// trailing dots and spaces go; a device name of Windows (`CON`, `com1.txt`) gets a `_` in front; a name longer than
/// `name_bytes_max` is cut on a UTF-8 boundary and keeps its extension; `.`, `..` and what ends up empty are `_`.
/// Idempotent. Use it for every source: torrent file, metadata from a peer, magnet link, rename.
std::string sanitise_name(std::string_view name);

/// Every element by `sanitise_name`. Where the whole is longer or deeper than the limits, the file name and as many
/// leading folders as fit stay. No elements: `_`. Idempotent.
std::vector<std::string> sanitise_path(std::vector<std::string_view> const& elements);

/// The name of a file while it is incomplete: with `part_suffix`, cut where it would exceed `name_bytes_max`.
std::string part_name(std::string_view name);

/// Capital letters as small ones, by simple folding of Latin, Greek, Cyrillic, Armenian and full-width letters: names
/// that fold alike are one name to a person, and to a file system that does not know case. Invalid UTF-8 stays as it
/// is.
std::string folded_name(std::string_view name);

/// Keeps the files of one torrent from sharing a place on disk, and from being a folder of another.
///
/// Names with one `folded_name` count as equal, and so do `x.part` and the incomplete form of `x`.
class unique_paths {
public:
    /// `seed` should depend on the torrent, so that nobody can choose names that hash alike; it changes no answer.
    explicit unique_paths(std::uint64_t seed);
    ~unique_paths();
    unique_paths& operator=(unique_paths&&) noexcept;

    /// Takes the place `path` (sanitised, not empty), renaming elements to `name (1).ext`, `name (2).ext`... where it
    /// is taken. The answer depends on the earlier claims alone. Constant time per element, amortised.
    void claim(std::vector<std::string>& path);

private:
    struct places;
    std::unique_ptr<places> places_;
};
}  // namespace shoal::metainfo

namespace shoal::metainfo {
/// `sanitise_path` for one path after another, where folders that a path shares with the one before cost nothing: each
/// folder of a tree is read once, however many files are in it.
class path_sanitiser {
public:
    /// `elements` have to stay in place until the next call has returned.
    std::vector<std::string> operator()(std::vector<std::string_view> const& elements);

private:
    struct folder {
        std::string_view raw;
        std::string clean;
    };
    std::vector<folder> folders_;  // of the last path, as far as they were read
};

/// The longest start of `text` with at most `bytes_max` bytes that does not end inside a character.
std::string_view cut(std::string_view text, std::size_t bytes_max) noexcept;
/// Where the extension starts, its dot included; the size of `name` when there is none or it is over 32 bytes long.
std::size_t extension_at(std::string_view name) noexcept;
}  // namespace shoal::metainfo

export namespace shoal::metainfo {
/// How the bytes of a torrent divide into pieces and blocks. Knows sizes only.
///
/// The bytes are numbered through all files in torrent order, pad files included ("linear space").
class geometry {
public:
    geometry() = default;  ///< No pieces.
    /// `piece_length` above 0; at most 2^32 - 1 pieces.
    geometry(std::uint64_t total_size, std::uint32_t piece_length) noexcept;

    std::uint32_t piece_length() const noexcept { return piece_length_; }  ///< Bytes in every piece but the last.
    std::uint32_t piece_count() const noexcept { return piece_count_; }
    std::uint64_t total_size() const noexcept { return total_size_; }  ///< Bytes, pad files included.

    std::uint32_t piece_size(piece_index piece) const noexcept;   ///< Bytes in this piece.
    std::uint32_t block_count(piece_index piece) const noexcept;  ///< 16 KiB blocks, the last one perhaps shorter.
    std::uint64_t offset_of(piece_index piece) const noexcept;    ///< Of its first byte, in the linear space.
    std::uint64_t offset_of(block_ref block) const noexcept;

    /// A number from a message, when it is one of a piece.
    std::optional<piece_index> piece(std::uint64_t number) const noexcept;
    /// The numbers of a request, when they name at least one byte and stay inside the piece.
    std::optional<block_ref> block(std::uint32_t piece, std::uint32_t begin, std::uint32_t length) const noexcept;
    /// The `n`-th 16 KiB block; `n` below `block_count(piece)`.
    block_ref block_at(piece_index piece, std::uint32_t n) const noexcept;

    friend bool operator==(geometry const&, geometry const&) = default;

private:
    std::uint64_t total_size_ = 0;
    std::uint32_t piece_length_ = 0;
    std::uint32_t piece_count_ = 0;
};

/// One file of a torrent.
struct file {
    std::vector<std::string> path =
        {};                    ///< Sanitised elements below the torrent's root folder; of a single file, its name.
    std::uint64_t size = 0;    ///< Bytes.
    std::uint64_t offset = 0;  ///< Of its first byte, in the linear space.
    bool pad = false;          ///< Zeros that align the next file; never on disk. Source: BEP 47.
    bool executable = false;
    bool symlink = false;                           ///< Has size 0 and is never created. Source: BEP 47.
    std::optional<sha256_digest> pieces_root = {};  ///< v2 and hybrid, files that are not empty. Source: BEP 52.

    std::string joined() const;  ///< The path with `/` between its elements.
};

/// Bytes of one file.
struct file_range {
    std::uint32_t file = 0;    ///< Index into `layout::files()`.
    std::uint64_t offset = 0;  ///< In the file, bytes.
    std::uint64_t length = 0;  ///< Bytes, at least 1.
    friend bool operator==(file_range const&, file_range const&) = default;
};

/// Pieces from `first` on.
struct piece_span {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    friend bool operator==(piece_span const&, piece_span const&) = default;
};

/// Where the pieces lie in the files.
class layout {
public:
    layout() = default;
    /// Sets the files' offsets; their order is the torrent's, their sizes add up to less than 2^63.
    layout(std::uint32_t piece_length, std::vector<file> files);

    metainfo::geometry const& geometry() const noexcept { return geometry_; }
    /// In torrent order, pad files included; v2 torrents get the pad files that a hybrid would name.
    std::vector<file> const& files() const noexcept { return files_; }

    /// Calls `visit(file_range)` for each file that holds some of these bytes, pad files included and empty ones left
    /// out, in order. The bytes have to lie in the linear space. Finds the first file by binary search.
    template <class Visit>
    void for_each_range(std::uint64_t offset, std::uint64_t length, Visit&& visit) const {
        for (auto at = file_at(offset); length > 0; ++at) {
            auto const& here = files_[at];
            auto const inside = offset - here.offset;
            auto const taken = std::min(length, here.size - inside);
            if (taken == 0) continue;
            visit(file_range{at, inside, taken});
            offset += taken;
            length -= taken;
        }
    }
    std::vector<file_range> ranges(std::uint64_t offset, std::uint64_t length) const;
    std::vector<file_range> ranges(block_ref block) const { return ranges(geometry_.offset_of(block), block.length); }

    /// The pieces that hold bytes of file `index`; none for an empty file.
    piece_span pieces_of(std::uint32_t index) const noexcept;
    /// The file that holds this byte of the linear space.
    std::uint32_t file_at(std::uint64_t offset) const noexcept;
    /// Bytes of all files, pad files left out.
    std::uint64_t content_size() const noexcept;
    /// Bytes at the end of each piece that are of a pad file, and less than the piece; empty where no piece ends so.
    std::vector<std::uint32_t> padding() const;

private:
    metainfo::geometry geometry_;
    std::vector<file> files_;
};
}  // namespace shoal::metainfo

namespace shoal::metainfo {
class torrent_reader;  // reads one info dictionary, parse.cpp

/// A host by name or address, and a port.
export struct host_port {
    std::string host;
    std::uint16_t port = 0;
    friend bool operator==(host_port const&, host_port const&) = default;
};
/// `HOST:PORT`, `IP:PORT` or `[IPv6]:PORT`, the port not 0; nothing for anything else.
export std::optional<host_port> parse_host_port(std::string_view text);

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

export namespace shoal::metainfo {
/// A file to be shared.
struct source_file {
    std::vector<std::string> path = {};  ///< Elements below the root folder; unused for a single file.
    std::uint64_t size = 0;              ///< Bytes.
    bool executable = false;
};

/// What to make a torrent of. Names are written as they are: valid UTF-8, no separator, `.`, `..` or NUL.
struct source {
    std::string name = {};  ///< Of the root folder, or of the single file.
    bool single_file = false;
    std::vector<source_file> files = {};  ///< In any order; one if `single_file`.
    /// Reads bytes of `files[file]` from `offset` on; fewer than asked for only where the file ends. Called from
    /// several threads at once. Its errors end the making.
    std::function<result<std::size_t>(std::size_t file, std::uint64_t offset, mutable_byte_view into)> read = {};
};

enum class format { v1, v2, hybrid };

/// Hashes from an earlier making, so that unchanged files are not read again. Used where the piece length and the
/// format are the same, and every file starts on a piece boundary (hybrid and v2).
struct known_hashes {
    std::shared_ptr<torrent const> from;
    /// For each of `source::files`: its index in the files of `from`, if it has the same bytes as then.
    std::vector<std::optional<std::uint32_t>> files;
};

/// Automatic piece lengths start here and double until there are fewer pieces than `automatic_pieces_max`.
inline constexpr std::uint32_t piece_length_default = 512 * 1024;
inline constexpr std::uint32_t automatic_pieces_max = 1U << 16;

struct make_options {
    metainfo::format format = format::hybrid;
    std::uint32_t piece_length = 0;  ///< Bytes, a power of two, at least 16 KiB; 0: automatic.
    bool is_private = false;
    std::vector<std::vector<std::string>> trackers = {};  ///< Tiers.
    std::vector<std::string> web_seeds = {};
    std::string comment = {};
    std::string created_by = {};
    std::optional<std::int64_t> creation_date = {};  ///< Seconds since 1970.
    known_hashes known = {};
    std::size_t threads = 0;  ///< 0: as many as the machine has cores.
    /// Bytes hashed so far, and of how many. Called from the hashing threads, one at a time.
    std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
    std::stop_token stop = {};
};

/// The piece length that `make_torrent` chooses for files of these sizes. Pad files count as they do there.
std::uint32_t automatic_piece_length(std::vector<source_file> const& files, format made) noexcept;

/// Makes a .torrent file: the same bytes for the same source and options, whatever the number of threads.
///
/// Files are sorted by the raw bytes of their path. A hybrid has pad files, so that every file starts on a piece
/// boundary. Fails with `bad_source` or `bad_options`, with `source_changed` where a file is shorter or longer
/// than described, with `stopped`, and with the errors of `read`. Source: BEP 3, 47, 52.
result<byte_vector> make_torrent(source const& of, make_options const& options);

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
/// The torrent that `link` names, from its info dictionary as peers sent it. Trackers, each a tier of its own, and web
/// seeds are those of the link. Fails with `other_torrent` when `info` has another info-hash, with
/// `hybrid_mismatch` when only its v2 one is another, and as `parse_torrent`.
/// Source: BEP 9.
result<torrent> torrent_of(magnet const& link, byte_view info, limits const& within = {});
}  // namespace shoal::metainfo

// Internal: the content of a torrent that is made, read and hashed on several threads.

namespace shoal::metainfo {
/// What the content hashes to.
struct content_hashes {
    byte_vector pieces;                // v1 and hybrid: SHA-1 of each piece
    std::vector<sha256_digest> roots;  // v2 and hybrid: merkle root of each piece, as `torrent::piece_root`
};

/// `sources` has, for each file of `content`, its index in `of.files`. Files of v2 and hybrid start on a piece
/// boundary. Fails as `make_torrent`; rethrows here what the callbacks throw.
result<content_hashes> hash_content(source const& of, layout const& content, std::vector<std::size_t> const& sources,
                                    make_options const& options);

/// `pieces root` of a file that is not empty.
sha256_digest file_root(layout const& content, std::uint32_t file, std::vector<sha256_digest> const& roots);

/// Why a torrent, a magnet link or a source was refused. Those of making equal `condition::local_fault`, `stopped`
/// equals `condition::transient`, all others equal `condition::peer_fault`.
export enum class errc {
    input_too_large = 1,  ///< More bytes than `limits::input_bytes_max` or `magnet_bytes_max`.
    not_a_torrent,        ///< No bencoded dictionary with a dictionary `info`.
    wrong_type,           ///< A key has a value of another type than its BEP says.
    missing_key,          ///< A key that is required is not there: `name`, `piece length`, `pieces`, `length`...
    repeated_key,         ///< A key twice in one dictionary: readers could differ in which counts.
    unsupported_version,  ///< `meta version` is not 2.
    bad_piece_length,     ///< Zero, too large, or in v2 no power of two of at least 16 KiB.
    bad_piece_count,      ///< `pieces` is not 20 bytes for each piece of the content.
    too_many_pieces,      ///< More than `limits::pieces_max`.
    bad_file_size,        ///< Negative, more than the pieces can hold, or a pad file of a whole piece or more.
    bad_file,             ///< A file entry that contradicts itself: a file that is a folder, a symlink with content.
    no_content,           ///< No file, or not one byte in all files.
    paths_too_large,      ///< The paths would take more memory than the torrent's size warrants.
    bad_pieces_root,      ///< `pieces root` missing, zero or of wrong length.
    bad_piece_layer,      ///< A piece layer of no file, of wrong length, or that does not hash to its root.
    hybrid_mismatch,      ///< The v1 and v2 halves differ in files, sizes or alignment.
    not_a_magnet,         ///< No `magnet:?`.
    bad_info_hash,        ///< An info-hash that is neither hexadecimal nor base32, or has the wrong length.
    other_torrent,        ///< An info dictionary that is not the one that the magnet link names.
    no_info_hash,         ///< A magnet link without a BitTorrent info-hash.
    bad_source,           ///< A name that cannot be shared, two files of one name, no file, or nothing in them.
    bad_options,          ///< A piece length that is no power of two, below 16 KiB, or gives more pieces than `limits`.
    source_changed,       ///< A file became shorter or longer while it was hashed.
    stopped,              ///< The making was told to stop.
};
export std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::metainfo
export template <>
struct std::is_error_code_enum<shoal::metainfo::errc> : std::true_type {};
