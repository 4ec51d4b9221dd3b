#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include "fuzz.hpp"

import shoal.asio;
import shoal.core;
import shoal.hub;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
/// A hub that serves for as long as this program runs: to make one takes longer than what is asked of it.
struct place {
    testing::simulation world{1};
    hub::hub tracker;

    place() : tracker(world.host(0), {.requests_per_second = 0}) {
        fuzz::require(tracker.listen({{}, 80}).has_value(), "the hub listens");
        auto const serve = [this]() -> net::task<void> { (void)co_await tracker.run(); };
        world.spawn("hub", serve());
        world.run_for(100ms);
    }
};

/// Everything that an answer may begin with.
bool is_answer(std::string_view text) {
    return text.starts_with("HTTP/1.1 ") && text.size() > 12 && text[9] >= '1' && text[9] <= '5';
}
}  // namespace

/// What a client of the hub's HTTP port sends: announces, scrapes, the page, its data, sessions, or none of these.
/// First byte: in what steps it comes.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    static auto& here = *new place;  // for good: its tasks need all of it
    auto const how = fuzz::take(data, size);
    auto const sent = as_bytes(fuzz::text(data, size));
    fuzz::heap_watch const heap;
    std::string answer;
    auto const talk = [&]() -> net::task<void> {
        auto& outside = here.world.host(1);
        auto client = (co_await outside.network.connect({here.world.address_of(0), 80}, std::nullopt)).value();
        auto const step = std::size_t{1} << (how & 0x0f);
        for (std::size_t at = 0; at < sent.size(); at += step)
            if (!co_await client->write_all(sent.subspan(at, std::min(step, sent.size() - at)))) break;
        std::array<std::byte, 4096> room{};
        for (;;) {  // an answer is on its way at once, or there is none
            auto const until = here.world.now() + 50ms;
            auto const got = co_await net::with_deadline(outside.clock, until, client->read_some(room));
            if (!got) break;
            if (answer.size() < 4096) answer += as_text(byte_view{room}.first(got.value()));
        }
    };
    fuzz::require(here.world.run_to_end(talk(), 1min), "the talk ends");
    fuzz::require(answer.empty() || is_answer(answer), "an answer is one of HTTP");
    heap.within(size, 64, 8u << 20);
    return 0;
}
