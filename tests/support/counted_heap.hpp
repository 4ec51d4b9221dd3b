#pragma once
// What the program takes from the heap. For suites that name sources in `HEAP_SOURCES`: the program's `operator new`
// is replaced then. Not with the thread sanitizer, whose own one cannot be.
#include <cstddef>

namespace counted_heap {
/// Bytes that are held now.
std::size_t in_use() noexcept;
/// Calls of `operator new` so far.
std::size_t allocations() noexcept;
/// Since the last `mark`: the most bytes that were held at once, and the largest single block.
std::size_t peak() noexcept;
std::size_t largest() noexcept;
void mark() noexcept;
}  // namespace counted_heap
