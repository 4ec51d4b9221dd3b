module;
#include <system_error>

export module shoal.engine:error;

export namespace shoal::engine {
/// Why a connection or a transfer ended.
enum class errc {
    v2_only = 1,        ///< The torrent is v2 only; moving those comes later.
    already_added,      ///< The node already has a torrent of that info-hash.
    unknown_info_hash,  ///< A peer asked for a torrent we do not have.
    own_connection,     ///< We connected to ourselves.
    duplicate_peer,     ///< That peer is connected already.
    too_many_peers,     ///< A limit on connections was reached.
    banned,             ///< The peer sent data that fails its hash.
    not_needed,         ///< Both sides are complete.
    stopped,            ///< The transfer is being stopped.
    tracker_refused,    ///< A tracker answered with a failure.
    bad_tracker_url,    ///< A tracker URL without a host or port that we can use.
    not_connected,      ///< No connection to that peer.
    disconnected,       ///< Whoever drives this transfer ended the connection.
    hub_refused,        ///< The hub said no; its words are in `hub_session::refusal`.
    no_ping,            ///< The peer lacks the extension: no Shoal peer.
    no_answer,          ///< The peer did not answer, or sent nothing, for too long.
    no_such_piece,      ///< The torrent has no such piece or file.
    piece_is_held,      ///< The piece is here already.
    piece_is_busy,      ///< The piece is being fetched already.
    piece_not_offered,  ///< The peer does not have the piece.
    piece_refused,      ///< The peer has the piece and refuses to send it.
    piece_is_bad,       ///< The piece failed its hash again and again.
    choked,             ///< The peer serves others for so long.
    too_many_fetches,   ///< `fetches_max` pieces are being fetched by hand.
    pieces_missing,     ///< The file cannot be finished yet.
};
std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::engine
export template <>
struct std::is_error_code_enum<shoal::engine::errc> : std::true_type {};
