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
            case errc::not_connected:
                return "the peer is not connected";
            case errc::disconnected:
                return "disconnected by hand";
            case errc::hub_refused:
                return "the hub refused";
            case errc::no_ping:
                return "the peer has no ping: only Shoal peers have it";
            case errc::no_answer:
                return "the peer did not answer in time";
            case errc::no_such_piece:
                return "the torrent has no such piece or file";
            case errc::piece_is_held:
                return "the piece is here already";
            case errc::piece_is_busy:
                return "the piece is being fetched already";
            case errc::piece_not_offered:
                return "the peer does not have the piece";
            case errc::piece_refused:
                return "the peer refuses to send the piece";
            case errc::piece_is_bad:
                return "the piece failed its hash";
            case errc::choked:
                return "the peer is choking us: it serves others";
            case errc::too_many_fetches:
                return "too many pieces are being fetched by hand";
            case errc::pieces_missing:
                return "pieces of the file are missing";
        }
        return "unknown engine error";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::v2_only:
            case errc::already_added:
            case errc::bad_tracker_url:
            case errc::not_connected:
            case errc::disconnected:
            case errc::no_such_piece:
            case errc::piece_is_held:
            case errc::piece_is_busy:
            case errc::too_many_fetches:
            case errc::pieces_missing:
                return make_error_condition(condition::local_fault);
            case errc::unknown_info_hash:
            case errc::banned:
            case errc::piece_refused:
            case errc::piece_is_bad:
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
