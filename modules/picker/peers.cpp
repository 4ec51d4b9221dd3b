module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "core/canary.hpp"

module shoal.picker;

namespace shoal::picker {
namespace {
/// Calls `visit` with the number of each set bit.
template <class Visit>
void for_each_bit(std::vector<std::uint64_t> const& words, Visit visit) {
    for (std::uint32_t i = 0; i < words.size(); ++i) {
        for (auto word = words[i]; word != 0; word &= word - 1) {
            visit(i * 64 + static_cast<std::uint32_t>(std::countr_zero(word)));
        }
    }
}
}  // namespace

picker::peer_state* picker::find(peer_slot peer) noexcept {
    auto const number = to_number(peer);
    return number < peers_.size() && peers_[number].is_known ? &peers_[number] : nullptr;
}

picker::peer_state const* picker::find(peer_slot peer) const noexcept {
    auto const number = to_number(peer);
    return number < peers_.size() && peers_[number].is_known ? &peers_[number] : nullptr;
}

bool picker::peer_has_piece(peer_state const& peer, std::uint32_t piece) const noexcept {
    return peer.is_seed || (!peer.has.empty() && ((peer.has[piece / 64] >> (piece % 64)) & 1U) != 0);
}

void picker::add_peer(peer_slot peer) {
    auto const number = to_number(peer);
    if (number >= peers_max) return;
    remove_peer(peer);
    if (number >= peers_.size()) peers_.resize(number + 1);
    peers_[number].is_known = true;
}

void picker::remove_peer(peer_slot peer) {
    auto* const state = find(peer);
    if (state == nullptr) return;
    leave_current(*state);
    // pieces that turn out untouched leave progress_, the last one takes their place
    for (std::size_t i = progress_.size(); i-- > 0;) {
        auto const piece = progress_[i].piece();
        auto const given_back = is_planted("leaver_keeps_requests") ? 0 : progress_[i].give_back_all(peer);
        if (progress_[i].sole == peer || progress_[i].asked_count() == 0) progress_[i].sole = no_peer;
        if (given_back == 0) continue;
        state->outstanding -= given_back;
        refresh_open(piece);
        drop_if_untouched(piece);
    }
    while (true) {
        auto const held = std::ranges::find(reserved_, peer, &std::pair<std::uint32_t, peer_slot>::second);
        if (held == reserved_.end()) break;
        release(piece_index{held->first});
    }
    forget_pieces(*state);
    if (state->is_uploaded_known) {
        uploaded_sum_ -= state->uploaded;
        --uploaded_known_;
    }
    *state = {};
}

void picker::peer_has(peer_slot peer, piece_index index) {
    auto* const state = find(peer);
    auto const piece = to_number(index);
    if (state == nullptr || piece >= piece_count_ || peer_has_piece(*state, piece)) return;
    if (state->has.empty()) state->has.resize((piece_count_ + 63) / 64);
    fresh_.increase(piece);
    state->has[piece / 64] |= std::uint64_t{1} << (piece % 64);
    ++state->has_count;
    if (is_missing(piece)) ++state->missing_count;
    if (state->has_count == piece_count_ && !state->has_lost) become_seed(*state);
}

void picker::peer_has(peer_slot peer, bitfield const& pieces) {
    auto* const state = find(peer);
    if (state == nullptr || pieces.size() != piece_count_) return;
    forget_pieces(*state);
    if (pieces.all() && !state->has_lost) return become_seed(*state);
    for (auto index = pieces.next_set(0); index; index = pieces.next_set(to_number(*index) + 1)) {
        peer_has(peer, *index);
    }
}

void picker::peer_lost(peer_slot peer, piece_index index) {
    auto* const state = find(peer);
    auto const piece = to_number(index);
    if (state == nullptr || piece >= piece_count_ || !peer_has_piece(*state, piece)) return;
    state->has_lost = true;
    if (state->is_seed) {
        state->is_seed = false;
        --seed_count_;
        state->has.assign((piece_count_ + 63) / 64, ~std::uint64_t{0});
        if (piece_count_ % 64 != 0) state->has.back() = (std::uint64_t{1} << (piece_count_ % 64)) - 1;
        state->missing_count = missing_count_;
        for_each_bit(state->has, [this](std::uint32_t has) { fresh_.increase(has); });
    }
    state->has[piece / 64] &= ~(std::uint64_t{1} << (piece % 64));
    --state->has_count;
    if (is_missing(piece)) --state->missing_count;
    fresh_.decrease(piece);
}

void picker::become_seed(peer_state& peer) {
    for_each_bit(peer.has, [this](std::uint32_t has) { fresh_.decrease(has); });
    peer.has = {};
    peer.has_count = piece_count_;
    peer.missing_count = 0;
    peer.is_seed = true;
    ++seed_count_;
}

void picker::forget_pieces(peer_state& peer) {
    if (peer.is_seed) {
        peer.is_seed = false;
        --seed_count_;
    }
    for_each_bit(peer.has, [this](std::uint32_t has) { fresh_.decrease(has); });
    peer.has = {};
    peer.has_count = 0;
    peer.missing_count = 0;
}

bool picker::has(peer_slot peer, piece_index piece) const noexcept {
    auto const* const state = find(peer);
    return state != nullptr && to_number(piece) < piece_count_ && peer_has_piece(*state, to_number(piece));
}

bool picker::is_seed(peer_slot peer) const noexcept {
    auto const* const state = find(peer);
    return state != nullptr && state->has_count == piece_count_;
}

bool picker::is_interesting(peer_slot peer) const noexcept {
    auto const* const state = find(peer);
    return state != nullptr && (state->is_seed ? missing_count_ : state->missing_count) != 0;
}

void picker::set_snubbed(peer_slot peer, bool is_snubbed) noexcept {
    if (auto* const state = find(peer)) state->is_snubbed = is_snubbed;
}

void picker::set_uploaded(peer_slot peer, std::uint64_t bytes) {
    auto* const state = find(peer);
    if (state == nullptr) return;
    if (!state->is_uploaded_known) ++uploaded_known_;
    state->is_uploaded_known = true;
    uploaded_sum_ -= state->uploaded;
    state->uploaded = std::min(bytes, uploaded_max);
    uploaded_sum_ += state->uploaded;
}

std::uint64_t picker::upload_key(peer_slot peer) const noexcept {
    auto const* const state = find(peer);
    if (state == nullptr) return std::numeric_limits<std::uint64_t>::max();
    auto const mean = uploaded_known_ == 0 ? 0 : uploaded_sum_ / uploaded_known_;
    return (state->is_uploaded_known ? state->uploaded : mean) + std::uint64_t{state->outstanding} * block_length;
}

bool picker::serve_before(peer_slot a, peer_slot b) const noexcept {
    return upload_key(a) < upload_key(b);
}
}  // namespace shoal::picker
