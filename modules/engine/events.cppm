module;
#include <cstdint>
#include <functional>
#include <string>
#include <system_error>
#include <variant>

export module shoal.engine:events;
import shoal.core;

export namespace shoal::engine {
/// What happened in a transfer, told once, in order, on the home executor.
namespace event {
struct checked {};  ///< What is on disk is known; connections start.
struct piece_verified {
    piece_index piece;
};
struct piece_rejected {  ///< The hash was wrong; the piece is fetched again.
    piece_index piece;
};
struct completed {};  ///< All that was asked for is there, verified, under its final names.
/// The transfer stands still until the cause is gone (disk full, files changed), or what it has cannot be recorded.
struct failed {
    std::error_code why;
};
struct recovered {};  ///< It goes on after `failed`.
struct peer_joined {
    endpoint remote;
    bool outgoing;
};
struct peer_left {
    endpoint remote;
    std::error_code why;
    endpoint at;  ///< As in `peer_introduced`.
};
struct peer_introduced {  ///< A joined peer said where it listens, or will not; once for each.
    endpoint at;          ///< Where it listens; where it connected from when it does not say.
    endpoint remote;
    bool outgoing;
};
struct ping_received {  ///< And answered.
    endpoint from;
};
struct download_began {  ///< The first block of a piece came.
    endpoint from;
    piece_index piece;
};
struct upload_began {  ///< The first block of a piece goes to a peer.
    endpoint to;
    piece_index piece;
};
struct upload_finished {  ///< As many bytes as the piece has went to the peer's socket.
    endpoint to;
    piece_index piece;
};
struct announced {  ///< A tracker answered.
    std::string url;
    std::size_t peers;
    std::string warning;
    std::string session;  ///< Where it takes sessions, if it is a hub: a path. See `session_url`.
};
struct announce_failed {
    std::string url;
    std::string why;  ///< The tracker's words are a stranger's: escape them.
};
}  // namespace event
using transfer_event =
    std::variant<event::checked, event::piece_verified, event::piece_rejected, event::completed, event::failed,
                 event::recovered, event::peer_joined, event::peer_left, event::peer_introduced, event::ping_received,
                 event::download_began, event::upload_began, event::upload_finished, event::announced,
                 event::announce_failed>;
/// Called on the home executor; must not block and must not destroy the transfer.
using transfer_observer = std::function<void(transfer_event const&)>;
}  // namespace shoal::engine
