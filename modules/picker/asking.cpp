module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

module shoal.picker;

namespace shoal::picker {
void picker::pick(peer_slot peer, std::size_t blocks_max, bool fast, std::vector<block_ref>& out) {
    auto* const state = find(peer);
    if (state == nullptr) return;
    while (blocks_max > 0 && is_interesting(peer)) {
        auto const piece = choose_piece(peer, *state, fast);
        if (piece == none) break;
        blocks_max -= take_free(peer, *state, piece, blocks_max, out);
    }
    // Whoever does not answer would take up the places of those who do, of each block and for ever.
    if (blocks_max > 0 && !reserved_only_ && !state->is_snubbed && is_interesting(peer) && is_end_game())
        take_copies(peer, *state, blocks_max, out);
}

std::uint32_t picker::choose_piece(peer_slot peer, peer_state const& state, bool fast) {
    if (auto const reserved = choose_reserved(peer, state); reserved != none || reserved_only_) return reserved;
    if (auto const urgent = choose_by_deadline(peer, state); urgent != none) return urgent;
    if (state.current != none) {
        auto const& begun = *progress_of(state.current);
        if (may_give(begun, peer, state)) return state.current;
    }
    if (settings_.policy == order::sequential) {
        return std::min(choose_first_open(peer, state), choose_first_fresh(state));
    }
    if (auto const left = choose_open(peer, state, false); left != none) return left;
    auto const fresh = choose_fresh(state);
    if (fast && fresh != none) return fresh;
    auto const shared = choose_open(peer, state, true);
    if (shared == none || fresh == none) return std::min(shared, fresh);
    return fresh_.availability(shared) <= fresh_.availability(fresh) ? shared : fresh;
}

/// Whether it has the piece, and is to be trusted with it.
bool picker::may_ask(std::uint32_t piece, peer_state const& state) const noexcept {
    if (!peer_has_piece(state, piece)) return false;
    if (!state.is_snubbed || !failed_.test(piece_index{piece})) return true;
    return std::ranges::none_of(
        peers_, [&](auto const& other) { return other.is_known && !other.is_snubbed && peer_has_piece(other, piece); });
}

bool picker::may_give(piece_progress const& begun, peer_slot peer, peer_state const& state) const noexcept {
    if (begun.open_at == none || (begun.sole != no_peer && begun.sole != peer)) return false;
    auto const holder = reserved_for(begun.piece());
    return holder == no_peer ? may_ask(begun.piece(), state) : holder == peer && peer_has_piece(state, begun.piece());
}

std::uint32_t picker::choose_reserved(peer_slot peer, peer_state const& state) const noexcept {
    for (auto const& [piece, holder] : reserved_) {
        if (holder != peer || !is_missing(piece)) continue;
        auto const* const begun = progress_of(piece);
        if (begun != nullptr ? may_give(*begun, peer, state) : peer_has_piece(state, piece)) return piece;
    }
    return none;
}

std::uint32_t picker::choose_by_deadline(peer_slot peer, peer_state const& state) const noexcept {
    for (auto const& [at, piece] : deadlines_) {
        auto const* const begun = progress_of(piece);
        if (begun != nullptr ? may_give(*begun, peer, state) : fresh_.is_listed(piece) && may_ask(piece, state))
            return piece;
    }
    return none;
}

std::uint32_t picker::choose_open(peer_slot peer, peer_state const& state, bool shared) const noexcept {
    auto best = none;
    auto fewest = std::numeric_limits<std::uint32_t>::max();
    for (auto const piece : open_) {
        auto const& begun = *progress_of(piece);
        if ((!shared && begun.peers_at_it > 0) || begun.free_count() >= fewest || !may_give(begun, peer, state))
            continue;
        best = piece;
        fewest = begun.free_count();
    }
    return best;
}

std::uint32_t picker::choose_first_open(peer_slot peer, peer_state const& state) const noexcept {
    auto best = none;
    for (auto const piece : open_) {
        if (piece < best && may_give(*progress_of(piece), peer, state)) best = piece;
    }
    return best;
}

std::uint32_t picker::choose_first_fresh(peer_state const& state) const noexcept {
    auto const fresh = fresh_.words();
    for (std::uint32_t i = 0; i < fresh.size(); ++i) {
        for (auto both = state.is_seed ? fresh[i] : fresh[i] & state.has[i]; both != 0; both &= both - 1) {
            auto const piece = i * 64 + static_cast<std::uint32_t>(std::countr_zero(both));
            if (may_ask(piece, state)) return piece;
        }
    }
    return none;
}

std::uint32_t picker::choose_fresh(peer_state const& state) {
    auto const pieces = fresh_.rarest_first();
    // what no peer but seeds has is first in the order, and no business of a peer that is no seed
    std::size_t const from = state.is_seed ? 0 : fresh_.unavailable_count();
    auto const to = std::min(pieces.size(), from + exact_scan_max);
    for (auto i = from; i < to; ++i) {
        if (may_ask(pieces[i], state)) return pieces[i];
    }
    return to == pieces.size() ? none : sample_fresh(state);
}

std::uint32_t picker::sample_fresh(peer_state const& state) {
    auto const fresh = fresh_.words();
    auto const word_count = static_cast<std::uint32_t>(fresh.size());
    auto best = none;
    std::size_t seen = 0;
    auto at = random_.below(word_count);
    for (std::uint32_t i = 0; i < word_count && seen < sample_size; ++i) {
        for (auto both = state.is_seed ? fresh[at] : fresh[at] & state.has[at]; both != 0; both &= both - 1) {
            auto const piece = at * 64 + static_cast<std::uint32_t>(std::countr_zero(both));
            ++seen;
            if (!may_ask(piece, state)) continue;
            if (best == none || fresh_.availability(piece) < fresh_.availability(best)) best = piece;
        }
        if (++at == word_count) at = 0;
    }
    return best;
}

std::size_t picker::take_free(peer_slot peer, peer_state& state, std::uint32_t piece, std::size_t blocks_max,
                              std::vector<block_ref>& out) {
    auto& begun = progress_of(piece) != nullptr ? *progress_of(piece) : begin_piece(piece);
    if (failed_.test(piece_index{piece})) begun.sole = peer;
    if (state.current != piece) {
        leave_current(state);
        state.current = piece;
        ++begun.peers_at_it;
    }
    auto const count = std::min<std::size_t>(blocks_max, begun.free_count());
    for (std::size_t i = 0; i < count; ++i) out.push_back(block_at(piece, begun.ask_next(peer)));
    state.outstanding += static_cast<std::uint32_t>(count);
    refresh_open(piece);
    return count;
}

bool picker::is_end_game() const noexcept {
    if (missing_count_ == 0) return false;
    if (fresh_.rarest_first().size() > (seed_count_ > 0 ? 0 : fresh_.unavailable_count())) return false;
    // Free blocks of a piece that one peer has to itself are as good as asked for.
    return std::ranges::none_of(open_, [this](auto piece) {
        return progress_of(piece)->sole == no_peer && seed_count_ + fresh_.availability(piece) > 0;
    });
}

void picker::take_copies(peer_slot peer, peer_state& state, std::size_t blocks_max, std::vector<block_ref>& out) {
    if (progress_.empty()) return;
    auto const first = random_.below(static_cast<std::uint32_t>(progress_.size()));
    for (std::size_t copies = 1; copies < end_game_copies; ++copies) {
        for (std::size_t i = 0; i < progress_.size(); ++i) {
            auto& begun = progress_[(first + i) % progress_.size()];
            if (begun.asked_count() == 0 || !is_missing(begun.piece()) || !peer_has_piece(state, begun.piece()) ||
                reserved_for(begun.piece()) != no_peer)
                continue;
            if (begun.sole != no_peer && begun.open_at != none) continue;  // that peer is to be asked for more of it
            for (std::uint32_t block = 0; block < begun.block_count(); ++block) {
                if (begun.askers(block).size() != copies || begun.is_asked(block, peer)) continue;
                begun.ask(block, peer);
                ++state.outstanding;
                out.push_back(block_at(begun.piece(), block));
                if (--blocks_max == 0) return;
            }
        }
    }
}
}  // namespace shoal::picker
