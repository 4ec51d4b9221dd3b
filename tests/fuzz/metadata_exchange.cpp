#include <algorithm>
#include <chrono>
#include "fuzz.hpp"

import shoal.core;
import shoal.wire;

using namespace shoal;

/// A peer that sends anything to one that wants an info dictionary of at most 64 KiB.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const cut = std::size_t{fuzz::take(data, size)} + 1;
    auto const input = size;
    fuzz::heap_watch const heap;
    time_point now{};
    wire::metadata_settings settings;
    settings.client = "fuzz";
    settings.size_max = 64 * 1024;
    wire::metadata_exchange core{settings, now};
    while (size > 0 && !core.complete()) {
        auto const count = std::min(cut, size);
        if (!core.receive(as_bytes(fuzz::text(data, count)), now)) break;
        data += count;
        size -= count;
        core.sent(core.unsent().size() / 2 + 1 <= core.unsent().size() ? core.unsent().size() / 2 + 1
                                                                       : core.unsent().size());
        now += std::chrono::milliseconds{10};
        if (now >= core.deadline() && !core.wake(now)) break;
    }
    heap.within(input, 32);
    if (!core.complete()) return 0;
    fuzz::require(core.size() && *core.size() <= settings.size_max, "its size was told");
    auto const told = *core.size();
    fuzz::require(core.take().size() == told, "all of it came");
    return 0;
}
