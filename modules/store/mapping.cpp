module;
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

module shoal.store;
import :disk;
import shoal.core;

namespace shoal::store {
namespace {
/// How long a page that was in memory is taken to be there still.
constexpr std::int64_t residency_lasts = 2'000'000'000;  // ns

std::atomic<std::size_t> process_windows{0};

std::int64_t monotonic() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}
}  // namespace

result<std::shared_ptr<mapping>> mapping::of(int descriptor, std::uint64_t offset, std::size_t size, bool writable) {
    if (process_windows.fetch_add(1) >= process_windows_max) {
        --process_windows;
        return errc::too_many_files;
    }
    auto const protection = PROT_READ | (writable ? PROT_WRITE : 0);
    auto* const base = mmap(nullptr, size, protection, MAP_SHARED, descriptor, static_cast<off_t>(offset));
    if (base == MAP_FAILED) {
        auto const why = errno;
        --process_windows;
        if (why == ENOMEM) return errc::too_many_files;
        return std::error_code(why, std::system_category());
    }
    return std::make_shared<mapping>(static_cast<std::byte*>(base), size, writable);
}

mapping::~mapping() {
    munmap(base_, size_);
    --process_windows;
}

mapped_windows::mapped_windows(std::size_t page_size) : page_size_(page_size) {}

result<mapped_bytes> mapped_windows::map(int descriptor, file_number file, std::uint64_t file_size,
                                         std::uint64_t offset, std::size_t size, bool writable) {
    auto const start = offset / window_size * window_size;
    auto const part = [&](std::shared_ptr<mapping> map) {
        return mapped_bytes{map->bytes().subspan(offset - start, size), map};
    };
    {
        std::lock_guard const lock(mutex_);
        if (auto const at = windows_.find(key(file, offset)); at != windows_.end()) {
            at->second.used = ++uses_;
            if (!writable || at->second.map->is_writable()) return part(at->second.map);
        } else if (windows_.size() >= windows_max) {
            evict();
        }
    }
    auto made = mapping::of(descriptor, start, std::min(window_size, file_size - start), writable);
    if (!made) return made.error();
    std::lock_guard const lock(mutex_);
    auto& slot = windows_[key(file, offset)];
    if (!slot.map || (writable && !slot.map->is_writable())) {
        slot.map = made.value();
        slot.units.assign((slot.map->bytes().size() + unit_size - 1) / unit_size, {});
    }
    slot.used = ++uses_;
    return part(slot.map);
}

void mapped_windows::populate(file_number file, std::uint64_t offset, std::size_t size) {
    auto const begin = offset % window_size / unit_size;
    auto const end = (offset % window_size + size + unit_size - 1) / unit_size;
    std::unique_lock lock(mutex_);
    auto const at = windows_.find(key(file, offset));
    if (at == windows_.end()) return;
    auto const map = at->second.map;
    for (auto i = begin; i < std::min(end, at->second.units.size()); ++i) at->second.units[i].checked = 0;
    lock.unlock();
    auto const bytes = map->bytes();
    if (begin * unit_size >= bytes.size()) return;
    // Fails where the file is shorter: whoever asks for those bytes is told by the read.
    madvise(bytes.data() + begin * unit_size, std::min(bytes.size(), end * unit_size) - begin * unit_size,
            MADV_POPULATE_READ);
}

std::optional<mapped_bytes> mapped_windows::resident(file_number file, std::uint64_t offset, std::size_t size) {
    std::lock_guard const lock(mutex_);
    auto const at = windows_.find(key(file, offset));
    if (at == windows_.end()) return std::nullopt;
    auto& window = at->second;
    auto const begin = static_cast<std::size_t>(offset % window_size);
    auto const bytes = window.map->bytes();
    if (begin + size > bytes.size() || !is_resident(window, begin, size)) return std::nullopt;
    window.used = ++uses_;
    return mapped_bytes{bytes.subspan(begin, size), window.map};
}

bool mapped_windows::is_resident(window& in, std::size_t begin, std::size_t size) const {
    auto const now = monotonic();
    auto const bytes = in.map->bytes();
    for (auto i = begin / unit_size; i * unit_size < begin + size; ++i) {
        auto& unit = in.units[i];
        if (unit.checked == 0 || now - unit.checked > residency_lasts) {
            std::array<unsigned char, pages_max> pages{};
            auto const length = std::min(unit_size, bytes.size() - i * unit_size);
            if (mincore(bytes.data() + i * unit_size, length, pages.data()) != 0) return false;
            unit.pages.reset();
            for (std::size_t p = 0; p * page_size_ < length; ++p) unit.pages[p] = (pages[p] & 1U) != 0;
            unit.checked = now;
        }
        auto const first = std::max(begin, i * unit_size) - i * unit_size;
        auto const last = std::min(begin + size, (i + 1) * unit_size) - i * unit_size;
        for (auto p = first / page_size_; p * page_size_ < last; ++p)
            if (!unit.pages[p]) return false;
    }
    return true;
}

void mapped_windows::drop(file_number file) {
    std::lock_guard const lock(mutex_);
    std::erase_if(windows_, [&](auto const& entry) { return entry.first >> 32 == file; });
}

void mapped_windows::evict() {
    // An eighth at a time, so that the search for the oldest is rare.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> idle;  // used, key
    for (auto const& [key, window] : windows_)
        if (window.map.use_count() == 1) idle.emplace_back(window.used, key);
    auto const count = std::min(idle.size(), windows_max / 8);
    std::nth_element(idle.begin(), idle.begin() + static_cast<std::ptrdiff_t>(count), idle.end());
    for (std::size_t i = 0; i < count; ++i) windows_.erase(idle[i].second);
}
}  // namespace shoal::store
