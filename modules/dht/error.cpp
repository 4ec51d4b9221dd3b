module;
#include <string>
#include <system_error>

module shoal.dht;
import shoal.core;

namespace shoal::dht {
namespace {
class category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.dht"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
            case errc::not_krpc:
                return "no message of the DHT";
            case errc::bad_query:
                return "a query of the DHT without its arguments";
            case errc::bad_reply:
                return "a reply of the DHT without an id";
            case errc::too_long_name:
                return "a message of the DHT with too long a transaction id";
        }
        return "unknown error of the DHT";
    }
    std::error_condition default_error_condition(int) const noexcept override {
        return make_error_condition(condition::peer_fault);
    }
};
}  // namespace

std::error_code make_error_code(errc code) noexcept {
    static category const instance;
    return {static_cast<int>(code), instance};
}
}  // namespace shoal::dht
