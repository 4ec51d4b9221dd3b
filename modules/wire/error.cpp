module;
#include <string>
#include <system_error>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
namespace {
class wire_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.wire"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::not_bittorrent:
                return "the peer does not speak BitTorrent";
            case errc::bad_length:
                return "the peer sent a message whose length does not fit its kind";
            case errc::too_long:
                return "the peer announced a message that is too long";
            case errc::out_of_range:
                return "the peer named a piece or a range outside the torrent";
            case errc::bad_bitfield:
                return "the peer sent a bitfield with spare bits set";
            case errc::late_bitfield:
                return "the peer said anew what it has in the middle of the conversation";
            case errc::not_negotiated:
                return "the peer used the fast extension without having it negotiated";
            case errc::unasked_reject:
                return "the peer rejected what was never requested";
            case errc::unasked_blocks:
                return "the peer sent too many blocks that were never requested";
            case errc::request_too_long:
                return "the peer requested more bytes at once than is allowed";
            case errc::flood:
                return "the peer flooded the connection with idle messages";
            case errc::never_reads:
                return "the peer does not read what it asked for";
            case errc::bad_extension_handshake:
                return "the peer sent a bad extension handshake";
            case errc::silent:
                return "the peer was silent for too long";
            case errc::stalled:
                return "the peer took no bytes for too long";
            case errc::no_metadata:
                return "the peer does not send what the torrent holds";
            case errc::bad_metadata:
                return "the peer sent a wrong description of the torrent";
            case errc::dead_destination:
                return "memory given for a block cannot be used any more";
        }
        return "unknown wire error";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::silent:
            case errc::stalled:
                return shoal::make_error_condition(condition::transient);
            case errc::dead_destination:
                return shoal::make_error_condition(condition::local_fault);
            default:
                return shoal::make_error_condition(condition::peer_fault);
        }
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static wire_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::wire
