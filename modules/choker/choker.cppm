/// Whom to serve, and how fast: tit for tat, optimistic unchoke, the order of a seed, rate budgets.
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

export module shoal.choker;
export import :places;  // who gives way when all places are taken
import shoal.core;      // time_point

export namespace shoal::choker {
/// Unused rate is saved up for this long. With a debt of one block on top, five seconds then never carry more than
/// 1.03 of the limit, from 320 KiB/s upwards (the rest is for headers).
inline constexpr auto burst_time = std::chrono::milliseconds{100};

/// How many bytes may pass, so that the mean keeps to a rate: a token bucket.
///
/// May be overdrawn, best by less than a block, so that a whole block can be sent when some of it may; the debt is
/// waited off. One budget serves
/// many readers; who comes first is the caller's choice. Time never goes back: an earlier `now` counts as the last one.
class rate_budget {
public:
    /// `bytes_per_second` 0 means unlimited. Starts empty but for one block, so that a restart is no burst.
    rate_budget(std::uint64_t bytes_per_second, time_point now) noexcept;

    /// Takes effect at once; what was saved up is cut to the new burst.
    void set_rate(std::uint64_t bytes_per_second, time_point now) noexcept;
    std::uint64_t rate() const noexcept { return rate_; }
    /// The bytes that may pass now; 0 while in debt, the largest number when unlimited.
    std::size_t available(time_point now) const noexcept;
    /// These bytes passed. More than `available` puts the budget into debt.
    void take(std::size_t bytes, time_point now) noexcept;
    /// When `bytes` (or the burst, if that is less) will be available; `now` or earlier when they are.
    time_point ready_at(std::size_t bytes, time_point now) const noexcept;
    /// The most that is ever saved up, bytes: `burst_time` at the rate, but at least one block.
    double burst() const noexcept;

private:
    double level_at(time_point now) const noexcept;

    std::uint64_t rate_;
    double level_;  // bytes; below 0 is debt
    time_point updated_;
};

/// A peer that is unchoked and has asked for blocks.
struct waiting_peer {
    std::uint32_t id = 0;
    share_holder network = {};
    /// Bytes it is believed to have: the larger of what it announced and what we gave it. The second keeps a peer that
    /// hides its pieces from being served before all others for ever.
    std::uint64_t progress = 0;
    /// The next block it asked for follows, in the same piece, on the block it was sent last.
    bool is_in_run = false;
    std::uint32_t copies = 0;  ///< Other peers that say they have the piece of that block.
};

/// Bytes sent to one peer without a break at most; a longer piece is sent in several turns.
inline constexpr std::size_t run_max = 1024 * 1024;

/// Parties whose last turn a seed remembers, besides those that wait.
inline constexpr std::size_t served_remembered_max = 1024;

/// Whose blocks go out next when the upload is limited: whole runs of blocks to one peer after another, the peer that
/// has least first. Without a limit let every session send as it can.
///
/// A piece can be passed on only when it is whole: a run in one go makes it whole in 1/n of the time that n runs side
/// by side take, and who has least has the most to gain by it. docs/scheduling.md has what that brings.
class uplink {
public:
    /// The one to send a block to now; nothing when nobody waits. Equals take turns.
    ///
    /// A seed serves all in turn: what it sends is rare, and a peer that hides its pieces would get all of it. Those of
    /// one network have one turn together, which goes to the one that has least (class C14). Every second run goes to
    /// whoever asked for what fewest have: what others have they can give each other, and may have learnt of since it
    /// was asked for. Not every run, or who asks for the rarest alone would keep the others waiting.
    std::optional<std::uint32_t> next(std::span<waiting_peer const> waiting, bool seeding);
    /// So much was sent to the peer that `next` named.
    void sent(std::size_t bytes) noexcept { run_bytes_ += bytes; }
    /// Of how many it knows when they were served last.
    std::size_t remembered() const noexcept { return served_.size(); }

private:
    /// Whose turn it is as a seed: a network, or who stands alone.
    using party = std::pair<share_holder, std::uint32_t>;
    static party party_of(waiting_peer const& peer) noexcept { return {peer.network, peer.network ? 0 : peer.id}; }

    void note_served(party const& whose, std::span<waiting_peer const> waiting);

    std::optional<std::uint32_t> last_;
    std::size_t run_bytes_ = 0;
    std::map<party, std::uint64_t> served_;  // as a seed: the number of the run that each got last
    std::uint64_t runs_ = 0;
};

/// A connected peer, as it stands when a round is held.
struct candidate {
    std::uint32_t id = 0;              ///< The caller's number for it; the picker's slot will do.
    share_holder network = {};         ///< With whom it shares the turns of a seed.
    bool is_interested = false;        ///< It wants something of us. Others are not served.
    bool is_upload_only = false;       ///< A seed, or it says so: it has no use for us (BEP 21).
    bool is_unchoked = false;          ///< As things stand.
    bool is_idle = false;              ///< It has a slot, and took nothing for `slot_kept_for`.
    std::uint32_t idle_turns = 0;      ///< Slots in a row that it lost without having taken anything.
    bool is_snubbed = false;           ///< It owes us blocks for too long: served by the optimistic slot only.
    std::uint64_t download_rate = 0;   ///< Bytes a second we get of it.
    std::uint64_t upload_rate = 0;     ///< Bytes a second it gets of us.
    std::uint64_t uploaded_total = 0;  ///< Bytes it got of us since it connected.
    std::uint32_t have_count = 0;      ///< Pieces it has.
    time_point connected_since{};
    time_point last_unchoked{};  ///< When it was last moved from choked to unchoked; the epoch for never.
};

struct choker_settings {
    std::size_t slots = 0;   ///< How many are served at once; 0 = as many as the upload limit feeds (`slots_for`).
    std::uint64_t seed = 0;  ///< For the optimistic choice and the order among equals.
};

/// Time between two rounds. Source: BEP 3, "choking and optimistic unchoking" (10 s).
inline constexpr auto round_every = std::chrono::seconds{10};
/// Least time between two rounds, however much changes: a change is answered within this. Bounds the work that a peer
/// can cause by changing its mind; a whole second was seen to cost a swarm that starts together 5 %
/// (docs/scheduling.md).
inline constexpr auto round_gap = std::chrono::milliseconds{100};
/// How long the optimistic slot stays with one peer. Source: BEP 3 (30 s, long enough to show what it can upload).
inline constexpr auto optimistic_every = std::chrono::seconds{30};
/// A peer connected for less counts as new. New peers are three times as likely to be chosen (BEP 3).
inline constexpr auto new_for = std::chrono::seconds{60};
inline constexpr std::uint32_t new_peer_weight = 3;
/// An unchoked peer that wants more is not choked earlier than this, except by the loss of a slot. Source: BEP 3
/// warns of fibrillation.
inline constexpr auto slot_kept_for = std::chrono::seconds{10};
/// Half of the slots that a peer left unused are forgotten after so long: it may have had nothing to ask for.
inline constexpr auto idle_forgotten_after = std::chrono::seconds{60};

/// Peers served at once, if the upload feeds so many. As long as `uplink` sends whole runs, more peers hardly slow a
/// piece down, and fewer leave some waiting that then finish last. See docs/scheduling.md.
inline constexpr std::size_t slots_max = 16;
/// Even the slowest uplink serves a few, so that one peer that reads slowly does not idle it.
inline constexpr std::size_t slots_min = 4;
/// Upload limit that makes one slot more: a block a second.
inline constexpr std::uint64_t slot_rate = block_length;

/// How many peers to serve at once with so many bytes a second (0 = unlimited). See docs/scheduling.md.
std::size_t slots_for(std::uint64_t upload_limit) noexcept;

/// Rounds of choking for one torrent.
class choker {
public:
    explicit choker(choker_settings settings);

    /// Somebody became interested or stopped being so, came or went: a round is due within `round_gap`.
    void changed(time_point now);
    /// When to hold the next round.
    time_point deadline() const noexcept { return deadline_; }
    /// Whom to unchoke, best first; all others are to be choked. At most as many as there are slots.
    ///
    /// While leeching: the peers that give most, and one chosen at random for `optimistic_every`. When `seeding`: the
    /// peers that got least; those of one network count as one peer, as long as others wait (class C14). `upload_limit`
    /// is in bytes a second, 0 for none. Sets `deadline()`.
    std::vector<std::uint32_t> round(std::span<candidate const> candidates, bool seeding, std::uint64_t upload_limit,
                                     time_point now);

private:
    std::uint64_t random() noexcept;
    std::size_t choose_optimistic(std::span<candidate const> waiting, time_point now) noexcept;

    choker_settings settings_;
    std::uint64_t random_state_;
    time_point deadline_{};  // the first round is due at once
    time_point last_round_{};
    bool has_optimistic_ = false;
    std::uint32_t optimistic_id_ = 0;
    time_point optimistic_since_{};
};
}  // namespace shoal::choker
