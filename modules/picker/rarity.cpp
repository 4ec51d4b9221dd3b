module;
#include <cstdint>
#include <utility>
#include <vector>

module shoal.picker;

namespace shoal::picker {
rarity_order::rarity_order(std::uint32_t piece_count, std::uint64_t seed)
    : random_(seed), availability_(piece_count), position_(piece_count), ends_(1), listed_((piece_count + 63) / 64) {}

void rarity_order::increase(std::uint32_t piece) {
    auto const bucket = availability_[piece];
    if (ends_.size() <= bucket + 1) ends_.resize(bucket + 2, static_cast<std::uint32_t>(order_.size()));
    ++availability_[piece];
    if (!is_listed(piece)) return;
    auto const border = --ends_[bucket];
    swap(position_[piece], border);
    shuffle_in(border, bucket + 1);
}

void rarity_order::decrease(std::uint32_t piece) {
    auto const bucket = availability_[piece]--;
    if (!is_listed(piece)) return;
    auto const border = ends_[bucket - 1]++;
    swap(position_[piece], border);
    shuffle_in(border, bucket - 1);
}

void rarity_order::list(std::uint32_t piece) {
    if (is_listed(piece)) return;
    auto const bucket = availability_[piece];
    auto hole = static_cast<std::uint32_t>(order_.size());
    order_.push_back(piece);
    // each bucket above makes room by moving its first piece behind its last
    for (auto above = static_cast<std::uint32_t>(ends_.size()) - 1; above > bucket; --above) {
        auto const first = ends_[above - 1];
        if (first != ends_[above]) {
            put(hole, order_[first]);
            hole = first;
        }
        ++ends_[above];
    }
    put(hole, piece);
    ++ends_[bucket];
    listed_[piece / 64] |= std::uint64_t{1} << (piece % 64);
    shuffle_in(hole, bucket);
}

void rarity_order::unlist(std::uint32_t piece) {
    if (!is_listed(piece)) return;
    auto hole = position_[piece];
    for (auto bucket = availability_[piece]; bucket < ends_.size(); ++bucket) {
        auto const last = --ends_[bucket];
        if (last != hole && last >= bucket_begin(bucket)) put(hole, order_[last]);
        hole = last;
    }
    order_.pop_back();
    listed_[piece / 64] &= ~(std::uint64_t{1} << (piece % 64));
}

void rarity_order::put(std::uint32_t at, std::uint32_t piece) noexcept {
    order_[at] = piece;
    position_[piece] = at;
}

void rarity_order::swap(std::uint32_t a, std::uint32_t b) noexcept {
    auto const piece = order_[a];
    put(a, order_[b]);
    put(b, piece);
}

void rarity_order::shuffle_in(std::uint32_t at, std::uint32_t bucket) noexcept {
    auto const begin = bucket_begin(bucket);
    swap(at, begin + random_.below(ends_[bucket] - begin));
}
}  // namespace shoal::picker
