module;
#include <system_error>

export module shoal.store:error;

namespace shoal::store {
/// Why the store refused or failed; other failures of the system come as codes of `std::system_category`.
/// Each equals `condition::local_fault`, `window_lent` and `too_many_files` equal `condition::transient`.
export enum class errc {
    in_use = 1,    ///< Another process, or another store of this one, works on this journal or this content.
    no_space,      ///< The disk or the user's quota is full. Nothing is lost; the call works again when there is space.
    foreign_file,  ///< A file that is not this torrent's stands where one is to be written. It stays untouched.
    not_a_file,    ///< A folder, device, pipe or socket where the torrent has a file.
    symbolic_link,     ///< The path leads through a symbolic link, or out of the torrent's folder.
    missing_file,      ///< The file is not there.
    truncated_file,    ///< The file ends before the bytes that were asked for.
    dead_page,         ///< A mapped page has lost its file: it was truncated, or its device is gone.
    read_only,         ///< The store was opened for reading.
    bad_block,         ///< Not a block of this piece: wrong begin or length. A caller's mistake.
    window_lent,       ///< The block's window is lent: `reclaim` it before its bytes arrive another way.
    piece_incomplete,  ///< `finish` before all blocks were written. A caller's mistake.
    no_writer,         ///< `prepare` of a piece that nobody has begun. A caller's mistake.
    already_held,      ///< The piece is verified; nothing may be written to it.
    no_hash,           ///< The torrent has no hash for this piece: a v2 torrent without its piece layer.
    too_many_files,    ///< The process or the machine is out of file descriptors or mappings.
    sync_failed,       ///< The disk did not take what was written; the pieces concerned are read again from it.
    disk_failing,      ///< `sync` failed several times in a row: the store takes no more data.
    bad_journal,       ///< The journal is damaged, or not one of this torrent.
    closed,            ///< The store has been closed.
    changed_file,      ///< A file was changed by somebody else. A finished one is not written to again.
};
export std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::store
export template <>
struct std::is_error_code_enum<shoal::store::errc> : std::true_type {};
