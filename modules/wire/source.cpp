module;
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
bool plain_copy(std::byte* to, std::byte const* from, std::size_t count) {
    std::memmove(to, from, count);
    return true;
}

source::source(std::span<aim const> places, std::size_t count, copy_function copy) : later_(places), copy_(copy) {
    std::size_t room = 0;
    for (auto const& each : places) room += each.place.size();
    left_ = std::min(count, room);  // a driver that says more than it was given room for is not believed
    next_place();
}

source::source(byte_view bytes, copy_function copy) : now_(bytes), left_(bytes.size()), copy_(copy) {}

void source::next_place() {
    while (now_.empty() && !later_.empty() && left_ > 0) {
        now_ = later_.front().place;
        now_ = now_.first(std::min(now_.size(), left_));
        guarded_ = later_.front().as == aim::use::destination;
        later_ = later_.subspan(1);
    }
}

void source::skip(std::size_t count) {
    while (count > 0) {
        auto const part = std::min(count, now_.size());
        assert(part > 0);
        now_ = now_.subspan(part);
        left_ -= part;
        count -= part;
        next_place();
    }
}

bool source::take(std::byte* to, std::size_t count) {
    while (count > 0) {
        auto const part = std::min(count, now_.size());
        if (!guarded_)
            std::memmove(to, now_.data(), part);
        else if (!copy_(to, now_.data(), part))
            return false;
        to += part;
        count -= part;
        skip(part);
    }
    return true;
}

source::moved source::take_to_destination(std::byte* to, std::size_t count) {
    while (count > 0) {
        auto const part = std::min(count, now_.size());
        if (!copy_(to, now_.data(), part)) {
            if (guarded_) return moved::source_dead;  // or the target: what was received may be lost, so give up
            skip(count);
            return moved::target_dead;
        }
        to += part;
        count -= part;
        skip(part);
    }
    return moved::all;
}

bool source::is_threatened_by(byte_view target) const {
    auto const before = std::less<>{};
    auto const overlaps = [&](byte_view run) {
        return before(run.data(), target.data() + target.size()) && before(target.data(), run.data() + run.size());
    };
    // In the place that is being read, bytes only move to the front.
    if (overlaps(now_) && before(now_.data(), target.data())) return true;
    auto count = left_ - now_.size();
    for (auto const& later : later_) {
        if (count == 0) break;
        auto const received = byte_view{later.place}.first(std::min(count, later.place.size()));
        if (overlaps(received)) return true;
        count -= received.size();
    }
    return false;
}

bool source::move_to(byte_vector& spill) {
    spill.resize(left_);
    if (!take(spill.data(), left_)) return false;
    *this = source{spill, copy_};
    return true;
}
}  // namespace shoal::wire
