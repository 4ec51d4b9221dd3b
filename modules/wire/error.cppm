module;
#include <system_error>

export module shoal.wire:error;

export namespace shoal::wire {
/// Why a conversation cannot go on. Each equals `condition::peer_fault` but where it says otherwise.
enum class errc {
    not_bittorrent = 1,       ///< The first bytes are no handshake.
    bad_length,               ///< A message has a length that its kind cannot have.
    too_long,                 ///< A message is longer than any we accept.
    out_of_range,             ///< A piece, an offset or a length lies outside the torrent.
    bad_bitfield,             ///< A bitfield with spare bits set.
    late_bitfield,            ///< Have-all, have-none or a bitfield that adds nothing, after the start.
    not_negotiated,           ///< A message of the fast extension without the fast extension.
    unasked_reject,           ///< A reject of a request that was never sent.
    unasked_blocks,           ///< Too many blocks that were never asked for.
    request_too_long,         ///< A request for more than any client asks at once.
    flood,                    ///< More idle messages than a sound client sends.
    never_reads,              ///< Answers pile up and the peer does not read them.
    bad_extension_handshake,  ///< An extension handshake that is no dictionary or breaks a bound.
    silent,                   ///< Nothing was received for a long time (`condition::transient`).
    stalled,                  ///< The peer takes no more bytes (`condition::transient`).
    dead_destination,         ///< Memory given for a block cannot be used any more (`condition::local_fault`).
};
std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::wire
export template <>
struct std::is_error_code_enum<shoal::wire::errc> : std::true_type {};
