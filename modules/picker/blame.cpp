module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/canary.hpp"

module shoal.picker;

namespace shoal::picker {
namespace {
__extension__ typedef unsigned __int128 wide;
}  // namespace

block_prints::block_prints(secret words) : secret_(std::move(words)) {
    secret_.resize(secret_size);
}

block_print block_prints::of(byte_view block) const noexcept {
    constexpr std::size_t step = 2 * sizeof(std::uint64_t);
    auto const* key = secret_.data();
    wide sum = 0;
    auto const add = [&](std::byte const* from, std::size_t count) {
        std::array<std::uint64_t, 2> words{};
        std::memcpy(words.data(), from, count);
        sum += static_cast<wide>(words[0] + key[0]) * (words[1] + key[1]);
        key += words.size();
    };
    auto const size = std::min<std::size_t>(block.size(), block_length);
    auto const whole = size - size % step;  // copies of a known size: five times as fast
    for (std::size_t at = 0; at < whole; at += step) add(block.data() + at, step);
    if (whole < size) add(block.data() + whole, size - whole);
    return {static_cast<std::uint64_t>(sum >> 64U), static_cast<std::uint64_t>(sum)};
}

std::optional<sender> blame::failed(piece_index piece, std::span<received_block const> blocks) {
    if (blocks.empty()) return std::nullopt;
    auto const& first = blocks.front().by;
    if (std::ranges::all_of(blocks, [&](auto const& each) { return each.by == first; })) return first;
    if (is_planted("blame_forgotten")) return std::nullopt;
    failures_.push_back({piece, {blocks.begin(), blocks.end()}});
    block_count_ += blocks.size();
    while (block_count_ > blamed_blocks_max) {
        block_count_ -= failures_.front().blocks.size();
        failures_.erase(failures_.begin());
    }
    return std::nullopt;
}

std::vector<sender> blame::passed(piece_index piece, std::span<received_block const> blocks) {
    std::vector<sender> culprits;
    for (auto const& failure : failures_) {
        if (failure.piece != piece) continue;
        for (std::size_t i = 0; i < std::min(blocks.size(), failure.blocks.size()); ++i) {
            auto const& sent = failure.blocks[i];
            bool const is_known = sent.print != block_print{} && blocks[i].print != block_print{};
            bool const differs = (is_known && sent.print != blocks[i].print) || is_planted("all_contributors_banned");
            if (differs && std::ranges::find(culprits, sent.by) == culprits.end()) culprits.push_back(sent.by);
        }
        block_count_ -= failure.blocks.size();
    }
    std::erase_if(failures_, [piece](auto const& each) { return each.piece == piece; });
    return culprits;
}

bool blame::remembers(piece_index piece) const noexcept {
    return std::ranges::any_of(failures_, [piece](auto const& each) { return each.piece == piece; });
}
}  // namespace shoal::picker
