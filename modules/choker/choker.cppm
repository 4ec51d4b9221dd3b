/// Whom to serve, and how fast: tit for tat, optimistic unchoke, the order of a seed, rate budgets.
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

export module shoal.choker;
export import :budget;  // bytes a second
export import :uplink;  // whose blocks go out next
import shoal.core;      // time_point

export namespace shoal::choker {
/// A connected peer, as it stands when a round is held.
struct candidate {
    std::uint32_t id = 0;              ///< The caller's number for it; the picker's slot will do.
    bool is_interested = false;        ///< It wants something of us. Others are not served.
    bool is_upload_only = false;       ///< A seed, or it says so: it has no use for us (BEP 21).
    bool is_unchoked = false;          ///< As things stand.
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
    /// peers that got least. `upload_limit` is in bytes a second, 0 for none. Sets `deadline()`.
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
