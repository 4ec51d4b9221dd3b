#pragma once
// What the fuzz targets share. Include it before any import.
#include <sanitizer/allocator_interface.h>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace fuzz {
/// What must hold for any input.
inline void require(bool holds, char const* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

/// Watches the heap from its making to its end: by how much it grew at most.
class heap_watch {
public:
    heap_watch() {
        static bool const installed = (__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free), true);
        (void)installed;
        peak() = 0;
        current() = 0;
    }
    heap_watch(heap_watch const&) = delete;
    heap_watch& operator=(heap_watch const&) = delete;
    /// A stranger's `input` bytes may cost so much (class A7).
    void within(std::size_t input, std::size_t factor = 32, std::size_t besides = 1u << 20) const {
        if (peak() <= static_cast<std::int64_t>(input * factor + besides)) return;
        std::fprintf(stderr, "%zu bytes of input took %lld bytes of heap\n", input, static_cast<long long>(peak()));
        std::abort();
    }

private:
    static std::int64_t& current() {
        static std::int64_t bytes = 0;
        return bytes;
    }
    static std::int64_t& peak() {
        static std::int64_t bytes = 0;
        return bytes;
    }
    static void on_malloc(void const volatile*, std::size_t size) {
        current() += static_cast<std::int64_t>(size);
        if (current() > peak()) peak() = current();
    }
    static void on_free(void const volatile* at) {
        current() -= static_cast<std::int64_t>(__sanitizer_get_allocated_size(const_cast<void const*>(at)));
    }
};

/// Takes a small number off the front of the input; 0 when none is left.
inline std::uint8_t take(std::uint8_t const*& data, std::size_t& size) {
    if (size == 0) return 0;
    --size;
    return *data++;
}
inline std::string_view text(std::uint8_t const* data, std::size_t size) {
    return {reinterpret_cast<char const*>(data), size};
}
}  // namespace fuzz
