module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
void outbox::add(byte_view message) {
    while (!message.empty()) {
        auto const room_at = static_cast<std::size_t>(end_ % chunk_size);
        // A new chunk at each border, and for the first byte after all was sent.
        if (room_at == 0 || chunks_.empty()) add_chunk();
        auto const count = std::min(message.size(), chunk_size - room_at);
        std::memcpy(chunks_.back()->data() + room_at, message.data(), count);
        end_ += count;
        message = message.subspan(count);
    }
}

void outbox::add_chunk() {
    spare_.reserve(spare_max);  // `sent` takes no memory
    std::unique_ptr<chunk> next;
    if (spare_.empty()) {
        next = std::make_unique<chunk>();
    } else {
        next = std::move(spare_.back());
        spare_.pop_back();
    }
    chunks_.push(std::move(next));
}

void outbox::add_block(byte_view data) {
    blocks_.push({.after = end_, .data = data});
    block_bytes_ += data.size();
}

std::size_t outbox::runs(std::span<byte_view> out) const {
    std::size_t used = 0;
    std::size_t next_block = 0;
    std::uint64_t at = begin_;
    auto const chunks_start = begin_ - begin_ % chunk_size;
    while (used < out.size()) {
        if (next_block < blocks_.size() && blocks_[next_block].after == at) {
            out[used++] = blocks_[next_block++].data;
            continue;
        }
        if (at == end_) break;
        auto const chunk_end = at - at % chunk_size + chunk_size;
        auto const stop = std::min({end_, chunk_end, next_block < blocks_.size() ? blocks_[next_block].after : end_});
        auto const& in = *chunks_[static_cast<std::size_t>((at - chunks_start) / chunk_size)];
        out[used++] = byte_view{in}.subspan(at % chunk_size, stop - at);
        at = stop;
    }
    return used;
}

std::size_t outbox::sent(std::size_t count) {
    std::size_t of_blocks = 0;
    while (count > 0) {
        if (!blocks_.empty() && blocks_.front().after == begin_) {
            auto& data = blocks_.front().data;
            auto const part = std::min(count, data.size());
            data = data.subspan(part);
            of_blocks += part;
            count -= part;
            block_bytes_ -= part;
            if (data.empty()) {
                blocks_.pop();
                ++blocks_sent_;
            }
            continue;
        }
        auto const chunk_end = begin_ - begin_ % chunk_size + chunk_size;
        auto const stop = std::min({end_, chunk_end, blocks_.empty() ? end_ : blocks_.front().after});
        if (stop == begin_) break;  // more than there was: the caller's mistake
        auto const part = std::min<std::uint64_t>(count, stop - begin_);
        begin_ += part;
        count -= static_cast<std::size_t>(part);
        if (begin_ != chunk_end) continue;
        auto used = chunks_.pop();
        if (spare_.size() < spare_max) spare_.push_back(std::move(used));
    }
    return of_blocks;
}
}  // namespace shoal::wire
