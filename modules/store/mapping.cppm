module;
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

/// Mapped windows of files, and which of their pages are in memory. Not exported.
module shoal.store:mapping;
import :files;
import shoal.core;

namespace shoal::store {
/// Some bytes of a file, mapped shared as long as this lives.
class mapping {
public:
    /// From `offset` on, a multiple of the page size. Fails with `too_many_files` at the limit of the process.
    static result<std::shared_ptr<mapping>> of(int descriptor, std::uint64_t offset, std::size_t size, bool writable);
    mapping(std::byte* base, std::size_t size, bool writable) noexcept
        : base_(base), size_(size), writable_(writable) {}
    ~mapping();
    mapping(mapping const&) = delete;
    mapping& operator=(mapping const&) = delete;

    mutable_byte_view bytes() const noexcept { return {base_, size_}; }
    bool is_writable() const noexcept { return writable_; }

private:
    std::byte* base_;
    std::size_t size_;
    bool writable_;
};

/// The windows of one torrent, least recently used ones unmapped first. Thread-safe.
class mapped_windows {
public:
    explicit mapped_windows(std::size_t page_size);

    /// Bytes that lie in one window, mapped now or before. `file_size` is what the file has when complete.
    result<mapped_bytes> map(int descriptor, file_number file, std::uint64_t file_size, std::uint64_t offset,
                             std::size_t size, bool writable);
    /// Brings the bytes around these into memory and the page tables, where they are mapped.
    void populate(file_number file, std::uint64_t offset, std::size_t size);
    /// The bytes when they are mapped in one window and in memory.
    std::optional<mapped_bytes> resident(file_number file, std::uint64_t offset, std::size_t size);
    /// Unmaps a file, but for what is in use.
    void drop(file_number file);

private:
    /// Residency is judged by the unit: one mincore for 64 blocks.
    static constexpr std::size_t unit_size = 1024 * 1024;
    static constexpr std::size_t pages_max = unit_size / 4096;
    struct unit {
        std::int64_t checked = 0;  // nanoseconds, monotonic; 0: never
        std::bitset<pages_max> pages;
    };
    struct window {
        std::shared_ptr<mapping> map;
        std::uint64_t used = 0;
        std::vector<unit> units;
    };
    static std::uint64_t key(file_number file, std::uint64_t offset) {
        return (std::uint64_t{file} << 32) | (offset / window_size);
    }
    void evict();  // under mutex_
    bool is_resident(window& in, std::size_t begin, std::size_t size) const;

    std::size_t const page_size_;
    std::mutex mutex_;
    std::unordered_map<std::uint64_t, window> windows_;
    std::uint64_t uses_ = 0;
};
}  // namespace shoal::store
