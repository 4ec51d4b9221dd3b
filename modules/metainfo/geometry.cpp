module;
#include <algorithm>
#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

module shoal.metainfo;
import shoal.core;

namespace shoal::metainfo {
geometry::geometry(std::uint64_t total_size, std::uint32_t piece_length) noexcept
    : total_size_(total_size), piece_length_(piece_length) {
    assert(piece_length > 0);
    auto const count = total_size / piece_length + (total_size % piece_length != 0);
    assert(count <= 0xffffffff);
    piece_count_ = static_cast<std::uint32_t>(count);
}

std::uint32_t geometry::piece_size(piece_index piece) const noexcept {
    assert(to_number(piece) < piece_count_);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(piece_length_, total_size_ - offset_of(piece)));
}

std::uint32_t geometry::block_count(piece_index piece) const noexcept {
    auto const size = piece_size(piece);
    return size / block_length + (size % block_length != 0);
}

std::uint64_t geometry::offset_of(piece_index piece) const noexcept {
    return std::uint64_t{to_number(piece)} * piece_length_;
}
std::uint64_t geometry::offset_of(block_ref block) const noexcept {
    return offset_of(block.piece) + block.begin;
}

std::optional<piece_index> geometry::piece(std::uint64_t number) const noexcept {
    if (number >= piece_count_) return std::nullopt;
    return static_cast<piece_index>(number);
}

std::optional<block_ref> geometry::block(std::uint32_t number, std::uint32_t begin,
                                         std::uint32_t length) const noexcept {
    auto const index = piece(number);
    if (!index || length == 0 || std::uint64_t{begin} + length > piece_size(*index)) return std::nullopt;
    return block_ref{*index, begin, length};
}

block_ref geometry::block_at(piece_index piece, std::uint32_t n) const noexcept {
    assert(n < block_count(piece));
    auto const begin = n * block_length;
    return {piece, begin, std::min(block_length, piece_size(piece) - begin)};
}

std::string file::joined() const {
    std::string all;
    for (auto const& element : path) {
        if (!all.empty()) all += '/';
        all += element;
    }
    return all;
}

layout::layout(std::uint32_t piece_length, std::vector<file> files) : files_(std::move(files)) {
    std::uint64_t end = 0;
    for (auto& each : files_) {
        each.offset = end;
        end += each.size;
    }
    geometry_ = metainfo::geometry{end, piece_length};
}

std::vector<file_range> layout::ranges(std::uint64_t offset, std::uint64_t length) const {
    std::vector<file_range> found;
    for_each_range(offset, length, [&](file_range range) { found.push_back(range); });
    return found;
}

std::uint64_t layout::content_size() const noexcept {
    std::uint64_t size = 0;
    for (auto const& each : files_)
        if (!each.pad) size += each.size;
    return size;
}

std::vector<std::uint32_t> layout::padding() const {
    std::vector<std::uint32_t> found;
    for (auto const& each : files_) {
        auto const end = each.offset + each.size;
        bool const ends_piece = end == geometry_.total_size() || end % geometry_.piece_length() == 0;
        if (!each.pad || each.size == 0 || !ends_piece) continue;
        piece_index const piece{static_cast<std::uint32_t>((end - 1) / geometry_.piece_length())};
        if (each.size >= geometry_.piece_size(piece)) continue;  // a piece of nothing else
        found.resize(geometry_.piece_count());
        found[to_number(piece)] = static_cast<std::uint32_t>(each.size);
    }
    return found;
}

piece_span layout::pieces_of(std::uint32_t index) const noexcept {
    auto const& of = files_[index];
    if (of.size == 0) return {};
    auto const first = of.offset / geometry_.piece_length();
    auto const last = (of.offset + of.size - 1) / geometry_.piece_length();
    return {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last - first + 1)};
}

std::uint32_t layout::file_at(std::uint64_t offset) const noexcept {
    assert(offset <= geometry_.total_size());
    // The last file that starts at or before the byte; empty files before it at the same offset do not hold it.
    auto const after = std::upper_bound(files_.begin(), files_.end(), offset,
                                        [](std::uint64_t at, file const& each) { return at < each.offset; });
    return static_cast<std::uint32_t>(std::max<std::ptrdiff_t>(after - files_.begin() - 1, 0));
}
}  // namespace shoal::metainfo
