module;
#include <boost/outcome/std_result.hpp>
#include <system_error>

export module shoal.core:result;

export namespace shoal {
/// A value, or an error code whose `condition` says what the caller may do. See docs/architecture.md, "Failure".
template <class T>
using result = boost::outcome_v2::std_result<T>;

using boost::outcome_v2::success;

/// What a caller can do about a failure. Compare any error code with these; codes themselves are for the log.
enum class condition {
    peer_fault = 1,  ///< The other side broke the protocol or sent bad data: drop it, perhaps ban it.
    local_fault,     ///< This machine or its user is at fault (disk, permission, argument): report it.
    transient,       ///< Nobody is at fault and it may work later: try again with back-off.
};
std::error_condition make_error_condition(condition) noexcept;

/// The condition of a system error: `transient` for network weather, `local_fault` for the rest.
condition condition_of_system_error(int error_number) noexcept;
/// True when `code` means what `what` says; system errors are judged by `condition_of_system_error`.
bool is(std::error_code code, condition what) noexcept;
}  // namespace shoal
export template <>
struct std::is_error_condition_enum<shoal::condition> : std::true_type {};
