/// Which block to ask of whom: rarest first, runs of blocks, end game, sequential order, deadlines.
module;
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

export module shoal.picker;
export import :types;     // peer_slot, settings, limits
export import :rarity;    // pieces nobody has begun, rarest first
export import :progress;  // the blocks of a piece somebody has begun
import shoal.core;        // piece_index, block_ref, bitfield, time_point

export namespace shoal::picker {
/// The choice of blocks for one torrent.
///
/// Every piece is in one of four states: *had*, *begun* (some block was asked for or has arrived), *fresh* (wanted,
/// not begun) or unwanted. Slots that were not added, pieces out of range and blocks that are none are ignored, so
/// that no message of a peer can trip the picker. Memory is linear in pieces + blocks begun + one bit a piece for each
/// peer that is no seed.
class picker {
public:
    /// All pieces are wanted, none is had. `piece_length` must not be 0.
    explicit picker(picker_settings settings);

    // Pieces: what this side has and wants.

    /// The piece is on disk and its hash was right. Drops what is outstanding of it.
    void set_have(piece_index piece);
    /// Unwanted pieces are not picked; blocks of them that are outstanding may still arrive.
    void set_wanted(piece_index piece, bool is_wanted);
    /// Its hash was wrong: all its blocks will be asked again, this time of one peer where possible, so that the next
    /// failure has one culprit. Ask for `contributors` before. Also takes back a piece that was had (lost on disk).
    void piece_failed(piece_index piece);
    /// Before all other pieces, soonest first. Forgotten when the piece is had.
    void set_deadline(piece_index piece, time_point at);
    void clear_deadlines();
    bitfield const& have() const noexcept { return have_; }
    /// All that is wanted is had.
    bool complete() const noexcept { return missing_count_ == 0; }
    /// Bytes of the pieces that are wanted and not had.
    std::uint64_t bytes_left() const noexcept { return bytes_left_; }
    std::uint32_t piece_count() const noexcept { return piece_count_; }
    /// Bytes of a piece; the last one may be shorter.
    std::uint32_t piece_size(piece_index piece) const noexcept;
    /// How many peers have the piece.
    std::uint32_t availability(piece_index piece) const noexcept;

    // Peers: what they have. A piece announced twice, or lost without having been announced, changes nothing.

    /// It has nothing yet. A slot that is in use is removed first.
    void add_peer(peer_slot peer);
    /// What is outstanding to it is free again, and what it sent of unfinished pieces is nobody's contribution.
    void remove_peer(peer_slot peer);
    void peer_has(peer_slot peer, piece_index piece);
    /// Replaces all that it has (bitfield, have all, have none). Ignored unless `pieces` has one bit a piece.
    void peer_has(peer_slot peer, bitfield const& pieces);
    void peer_lost(peer_slot peer, piece_index piece);
    bool has(peer_slot peer, piece_index piece) const noexcept;
    /// It has all pieces.
    bool is_seed(peer_slot peer) const noexcept;
    /// It has a piece that is wanted and not had. Constant time.
    bool is_interesting(peer_slot peer) const noexcept;
    /// It owes us blocks for too long. While others that do not have a piece that failed before, it gets none of it:
    /// such a piece goes to one peer alone, which would keep it from all.
    void set_snubbed(peer_slot peer, bool is_snubbed) noexcept;
    /// Bytes it has uploaded in this swarm, as the hub says.
    void set_uploaded(peer_slot peer, std::uint64_t bytes);
    /// Whether `a` should be given work before `b`: the one that has uploaded less, outstanding bytes included. A peer
    /// of which the hub says nothing counts as one that uploaded the mean. A strict weak order between two calls that
    /// change something.
    bool serve_before(peer_slot a, peer_slot b) const noexcept;

    // Asking.

    /// Appends at most `blocks_max` blocks to ask of `peer`, as runs of consecutive blocks of one piece.
    ///
    /// A piece that `peer` is already at comes first, then begun pieces, then fresh ones, rarest first and random among
    /// equals. With `fast`, a begun piece that another peer is at comes after the fresh ones, so that two fast peers
    /// fill whole pieces each. In the end game (every block that some peer has is asked for) hands out blocks that
    /// others were asked for, those with the fewest askers first, never to more than `end_game_copies` peers.
    /// Above `exact_scan_max` candidates, rarest first is approximate: the rarest of a random sample.
    void pick(peer_slot peer, std::size_t blocks_max, bool fast, std::vector<block_ref>& out);

    // Answers.

    struct arrival {
        bool wanted = false;          ///< The first copy, and asked of this peer: store it.
        bool piece_complete = false;  ///< All blocks are there now: check the hash, then `set_have` or `piece_failed`.
    };
    /// A block arrived. Appends to `also_asked` the others that were asked for it: send them `cancel`; to the picker
    /// nothing is outstanding to them any more.
    arrival received(peer_slot peer, block_ref block, std::vector<peer_slot>& also_asked);
    /// The block will not come: rejected, cancelled, timed out or choked.
    void returned(peer_slot peer, block_ref block);
    /// Blocks that were asked of `peer` and not answered.
    std::size_t outstanding(peer_slot peer) const noexcept;
    /// Whether the block is outstanding to `peer`.
    bool is_outstanding(peer_slot peer, block_ref block) const noexcept;
    /// Whether all that some peer has is asked for, so that blocks are handed out twice.
    bool is_end_game() const noexcept;

    // Reserving: pieces that one peer alone is asked for, as a person says. They are few.

    /// From here on the piece is asked of `peer` only, before all others, until it is had or released, or the peer is
    /// removed. Replaces an earlier reservation. Blocks that are outstanding to others stay so: return them before.
    void reserve(piece_index piece, peer_slot peer);
    void release(piece_index piece);
    /// While set, nothing but reserved pieces is asked for.
    void set_reserved_only(bool is_set) noexcept { reserved_only_ = is_set; }

    /// Who sent which block of a piece that is begun, in block order. Blocks of peers that were removed are left out.
    std::vector<contribution> contributors(piece_index piece) const;

private:
    struct peer_state {
        bool is_known = false;
        bool is_seed = false;
        bool has_lost = false;           // never counted as seed again: a peer that goes to and fro costs O(pieces)
        bool is_uploaded_known = false;  // set_uploaded was called
        bool is_snubbed = false;
        std::uint32_t has_count = 0;
        std::uint32_t missing_count = 0;  // pieces it has that are wanted and not had; unused for seeds
        std::uint32_t outstanding = 0;    // blocks
        std::uint32_t current = none;     // the begun piece it was last given a block of
        std::uint64_t uploaded = 0;
        std::vector<std::uint64_t> has;  // bit i % 64 of word i / 64; empty for seeds
    };
    static constexpr std::uint32_t none = 0xffff'ffff;

    peer_state* find(peer_slot peer) noexcept;
    peer_state const* find(peer_slot peer) const noexcept;
    bool peer_has_piece(peer_state const& peer, std::uint32_t piece) const noexcept;
    void become_seed(peer_state& peer);
    void forget_pieces(peer_state& peer);
    void piece_left_missing(std::uint32_t piece);
    void piece_became_missing(std::uint32_t piece);
    bool is_missing(std::uint32_t piece) const noexcept;
    std::uint64_t upload_key(peer_slot peer) const noexcept;

    piece_progress* progress_of(std::uint32_t piece) noexcept;
    piece_progress const* progress_of(std::uint32_t piece) const noexcept;
    piece_progress& begin_piece(std::uint32_t piece);
    void end_piece(std::uint32_t piece);
    void drop_if_untouched(std::uint32_t piece);
    void refresh_open(std::uint32_t piece);
    void close(piece_progress& begun);
    void settle(peer_state& state, piece_progress& begun) noexcept;
    void leave_current(peer_state& state) noexcept;
    peer_slot reserved_for(std::uint32_t piece) const noexcept;
    void list_fresh(std::uint32_t piece);
    block_ref block_at(std::uint32_t piece, std::uint32_t block) const noexcept;

    std::uint32_t choose_piece(peer_slot peer, peer_state const& state, bool fast);
    std::uint32_t choose_reserved(peer_slot peer, peer_state const& state) const noexcept;
    std::uint32_t choose_by_deadline(peer_slot peer, peer_state const& state) const noexcept;
    std::uint32_t choose_open(peer_slot peer, peer_state const& state, bool shared) const noexcept;
    std::uint32_t choose_first_open(peer_slot peer, peer_state const& state) const noexcept;
    std::uint32_t choose_first_fresh(peer_state const& state) const noexcept;
    std::uint32_t choose_fresh(peer_state const& state);
    std::uint32_t sample_fresh(peer_state const& state);
    bool may_ask(std::uint32_t piece, peer_state const& state) const noexcept;
    bool may_give(piece_progress const& begun, peer_slot peer, peer_state const& state) const noexcept;
    std::size_t take_free(peer_slot peer, peer_state& state, std::uint32_t piece, std::size_t blocks_max,
                          std::vector<block_ref>& out);
    void take_copies(peer_slot peer, peer_state& state, std::size_t blocks_max, std::vector<block_ref>& out);

    picker_settings settings_;
    std::uint32_t piece_count_ = 0;
    std::uint32_t missing_count_ = 0;  // pieces wanted and not had
    std::uint64_t bytes_left_ = 0;
    std::uint32_t seed_count_ = 0;
    std::uint64_t uploaded_sum_ = 0;  // of peers that the hub told of
    std::uint32_t uploaded_known_ = 0;
    random_sequence random_;
    bitfield have_;
    bitfield wanted_;
    bitfield failed_;                   // hash was wrong last time: one peer at a time
    rarity_order fresh_;                // pieces wanted, not had, not begun, by availability among non-seeds
    std::vector<std::uint32_t> begun_;  // piece -> index in progress_, or none
    std::vector<piece_progress> progress_;
    std::vector<std::uint32_t> open_;                              // begun and wanted pieces with a free block
    std::vector<std::pair<time_point, std::uint32_t>> deadlines_;  // sorted
    std::vector<std::pair<std::uint32_t, peer_slot>> reserved_;    // these are never listed as fresh
    bool reserved_only_ = false;
    std::vector<peer_state> peers_;
};
}  // namespace shoal::picker
