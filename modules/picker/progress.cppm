module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

export module shoal.picker:progress;
import :types;

export namespace shoal::picker {
/// The blocks of one piece that was begun: which are free, of whom the others were asked, who sent those that are
/// there.
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
    peer_slot sender(std::uint32_t block) const noexcept { return blocks_[block].sender; }

    /// Asks `peer` for the first free block and says which it is; there must be one.
    std::uint32_t ask_next(peer_slot peer) noexcept;
    /// The block is neither there nor outstanding to `peer` or to `end_game_copies` others.
    void ask(std::uint32_t block, peer_slot peer) noexcept;
    /// False when it was not outstanding to `peer`.
    bool give_back(std::uint32_t block, peer_slot peer) noexcept;
    /// The block is there, outstanding to nobody any more. Appends the askers other than `peer` to `also_asked`.
    void receive(std::uint32_t block, peer_slot peer, std::vector<peer_slot>& also_asked);
    /// Gives back all that is outstanding to `peer` and forgets it as sender; says how many were outstanding.
    std::uint32_t forget(peer_slot peer) noexcept;

    /// How many peers were last given a block of this piece and are still at it.
    std::uint32_t peers_at_it = 0;
    /// While the piece has failed before: the one peer that may be asked, `no_peer` when there is none yet.
    peer_slot sole = no_peer;
    /// Where it stands in the list of pieces with free blocks, if it does.
    std::uint32_t open_at = 0xffff'ffff;

private:
    struct block_state {
        std::array<peer_slot, end_game_copies> askers{no_peer, no_peer, no_peer};
        peer_slot sender = no_peer;
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
}  // namespace shoal::picker
