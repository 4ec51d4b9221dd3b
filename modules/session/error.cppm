module;
#include <system_error>

export module shoal.session:error;

namespace shoal::session {
/// Why a message was refused. All equal `condition::peer_fault`.
export enum class errc {
    malformed = 1,        ///< Not bencoded, not a dictionary, a field that is missing or of another kind.
    unknown_kind,         ///< A kind of message that this version does not know: pass over it.
    out_of_range,         ///< A number, a length or a bitfield outside what it may be.
    too_large,            ///< More of something than its limit.
    unsupported_version,  ///< The other side speaks another version only.
};
export std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::session

export template <>
struct std::is_error_code_enum<shoal::session::errc> : std::true_type {};
