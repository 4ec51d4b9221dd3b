module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
namespace {
constexpr std::size_t ring_min = 4096;
constexpr std::size_t spares_max = 256;
constexpr std::size_t spare_capacity_max = 2048;
}  // namespace

byte_vector buffer_pool::take_spare() {
    if (spares.empty()) return {};
    auto bytes = std::move(spares.back());
    spares.pop_back();
    return bytes;
}

void buffer_pool::give_back(byte_vector bytes) {
    if (bytes.capacity() == 0 || bytes.capacity() > spare_capacity_max || spares.size() >= spares_max) return;
    bytes.clear();
    spares.push_back(std::move(bytes));
}

std::size_t byte_ring::room(std::size_t max) const noexcept {
    auto reach = capacity_;
    // doubling needs the new memory besides the old one for a moment; that is not counted
    auto const may_use = std::max(capacity_ + pool_->left(), limits::buffer_guaranteed);
    while (reach < max && std::max(2 * reach, ring_min) <= may_use) reach = std::max(2 * reach, ring_min);
    auto const most = std::min(reach, max);
    return most - std::min(size_, most);
}

std::size_t byte_ring::append(byte_view bytes, std::size_t max) {
    auto const count = std::min(bytes.size(), room(max));
    if (count == 0) return 0;
    if (size_ + count > capacity_) grow(size_ + count);
    auto const at = (head_ + size_) & (capacity_ - 1);
    auto const first = std::min(count, capacity_ - at);
    std::memcpy(bytes_.get() + at, bytes.data(), first);
    std::memcpy(bytes_.get(), bytes.data() + first, count - first);
    size_ += count;
    return count;
}

void byte_ring::copy(std::size_t offset, mutable_byte_view place) const noexcept {
    if (place.empty()) return;
    auto const at = (head_ + offset) & (capacity_ - 1);
    auto const first = std::min(place.size(), capacity_ - at);
    std::memcpy(place.data(), bytes_.get() + at, first);
    std::memcpy(place.data() + first, bytes_.get(), place.size() - first);
}

void byte_ring::drop(std::size_t count) noexcept {
    if (count == 0) return;
    head_ = (head_ + count) & (capacity_ - 1);
    size_ -= count;
}

void byte_ring::release() noexcept {
    pool_->used -= capacity_;
    bytes_.reset();
    capacity_ = head_ = size_ = 0;
}

void byte_ring::grow(std::size_t needed) {
    auto const capacity = std::max(std::bit_ceil(needed), ring_min);
    auto bytes = std::make_unique_for_overwrite<std::byte[]>(capacity);
    copy(0, {bytes.get(), size_});
    pool_->used += capacity - capacity_;
    bytes_ = std::move(bytes);
    capacity_ = capacity;
    head_ = 0;
}
}  // namespace shoal::utp
