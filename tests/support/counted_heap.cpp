#include "counted_heap.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "failing_heap.hpp"

namespace {
std::atomic<std::size_t> held{0}, most{0}, largest_block{0}, calls{0};
constexpr std::size_t header = alignof(std::max_align_t);  // a block's size stands in front of it

void raise_to(std::atomic<std::size_t>& mark, std::size_t value) {
    for (auto seen = mark.load(); seen < value && !mark.compare_exchange_weak(seen, value);) {}
}
}  // namespace

// All forms, since a block of one comes back through another: Catch registers its cases by the nothrow form.
void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
    if (failing_heap::strikes()) return nullptr;
    auto* const block = static_cast<std::byte*>(std::malloc(size + header));
    if (block == nullptr) return nullptr;
    new (block) std::size_t{size};
    ++calls;
    raise_to(most, held += size);
    raise_to(largest_block, size);
    return block + header;
}
void* operator new(std::size_t size) {
    auto* const block = operator new(size, std::nothrow);
    if (block == nullptr) throw std::bad_alloc{};
    return block;
}
void* operator new[](std::size_t size) {
    return operator new(size);
}
void* operator new[](std::size_t size, std::nothrow_t const& tag) noexcept {
    return operator new(size, tag);
}
// Not counted, since few blocks are aligned, and those by the pool.
void* operator new(std::size_t size, std::align_val_t alignment) {
    auto const step = static_cast<std::size_t>(alignment);
    auto* const block = failing_heap::strikes() ? nullptr : std::aligned_alloc(step, (size + step - 1) / step * step);
    if (block == nullptr) throw std::bad_alloc{};
    return block;
}
void operator delete(void* pointer, std::align_val_t) noexcept {
    std::free(pointer);
}
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept {
    std::free(pointer);
}
void operator delete(void* pointer) noexcept {
    if (pointer == nullptr) return;
    auto* const block = static_cast<std::byte*>(pointer) - header;
    held -= *reinterpret_cast<std::size_t*>(block);
    std::free(block);
}
void operator delete(void* pointer, std::size_t) noexcept {
    operator delete(pointer);
}
void operator delete(void* pointer, std::nothrow_t const&) noexcept {
    operator delete(pointer);
}
void operator delete[](void* pointer) noexcept {
    operator delete(pointer);
}
void operator delete[](void* pointer, std::size_t) noexcept {
    operator delete(pointer);
}
void operator delete[](void* pointer, std::nothrow_t const&) noexcept {
    operator delete(pointer);
}

namespace counted_heap {
std::size_t in_use() noexcept {
    return held;
}
std::size_t allocations() noexcept {
    return calls;
}
std::size_t peak() noexcept {
    return most;
}
std::size_t largest() noexcept {
    return largest_block;
}
void mark() noexcept {
    most = held.load();
    largest_block = 0;
}
}  // namespace counted_heap
