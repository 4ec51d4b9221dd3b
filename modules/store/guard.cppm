module;
#include <cstddef>

export module shoal.store:guard;
import shoal.core;

namespace shoal::store {
/// Loads and stores to a mapped page raise SIGBUS when its file was truncated, its device is gone or the disk is full
/// under a hole. From here on the calls below catch that; SIGBUS elsewhere goes on to the handler there was before.
/// Idempotent; [start-up]. `chunk_store::open` calls it for mapped files.
export void install_bus_guard();

/// Copies `size` bytes, at least one side of which may be mapped; the ranges may overlap. False: a page is dead, and
/// `to` holds some of the bytes. Needs `install_bus_guard`. [any thread]
export bool guarded_copy(std::byte* to, std::byte const* from, std::size_t size) noexcept;

/// Calls `work(context)`, which reads `bytes`. False: a page of `bytes` is dead, and `work` was left half-way, so it
/// must not lock, allocate, or own what needs a destructor.
bool guarded(byte_view bytes, void (*work)(void* context), void* context) noexcept;
}  // namespace shoal::store
