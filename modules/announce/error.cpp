module;
#include <string>
#include <system_error>

module shoal.announce;
import shoal.core;

namespace shoal::announce {
namespace {
class announce_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.announce"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::bad_escape:
                return "percent sign without two hexadecimal digits";
            case errc::too_long:
                return "query, reply or local announce is too long";
            case errc::bad_info_hash:
                return "info_hash is missing or not 20 bytes";
            case errc::bad_peer_id:
                return "peer_id is missing or not 20 bytes";
            case errc::bad_port:
                return "port is missing or not a number up to 65535";
            case errc::bad_number:
                return "not a number";
            case errc::too_many_hashes:
                return "too many torrents in one scrape or local announce";
            case errc::bad_reply:
                return "tracker's reply is not what was asked for";
            case errc::bad_peers:
                return "tracker's list of peers is malformed";
            case errc::truncated:
                return "packet is too short";
            case errc::unknown_action:
                return "packet of unknown kind";
            case errc::timed_out:
                return "tracker did not answer";
            case errc::bad_announce:
                return "datagram is no local announce";
        }
        return "unknown error";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        return make_error_condition(value == static_cast<int>(errc::timed_out) ? condition::transient
                                                                               : condition::peer_fault);
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static announce_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::announce
