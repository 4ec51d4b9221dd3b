module;
#include <system_error>

export module shoal.hub:error;

export namespace shoal::hub {
/// Why the catalogue or the list of members refused or failed; failures of the system and refusals by `shoal.metainfo`
/// keep their own codes.
enum class errc {
    in_use = 1,        ///< Another tracker works on this data folder.
    newer_schema,      ///< The file is of a later version of this program. It stays untouched.
    not_a_catalogue,   ///< The file is another program's database. It stays untouched.
    damaged,           ///< The file contradicts itself; opening it again repairs it or sets it aside.
    no_space,          ///< The disk, the user's quota, or `catalogue_limits::file_bytes_max` is used up.
    read_only,         ///< The file or its folder may not be written.
    busy,              ///< Another program holds the file for the moment.
    database_failed,   ///< SQLite refused for a reason that has no code here.
    catalogue_full,    ///< `catalogue_limits::entries_max` or `bytes_max` is reached.
    too_many_owners,   ///< The content has `catalogue_limits::owners_max` owners.
    bad_owner,         ///< An owner's name that is empty, too long, or no UTF-8 text.
    missing_layers,    ///< A v2 torrent without all of its piece layers.
    pattern_too_long,  ///< A pattern of more than `pattern_bytes_max`.
    pattern_too_wide,  ///< A pattern whose wildcards take more than `matching_steps_max`.
    bad_members,       ///< The file of members is not as `member_list::parse` wants it.
    bad_member_name,   ///< A member's name that is not 1 to 64 letters, digits, or one of `-_.@`; or too many members.
    member_exists,     ///< There is a member of this name.
};
std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::hub
export template <>
struct std::is_error_code_enum<shoal::hub::errc> : std::true_type {};
