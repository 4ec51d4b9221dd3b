module;
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

#include "core/canary.hpp"

module shoal.store;
import shoal.core;

namespace shoal::store {
namespace {
constexpr std::size_t page_size = 4096;
/// What the kernel maps as one page: most page faults of a short transfer were for these buffers.
constexpr std::size_t huge_page_size = 2u << 20;
constexpr std::size_t first_slab_size = 4 * block_length;
}  // namespace

void block_pool::slab_release::operator()(std::byte* memory) const noexcept {
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
    ::operator delete(memory, alignment);
}

block_pool::block_pool(std::size_t budget) noexcept : block_max_(budget / block_length) {}
block_pool::~block_pool() {
    if (is_planted("buffer_not_given_back") && lent_ > 0)
        for (auto& each : slabs_) (void)each.release();
}

/// As much again as there is, from four blocks up to a huge page.
void block_pool::grow() {
    auto const present = block_count_ * block_length;
    auto const room = (block_max_ - block_count_) * block_length;
    auto const size = std::min(std::clamp(present, first_slab_size, huge_page_size), room);
    auto const count = size / block_length;
    free_.reserve(block_count_ + count);  // so that give() cannot fail
    slabs_.reserve(slabs_.size() + 1);
    std::align_val_t const alignment{size == huge_page_size ? huge_page_size : page_size};
    slabs_.push_back({static_cast<std::byte*>(::operator new(size, alignment)), slab_release{size, alignment}});
    auto* const memory = slabs_.back().get();
    if (size == huge_page_size) ::madvise(memory, size, MADV_HUGEPAGE);  // a hint
    ASAN_POISON_MEMORY_REGION(memory, size);
    for (auto i = count; i > 0; --i) free_.push_back(block_buffer{memory + (i - 1) * block_length});
    block_count_ += count;
}

block_buffer block_pool::take() {
    if (lent_ == block_max_) return {};
    if (free_.empty()) grow();
    auto taken = std::move(free_.back());
    free_.pop_back();
    ASAN_UNPOISON_MEMORY_REGION(taken.bytes().data(), block_length);
    ++lent_;
    return taken;
}

void block_pool::give(block_buffer buffer) noexcept {
    if (!buffer) return;
    if (is_planted("buffer_not_given_back")) return;
    ASAN_POISON_MEMORY_REGION(buffer.bytes().data(), block_length);  // nobody may write to it until it is lent again
    free_.push_back(std::move(buffer));
    --lent_;
}
}  // namespace shoal::store
