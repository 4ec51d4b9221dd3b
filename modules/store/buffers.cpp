module;
#include <sanitizer/asan_interface.h>

#include <cstddef>
#include <new>
#include <utility>

#include "core/canary.hpp"

module shoal.store;
import shoal.core;

namespace shoal::store {
namespace {
// A page, so that the kernel copies whole pages and direct I/O would be possible.
constexpr std::align_val_t alignment{4096};
}  // namespace

void block_buffer::release::operator()(std::byte* memory) const noexcept {
    ASAN_UNPOISON_MEMORY_REGION(memory, block_length);
    ::operator delete(memory, alignment);
}

block_pool::block_pool(std::size_t budget) noexcept : lent_max_(budget / block_length) {}

block_buffer block_pool::take() {
    if (lent_ == lent_max_) return {};
    if (free_.capacity() <= lent_) free_.reserve(2 * lent_ + 1);  // so that give() cannot fail
    block_buffer taken;
    if (free_.empty()) {
        taken.memory_.reset(static_cast<std::byte*>(::operator new(block_length, alignment)));
    } else {
        taken = std::move(free_.back());
        free_.pop_back();
        ASAN_UNPOISON_MEMORY_REGION(taken.bytes().data(), block_length);
    }
    ++lent_;
    return taken;
}

void block_pool::give(block_buffer buffer) noexcept {
    if (!buffer) return;
    if (is_planted("buffer_not_given_back")) return void(new block_buffer(std::move(buffer)));
    ASAN_POISON_MEMORY_REGION(buffer.bytes().data(), block_length);  // nobody may write to it until it is lent again
    free_.push_back(std::move(buffer));
    --lent_;
}
}  // namespace shoal::store
