module;
#include <string>
#include <system_error>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
namespace {
class utp_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.utp"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::refused:
                return "the peer refused the uTP connection";
            case errc::no_answer:
                return "the peer did not answer over uTP";
            case errc::reset:
                return "the peer reset the uTP connection";
            case errc::timed_out:
                return "the peer acknowledged nothing over uTP for too long";
            case errc::full:
                return "too many uTP connections are open";
            case errc::not_an_address:
                return "nobody can be reached over uTP at that address";
        }
        return "unknown uTP error";
    }

    std::error_condition default_error_condition(int) const noexcept override {
        return shoal::make_error_condition(condition::transient);
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static utp_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::utp
