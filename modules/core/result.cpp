module;
#include <cerrno>
#include <string>
#include <system_error>

module shoal.core;

namespace shoal {
namespace {
class condition_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.condition"; }
    std::string message(int value) const override {
        switch (static_cast<condition>(value)) {
            case condition::peer_fault:
                return "the other side is at fault";
            case condition::local_fault:
                return "this machine or its user is at fault";
            case condition::transient:
                return "it may work later";
        }
        return "unknown condition";
    }
};
}  // namespace

std::error_condition make_error_condition(condition value) noexcept {
    static condition_category const category;
    return {static_cast<int>(value), category};
}

condition condition_of_system_error(int error_number) noexcept {
    switch (error_number) {
        case EAGAIN:
        case EINTR:
        case ECONNREFUSED:
        case ECONNRESET:
        case ECONNABORTED:
        case EPIPE:
        case ENOTCONN:
        case ETIMEDOUT:
        case ENETUNREACH:
        case ENETDOWN:
        case ENETRESET:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENOBUFS:
        case ECANCELED:
            return condition::transient;
        default:
            return condition::local_fault;
    }
}

bool is(std::error_code code, condition what) noexcept {
    if (!code) return false;
    if (code.category() == std::system_category() || code.category() == std::generic_category())
        return condition_of_system_error(code.value()) == what;
    return code == make_error_condition(what);
}
}  // namespace shoal
