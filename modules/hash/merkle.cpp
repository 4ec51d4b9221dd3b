module;
#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

module shoal.hash;

namespace shoal::hash {
namespace {
/// The width to pad to: `asked`, or the least power of two that holds `count`.
std::uint64_t padded_width(std::uint64_t asked, std::uint64_t count) {
    assert(asked == 0 || (std::has_single_bit(asked) && asked >= count));
    return asked != 0 ? asked : std::bit_ceil(count);
}
}  // namespace

sha256_digest parent_of(sha256_digest const& left, sha256_digest const& right) {
    std::array<std::byte, 2 * sha256_digest::size()> both;
    std::ranges::copy(right.bytes, std::ranges::copy(left.bytes, both.begin()).out);
    return sha256_of(both);
}

sha256_digest const& pad_hash(std::size_t height) {
    static auto const pads = [] {
        std::array<sha256_digest, height_max + 1> made{};
        for (std::size_t h = 1; h < made.size(); ++h) made[h] = parent_of(made[h - 1], made[h - 1]);
        return made;
    }();
    assert(height < pads.size());
    return pads[height];
}

sha256_digest merkle_root(std::span<sha256_digest const> nodes, std::size_t height, std::uint64_t width) {
    if (nodes.empty() && width == 0) return {};
    width = padded_width(width, nodes.size());
    if (nodes.empty()) return pad_hash(height + static_cast<std::size_t>(std::countr_zero(width)));
    std::vector<sha256_digest> layer(nodes.begin(), nodes.end());
    for (; width > 1; width /= 2, ++height) {
        if (layer.size() % 2 != 0) layer.push_back(pad_hash(height));
        for (std::size_t i = 0; i < layer.size() / 2; ++i) layer[i] = parent_of(layer[2 * i], layer[2 * i + 1]);
        layer.resize(layer.size() / 2);
    }
    return layer.front();
}

void merkle_hasher::update(byte_view bytes) {
    while (!bytes.empty()) {
        auto const part = bytes.first(std::min<std::size_t>(bytes.size(), block_length - filled_));
        block_.update(part);
        bytes = bytes.subspan(part.size());
        filled_ += static_cast<std::uint32_t>(part.size());
        if (filled_ == block_length) add_leaf(block_.finish());
    }
}

sha256_digest merkle_hasher::finish(std::uint64_t width) {
    if (filled_ != 0) add_leaf(block_.finish());
    if (leaves_ == 0 && width == 0) return {};
    auto const top = static_cast<std::size_t>(std::countr_zero(padded_width(width, leaves_)));
    sha256_digest node = pad_hash(0);  // the right edge: what is beyond the last leaf at this height
    for (std::size_t height = 0; height < top; ++height)
        node = (leaves_ >> height & 1) != 0 ? parent_of(pending_[height], node) : parent_of(node, pad_hash(height));
    if ((leaves_ >> top & 1) != 0) node = pending_[top];
    restart();
    return node;
}

void merkle_hasher::restart() {
    block_.restart();
    filled_ = 0;
    leaves_ = 0;
}

void merkle_hasher::add_leaf(sha256_digest leaf) {
    std::size_t height = 0;
    for (; (leaves_ >> height & 1) != 0; ++height) leaf = parent_of(pending_[height], leaf);
    pending_[height] = leaf;
    ++leaves_;
    filled_ = 0;
}
}  // namespace shoal::hash
