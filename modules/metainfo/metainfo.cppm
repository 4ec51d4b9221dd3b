/// Torrent files v1, v2 and hybrid, read and made; magnet links; where pieces lie in files; names fit for a disk.
module;
#include <system_error>

export module shoal.metainfo;
export import :names;     // the one name sanitiser
export import :geometry;  // pieces, blocks, file ranges
export import :torrent;   // what a .torrent file says
export import :making;    // .torrent files made
export import :magnet;    // magnet links

namespace shoal::metainfo {
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
