module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

module shoal.picker;

namespace shoal::picker {
picker::arrival picker::received(peer_slot peer, block_ref block, std::vector<peer_slot>& also_asked) {
    auto* const state = find(peer);
    if (state == nullptr || !is_outstanding(peer, block)) return {};
    auto& begun = *progress_of(to_number(block.piece));
    auto const told_before = also_asked.size();
    begun.receive(block.begin / block_length, peer, also_asked);
    settle(*state, begun);
    for (auto i = told_before; i < also_asked.size(); ++i) settle(*find(also_asked[i]), begun);
    return {.wanted = true, .piece_complete = begun.is_complete()};
}

void picker::returned(peer_slot peer, block_ref block) {
    auto* const state = find(peer);
    if (state == nullptr || !is_outstanding(peer, block)) return;
    auto const piece = to_number(block.piece);
    auto& begun = *progress_of(piece);
    begun.give_back(block.begin / block_length, peer);
    settle(*state, begun);
    refresh_open(piece);
    drop_if_untouched(piece);
}

void picker::settle(peer_state& state, piece_progress& begun) noexcept {
    if (--state.outstanding == 0) leave_current(state);
    if (begun.asked_count() == 0) begun.sole = no_peer;
}

void picker::leave_current(peer_state& state) noexcept {
    if (state.current == none) return;
    --progress_of(state.current)->peers_at_it;
    state.current = none;
}

std::size_t picker::outstanding(peer_slot peer) const noexcept {
    auto const* const state = find(peer);
    return state == nullptr ? 0 : state->outstanding;
}

bool picker::is_outstanding(peer_slot peer, block_ref block) const noexcept {
    auto const piece = to_number(block.piece);
    if (piece >= piece_count_ || block.begin % block_length != 0) return false;
    auto const* const begun = progress_of(piece);
    auto const number = block.begin / block_length;
    return begun != nullptr && number < begun->block_count() && block == block_at(piece, number) &&
           begun->is_asked(number, peer);
}

block_ref picker::block_at(std::uint32_t piece, std::uint32_t block) const noexcept {
    auto const begin = block * block_length;
    return {piece_index{piece}, begin, std::min(block_length, piece_size(piece_index{piece}) - begin)};
}
}  // namespace shoal::picker
