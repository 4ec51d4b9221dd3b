#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>

import shoal.core;
import shoal.utp;

using namespace shoal;
using namespace std::chrono_literals;
using utp::congestion;
using utp::delay_history;

namespace {
constexpr time_point start = time_point{} + 1h;

/// A window that has left slow start, with a base delay of 1000 µs known.
congestion settled(std::size_t rounds = 8) {
    congestion window;
    for (int i = 0; i < 4; ++i) window.measured(1000, start);
    for (std::size_t i = 0; i < rounds; ++i) window.acked(window.window(), 1s, true);
    window.lost();
    return window;
}
void measure(congestion& window, std::uint32_t sample, time_point at = start) {
    for (int i = 0; i < 4; ++i) window.measured(sample, at);
}
}  // namespace

TEST_CASE("the delay is what is above the least of two minutes", "[utp]") {
    delay_history history;
    CHECK(history.add(5000, start) == 0us);
    CHECK(history.add(5100, start + 1s) == 100us);
    CHECK(history.add(4000, start + 2s) == 0us);
    CHECK(history.add(5000, start + 61s) == 1000us);
    CHECK(history.add(5000, start + 121s) == 1000us);
    CHECK(history.add(5000, start + 181s) == 0us);  // the 4000 is three minutes old
    CHECK(history.add(6000, start + 24h) == 0us);
}

TEST_CASE("delays are compared across 2^32 microseconds, and a clock that is set begins anew", "[utp]") {
    delay_history history;
    CHECK(history.add(0xffff'fff0, start) == 0us);
    CHECK(history.add(0x10, start) == 32us);
    CHECK(history.add(0x10 + 9'000'000, start) == 9'000'032us);
    CHECK(history.add(0x10 + 3'600'000'000U / 2, start) == 0us);  // half an hour later
    CHECK(history.add(0x10, start) == 0us);                       // and back
    CHECK(history.base() == 0x10);
}

TEST_CASE("slow start doubles the window until delay shows, or loss", "[utp]") {
    congestion window;
    auto const before = window.window();
    window.acked(before, 50ms, true);
    CHECK(window.window() == 2 * before);
    measure(window, 1000);
    measure(window, 91'000);
    window.acked(before, 500ms, true);
    CHECK_FALSE(window.in_slow_start());

    congestion lossy;
    lossy.acked(before, 50ms, true);
    lossy.lost();
    CHECK(lossy.window() == before);
    CHECK_FALSE(lossy.in_slow_start());
}

TEST_CASE("a window that does not limit does not grow", "[utp]") {
    congestion window;
    auto before = window.window();
    window.acked(before, 50ms, false);
    CHECK(window.window() == before);
    window = settled();
    before = window.window();
    window.acked(before, 50ms, false);
    CHECK(window.window() == before);
}

TEST_CASE("below the target the window grows by two packets a round trip at most, above it falls", "[utp]") {
    auto window = settled();
    auto const before = window.window();
    window.acked(before, 1s, true);
    CHECK(window.window() == before + 3000);
    measure(window, 51'000);
    window.acked(window.window(), 1s, true);
    CHECK(std::abs(static_cast<double>(window.window()) - static_cast<double>(before) - 4500) < 2);
    measure(window, 121'000);
    auto const high = window.window();
    window.acked(high, 1s, true);
    CHECK(window.window() < high);
    CHECK(window.window() > high * 8 / 10);
    measure(window, 5'001'000);
    auto const higher = window.window();
    window.acked(higher, 10s, true);
    CHECK(window.window() >= higher / 2 - 1);  // never by more
}

TEST_CASE("a delay above the whole round trip is none", "[utp]") {
    auto window = settled();
    measure(window, 5'001'000);
    auto const before = window.window();
    window.acked(before, 20ms, true);
    CHECK(window.window() > before);
    CHECK(window.delay(20ms) == 20ms);
}

TEST_CASE("timestamps that say nothing change nothing", "[utp]") {
    auto window = settled();
    auto const before = window.delay(1s);
    for (auto const nothing : {0U, 0x7fff'ffffU, 0xffff'ffffU}) measure(window, nothing);
    CHECK(window.delay(1s) == before);
}

TEST_CASE("drift of the peer's clock is not taken for a queue", "[utp]") {
    auto window = settled();
    // our packets seem to take longer by 1 ms a second, theirs shorter
    for (std::uint32_t second = 0; second < 100; ++second) {
        window.heard(1'000'000 - second * 1000, start + second * 1s);
        measure(window, 1000 + second * 1000, start + second * 1s);
    }
    CHECK(window.delay(1s) <= 2ms);
}

TEST_CASE("a timeout leaves one packet, and slow start leads back to half", "[utp]") {
    auto window = settled(12);
    auto const before = window.window();
    window.timed_out();
    CHECK(window.window() == utp::limits::window_min);
    CHECK(window.in_slow_start());
    while (window.in_slow_start()) window.acked(window.window(), 50ms, true);
    CHECK(window.window() >= before / 2);
    CHECK(window.window() <= before + before / 2);
}

TEST_CASE("the window keeps to its bounds", "[utp]") {
    congestion window;
    for (int i = 0; i < 100; ++i) window.acked(window.window(), 50ms, true);
    CHECK(window.window() == utp::limits::window_max);
    for (int i = 0; i < 100; ++i) window.lost();
    CHECK(window.window() == 2 * utp::limits::window_min);
    for (int i = 0; i < 100; ++i) window.timed_out();
    CHECK(window.window() == utp::limits::window_min);
}
