module;
#include <cstdint>
#include <variant>

export module shoal.wire:event;
import shoal.core;

/// What a connection tells its driver. Indices and ranges are checked: they lie inside the torrent.
export namespace shoal::wire::event {
struct choked {};          ///< The peer stopped serving us. Lost requests follow as `rejected`.
struct unchoked {};        ///< The peer serves us.
struct interested {};      ///< The peer wants something of ours.
struct not_interested {};  ///< The peer wants nothing of ours.
/// The peer has got a piece; once for each piece.
struct have {
    piece_index piece;
};
/// All that the peer has: its bitfield, have-all or have-none, at the start; later only a bitfield that adds pieces.
struct has {
    bitfield pieces;
};
struct requested {};  ///< `next_upload()` has something.
/// A requested block is here.
struct block {
    block_ref ref;
    bool direct;  ///< Its bytes are at the destination; false when that was dead: then they are lost.
};
/// A request will not be served: rejected, or lost by a choke of a peer without the fast extension.
struct rejected {
    block_ref ref;
};
/// The peer suggests a piece, BEP 6. Advice; bounded by the message budget only.
struct suggested {
    piece_index piece;
};
/// This piece can be requested while choked, BEP 6.
struct allowed_fast {
    piece_index piece;
};
struct extension_handshake {};  ///< `connection::peer_extensions()` is new or has changed.
/// A message of an extension.
struct extension_message {
    std::uint8_t id;    ///< One of those that we gave in our `m`, or any other number.
    byte_view payload;  ///< Valid until the next input (`prepare`, `commit`, `receive`).
};
/// The peer cancelled a request that `next_upload()` had handed out, or that it never made. Not needed when the block
/// was sent; else with the fast extension `reject` or `send_block` must follow, without it nothing has to.
struct cancelled_upload {
    block_ref ref;
};
/// UDP port of the peer's DHT node, BEP 5. Never 0.
struct port {
    std::uint16_t number;
};
struct keep_alive {};  ///< Nothing, said politely.
struct snubbed {};     ///< No block came for `limits::snub_after` although some are asked for. Again after as long.
}  // namespace shoal::wire::event

export namespace shoal::wire {
using any_event = std::variant<event::choked, event::unchoked, event::interested, event::not_interested, event::have,
                               event::has, event::requested, event::block, event::rejected, event::suggested,
                               event::allowed_fast, event::extension_handshake, event::extension_message,
                               event::cancelled_upload, event::port, event::keep_alive, event::snubbed>;
}  // namespace shoal::wire
