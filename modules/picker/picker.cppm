/// Which block to ask of whom: rarest first, runs of blocks, end game, sequential order, deadlines.
module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

export module shoal.picker;
export import :blame;  // who sent wrong blocks
import shoal.core;     // piece_index, block_ref, bitfield, time_point

export namespace shoal::picker {
/// A connected peer, as the caller numbers them: small, dense, reused after `remove_peer`.
enum class peer_slot : std::uint32_t {};
constexpr std::uint32_t to_number(peer_slot slot) noexcept {
    return static_cast<std::uint32_t>(slot);
}
/// No peer at all.
inline constexpr auto no_peer = peer_slot{0xffff'ffff};

/// In which order fresh pieces are begun.
enum class order {
    rarest_first,  ///< The piece that the fewest peers have, random among equals.
    sequential,    ///< The lowest index.
};

struct picker_settings {
    std::uint32_t piece_length = 0;  ///< Bytes.
    std::uint64_t total_size = 0;    ///< Bytes.
    std::uint64_t seed = 0;          ///< For the choice among equals; differs from peer to peer, or all ask the same.
    order policy = order::rarest_first;
    /// Bytes at the end of each piece that nobody needs to send (padding), less than the piece; empty: none of any.
    std::vector<std::uint32_t> padding = {};
};

/// Slots above this are ignored: a torrent has far fewer connections, and the table of peers is dense.
inline constexpr std::uint32_t peers_max = 1U << 16U;
/// A claim of the hub above this (64 TiB) counts as this, so that sums over all peers do not overflow.
inline constexpr std::uint64_t uploaded_max = std::uint64_t{1} << 46U;
/// Peers that one block is asked of at most in the end game. Two would leave the end to the slower of two; each more
/// costs every peer up to one round trip of wasted upload (docs/scheduling.md).
inline constexpr std::size_t end_game_copies = 3;
/// Fresh pieces looked at in exact order of rarity before a random sample is taken instead. A torrent of up to 256
/// pieces is exact always; above, one look costs about 1 ns.
inline constexpr std::size_t exact_scan_max = 256;
/// Candidates in that sample.
inline constexpr std::size_t sample_size = 32;

/// Numbers that look random and follow from a seed. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators" (SplitMix64).
class random_sequence {
public:
    constexpr explicit random_sequence(std::uint64_t seed) noexcept : state_(seed) {}
    constexpr std::uint64_t next() noexcept {
        state_ += 0x9e37'79b9'7f4a'7c15U;
        auto mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58'476d'1ce4'e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d0'49bb'1331'11ebU;
        return mixed ^ (mixed >> 31U);
    }
    /// From 0 to `bound` - 1; `bound` must not be 0. The bias of at most `bound` in 2^32 does not matter here.
    constexpr std::uint32_t below(std::uint32_t bound) noexcept {
        return static_cast<std::uint32_t>(((next() >> 32U) * bound) >> 32U);
    }

private:
    std::uint64_t state_;
};

/// How many peers have each piece, and those pieces that are *listed*, rarest first.
///
/// One array holds the listed pieces in buckets of equal availability; a piece that gets one more or less swaps to the
/// border of its bucket and crosses it, in constant time. It lands at a random place of its new bucket, so that peers
/// that hear the same announcements do not end up with the same order.
class rarity_order {
public:
    /// No piece is listed, no peer has any.
    rarity_order(std::uint32_t piece_count, std::uint64_t seed);

    std::uint32_t availability(std::uint32_t piece) const noexcept { return availability_[piece]; }
    bool is_listed(std::uint32_t piece) const noexcept { return ((listed_[piece / 64] >> (piece % 64)) & 1U) != 0; }
    /// Constant time.
    void increase(std::uint32_t piece);
    /// Availability must not be 0. Constant time.
    void decrease(std::uint32_t piece);
    /// Linear in the highest availability.
    void list(std::uint32_t piece);
    void unlist(std::uint32_t piece);

    /// The listed pieces, rarest first. Valid until the next change.
    std::span<std::uint32_t const> rarest_first() const noexcept { return order_; }
    /// How many listed pieces have availability 0: the first so many of `rarest_first()`.
    std::uint32_t unavailable_count() const noexcept { return ends_.empty() ? 0 : ends_[0]; }
    /// The same set as bits: piece i is bit i % 64 of word i / 64.
    std::span<std::uint64_t const> words() const noexcept { return listed_; }

private:
    std::uint32_t bucket_begin(std::uint32_t bucket) const noexcept { return bucket == 0 ? 0 : ends_[bucket - 1]; }
    void put(std::uint32_t at, std::uint32_t piece) noexcept;
    void swap(std::uint32_t a, std::uint32_t b) noexcept;
    void shuffle_in(std::uint32_t at, std::uint32_t bucket) noexcept;

    random_sequence random_;
    std::vector<std::uint32_t> availability_;  // by piece
    std::vector<std::uint32_t> position_;      // by piece, in order_; meaningful for listed pieces
    std::vector<std::uint32_t> order_;         // listed pieces, bucket after bucket
    std::vector<std::uint32_t> ends_;          // by availability: where its bucket ends in order_
    std::vector<std::uint64_t> listed_;
};

/// The blocks of one piece that was begun: which are free, of whom the others were asked, which are there.
class piece_progress {
public:
    piece_progress(std::uint32_t piece, std::uint32_t block_count);

    std::uint32_t piece() const noexcept { return piece_; }
    std::uint32_t block_count() const noexcept { return static_cast<std::uint32_t>(blocks_.size()); }
    /// Blocks that nobody was asked for and that are not there.
    std::uint32_t free_count() const noexcept { return free_count_; }
    std::uint32_t received_count() const noexcept { return received_count_; }
    /// Requests outstanding for it, copies included.
    std::uint32_t asked_count() const noexcept { return asked_count_; }
    bool is_complete() const noexcept { return received_count_ == block_count(); }
    /// Nothing is there and nothing outstanding.
    bool is_untouched() const noexcept { return free_count_ == block_count(); }

    /// To whom the block is outstanding; nobody for a free block and for one that is there.
    std::span<peer_slot const> askers(std::uint32_t block) const noexcept {
        return std::span{blocks_[block].askers}.first(blocks_[block].asker_count);
    }
    bool is_asked(std::uint32_t block, peer_slot peer) const noexcept;
    bool is_received(std::uint32_t block) const noexcept { return blocks_[block].is_received; }

    /// Asks `peer` for the first free block and says which it is; there must be one.
    std::uint32_t ask_next(peer_slot peer) noexcept;
    /// The block is neither there nor outstanding to `peer` or to `end_game_copies` others.
    void ask(std::uint32_t block, peer_slot peer) noexcept;
    /// False when it was not outstanding to `peer`.
    bool give_back(std::uint32_t block, peer_slot peer) noexcept;
    /// The block is there, outstanding to nobody any more. Appends the askers other than `peer` to `also_asked`.
    void receive(std::uint32_t block, peer_slot peer, std::vector<peer_slot>& also_asked);
    /// Gives back all that is outstanding to `peer`; says how many blocks.
    std::uint32_t give_back_all(peer_slot peer) noexcept;

    /// How many peers were last given a block of this piece and are still at it.
    std::uint32_t peers_at_it = 0;
    /// While the piece has failed before: the one peer that may be asked, `no_peer` when there is none yet.
    peer_slot sole = no_peer;
    /// Where it stands in the list of pieces with free blocks, if it does.
    std::uint32_t open_at = 0xffff'ffff;

private:
    struct block_state {
        std::array<peer_slot, end_game_copies> askers{no_peer, no_peer, no_peer};
        std::uint8_t asker_count = 0;
        bool is_received = false;
    };
    void drop_asker(block_state& block, std::size_t at) noexcept;

    std::uint32_t piece_;
    std::uint32_t free_count_;
    std::uint32_t received_count_ = 0;
    std::uint32_t asked_count_ = 0;
    std::uint32_t first_free_ = 0;  // no block before it is free
    std::vector<block_state> blocks_;
};

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
    /// failure has one culprit (see `blame`). Also takes back a piece that was had (lost on disk).
    void piece_failed(piece_index piece);
    /// Before all other pieces, soonest first. Forgotten when the piece is had.
    void set_deadline(piece_index piece, time_point at);
    void clear_deadlines();
    bitfield const& have() const noexcept { return have_; }
    /// All that is wanted is had.
    bool complete() const noexcept { return missing_count_ == 0; }
    /// Bytes of the pieces that are wanted and not had, without their padding.
    std::uint64_t bytes_left() const noexcept { return bytes_left_; }
    std::uint32_t piece_count() const noexcept { return piece_count_; }
    /// Bytes of a piece; the last one may be shorter.
    std::uint32_t piece_size(piece_index piece) const noexcept;
    /// The same without its padding.
    std::uint32_t needed_size(piece_index piece) const noexcept;
    /// Bytes of a block that are no padding.
    std::uint32_t needed_size(block_ref block) const noexcept;
    /// The first so many blocks of a piece are asked for; those behind them are padding alone.
    std::uint32_t needed_blocks(piece_index piece) const noexcept;
    /// How many peers have the piece.
    std::uint32_t availability(piece_index piece) const noexcept;

    // Peers: what they have. A piece announced twice, or lost without having been announced, changes nothing.

    /// It has nothing yet. A slot that is in use is removed first.
    void add_peer(peer_slot peer);
    /// What is outstanding to it is free again; what it sent is kept.
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
        bool piece_complete = false;  ///< It needs no more: check the hash, then `set_have` or `piece_failed`.
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
