module;
#include <string>
#include <system_error>

module shoal.session;
import shoal.core;

namespace shoal::session {
namespace {
class session_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.session"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::malformed:
                return "malformed session message";
            case errc::unknown_kind:
                return "session message of unknown kind";
            case errc::out_of_range:
                return "session message with a value out of range";
            case errc::too_large:
                return "session message is too large";
            case errc::unsupported_version:
                return "the other side speaks another version of the session protocol";
        }
        return "unknown error";
    }
    std::error_condition default_error_condition(int) const noexcept override {
        return make_error_condition(condition::peer_fault);
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static session_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::session
