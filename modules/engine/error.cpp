module;
#include <string>
#include <system_error>

module shoal.engine;
import shoal.core;

namespace shoal::engine {
namespace {
class engine_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.engine"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::v2_only:
                return "this torrent is BitTorrent v2 only: it can be shown and verified, not transferred yet";
            case errc::already_added:
                return "this torrent is being transferred already";
            case errc::unknown_info_hash:
                return "the peer asked for an unknown torrent";
            case errc::own_connection:
                return "connected to ourselves";
            case errc::duplicate_peer:
                return "that peer is connected already";
            case errc::too_many_peers:
                return "too many connections";
            case errc::banned:
                return "the peer sent data that fails its hash";
            case errc::not_needed:
                return "both sides are complete";
            case errc::stopped:
                return "the transfer was stopped";
            case errc::tracker_refused:
                return "the tracker refused";
            case errc::bad_tracker_url:
                return "not a tracker URL that we can use";
        }
        return "unknown engine error";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::v2_only:
            case errc::already_added:
            case errc::bad_tracker_url:
                return make_error_condition(condition::local_fault);
            case errc::unknown_info_hash:
            case errc::banned:
                return make_error_condition(condition::peer_fault);
            default:
                return make_error_condition(condition::transient);
        }
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static engine_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::engine
