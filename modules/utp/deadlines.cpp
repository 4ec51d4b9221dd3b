module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
void deadline_queue::advance(std::uint32_t item, time_point when) {
    if (item < where_.size() && where_[item] != nowhere && heap_[where_[item]].when <= when) return;
    set(item, when);
}

void deadline_queue::set(std::uint32_t item, time_point when) {
    if (item >= where_.size()) where_.resize(item + std::size_t{1}, nowhere);
    if (where_[item] == nowhere) {
        heap_.push_back({when, item});
        where_[item] = static_cast<std::uint32_t>(heap_.size() - 1);
    }
    heap_[where_[item]].when = when;
    sift_up(where_[item]);
    sift_down(where_[item]);
}

void deadline_queue::remove(std::uint32_t item) {
    if (item >= where_.size() || where_[item] == nowhere) return;
    auto const at = where_[item];
    auto const last = heap_.back();
    heap_.pop_back();
    where_[item] = nowhere;
    if (at == heap_.size()) return;
    put(at, last);
    sift_up(at);
    sift_down(where_[last.item]);
}

void deadline_queue::sift_up(std::uint32_t at) noexcept {
    auto const moved = heap_[at];
    while (at > 0 && moved.when < heap_[(at - 1) / 2].when) {
        put(at, heap_[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(at, moved);
}

void deadline_queue::sift_down(std::uint32_t at) noexcept {
    auto const moved = heap_[at];
    for (;;) {
        auto child = 2 * at + 1;
        if (child >= heap_.size()) break;
        if (child + 1 < heap_.size() && heap_[child + 1].when < heap_[child].when) ++child;
        if (moved.when <= heap_[child].when) break;
        put(at, heap_[child]);
        at = child;
    }
    put(at, moved);
}

void deadline_queue::put(std::uint32_t at, entry what) noexcept {
    heap_[at] = what;
    where_[what.item] = at;
}
}  // namespace shoal::utp
