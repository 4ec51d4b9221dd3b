module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

module shoal.picker;

namespace shoal::picker {
piece_progress::piece_progress(std::uint32_t piece, std::uint32_t block_count)
    : piece_(piece), free_count_(block_count), blocks_(block_count) {}

bool piece_progress::is_asked(std::uint32_t block, peer_slot peer) const noexcept {
    return std::ranges::find(askers(block), peer) != askers(block).end();
}

std::uint32_t piece_progress::ask_next(peer_slot peer) noexcept {
    while (blocks_[first_free_].asker_count != 0 || blocks_[first_free_].is_received) ++first_free_;
    ask(first_free_, peer);
    return first_free_;
}

void piece_progress::ask(std::uint32_t block, peer_slot peer) noexcept {
    auto& state = blocks_[block];
    if (state.asker_count == 0) --free_count_;
    state.askers[state.asker_count++] = peer;
    ++asked_count_;
}

bool piece_progress::give_back(std::uint32_t block, peer_slot peer) noexcept {
    auto& state = blocks_[block];
    for (std::size_t i = 0; i < state.asker_count; ++i) {
        if (state.askers[i] != peer) continue;
        drop_asker(state, i);
        if (state.asker_count == 0) {
            ++free_count_;
            first_free_ = std::min(first_free_, block);
        }
        return true;
    }
    return false;
}

void piece_progress::receive(std::uint32_t block, peer_slot peer, std::vector<peer_slot>& also_asked) {
    for (auto const asker : askers(block)) {
        if (asker != peer) also_asked.push_back(asker);
    }
    auto& state = blocks_[block];
    if (state.asker_count == 0) --free_count_;
    asked_count_ -= state.asker_count;
    state = {.is_received = true};
    ++received_count_;
}

std::uint32_t piece_progress::give_back_all(peer_slot peer) noexcept {
    std::uint32_t given_back = 0;
    for (std::uint32_t block = 0; block < block_count(); ++block)
        if (give_back(block, peer)) ++given_back;
    return given_back;
}

void piece_progress::drop_asker(block_state& block, std::size_t at) noexcept {
    block.askers[at] = block.askers[block.asker_count - 1];
    --block.asker_count;
    --asked_count_;
}
}  // namespace shoal::picker
