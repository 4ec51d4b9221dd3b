#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <utility>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;
using namespace std::chrono_literals;

namespace {
/// A line that delivers `rate` bytes a second after `delay` each way, and the blocks asked over it.
struct line {
    double rate;
    duration round_trip;

    /// Runs for `length`; the share of the line that was used in its second half.
    double used(duration length, std::size_t most = 2000) {
        struct flight {
            time_point asked, arrives;
            std::uint64_t delivered_then;
        };
        pipeline core;
        std::deque<flight> flights;
        auto now = start;
        auto free_at = start;  // when the line has sent what was asked
        auto const per_block = std::chrono::duration_cast<duration>(std::chrono::duration<double>(block_length / rate));
        std::uint64_t late_bytes = 0;
        while (now - start < length) {
            while (flights.size() < core.depth(most, now)) {
                free_at = std::max(free_at, now + round_trip) + per_block;
                flights.push_back({now, free_at, core.total()});
            }
            auto const first = flights.front();
            flights.pop_front();
            now = first.arrives;
            core.delivered(block_length, first.asked, first.delivered_then, now);
            if (now - start > length / 2) late_bytes += block_length;
            depth = core.depth(most, now);
        }
        return static_cast<double>(late_bytes) / (rate * std::chrono::duration<double>(length / 2).count());
    }
    std::size_t depth = 0;
};
}  // namespace

TEST_CASE("the pipeline fills every line soon", "[wire]") {
    struct row {
        double rate;
        duration round_trip;
        duration within;
        double least;
    };
    for (auto const& [rate, round_trip, within, least] : std::vector<row>{
             {2e9, 30us, 20ms, 0.95},   // loopback
             {1e9, 1ms, 100ms, 0.95},   // ten gigabit
             {12.5e6, 20ms, 1s, 0.95},  // a hundred megabit across a country
             {12.5e6, 300ms, 6s, 0.9},  // and across the world
             {1e5, 100ms, 10s, 0.9},    // a poor line
         }) {
        CAPTURE(rate, round_trip.count());
        line over{rate, round_trip};
        CHECK(over.used(within) >= least);
    }
}

TEST_CASE("the pipeline of a slow line stays short", "[wire]") {
    line over{1e5, 100ms};
    over.used(20s);
    CHECK(over.depth <= 12);
    line slower{1e4, 100ms};
    slower.used(60s);
    CHECK(slower.depth <= 8);
}

TEST_CASE("the pipeline is bounded by what the peer queues", "[wire]") {
    pipeline core;
    CHECK(core.depth(2000, start) == pipeline_min);
    CHECK(core.depth(10, start) == pipeline_min);
    CHECK(core.depth(2, start) == 2);
    line over{2e9, 30us};
    over.used(20ms, 250);
    CHECK(over.depth == 250);
}

TEST_CASE("after a pause the pipeline starts anew", "[wire]") {
    pipeline core;
    auto now = start;
    for (int i = 0; i < 1000; ++i) {
        auto const then = core.total();
        now += 1ms;
        core.delivered(block_length, now - 1ms, then, now);
    }
    CHECK(core.depth(2000, now) > 200);
    CHECK(core.depth(2000, now + 10s) > 200);
    CHECK(core.depth(2000, now + 11s) == pipeline_min);
}

namespace {
/// A peer that sends up to `in_a_row` blocks, one each 5 ms, then nothing for `wait`, and so on. What it was asked for
/// meanwhile it sends as well. The greatest depth in the last ten bursts, after that many.
std::size_t depth_at_bursts(std::size_t in_a_row, duration wait, bool answers_meanwhile, int bursts) {
    pipeline core;
    std::deque<std::pair<time_point, std::uint64_t>> asked;
    auto now = start;
    std::size_t deepest = 0;
    auto const ask = [&] {
        while (asked.size() < core.depth(2000, now)) asked.emplace_back(now, core.total());
    };
    for (int burst = 0; burst < bursts; ++burst) {
        ask();
        auto const there = asked.size();
        now += wait;
        for (std::size_t i = 0; i < in_a_row && (answers_meanwhile || i < there); ++i) {
            core.delivered(block_length, asked.front().first, asked.front().second, now);
            asked.pop_front();
            ask();
            if (burst >= bursts - 10) deepest = std::max(deepest, asked.size());
            now += 5ms;
        }
    }
    return deepest;
}
}  // namespace

TEST_CASE("little waits at a peer that serves others in between", "[wire]") {
    CHECK(depth_at_bursts(16, 1s, true, 100) <= 2 * pipeline_min);
    CHECK(depth_at_bursts(16, 300ms, true, 100) <= 2 * pipeline_min);
}

TEST_CASE("a peer that answers twice a second is asked for all that it can send", "[wire]") {
    CHECK(depth_at_bursts(200, 500ms, false, 12) >= 100);
    CHECK(depth_at_bursts(200, 500ms, false, 100) >= 100);
}

TEST_CASE("a line that stalled once is full again at once", "[wire]") {
    pipeline core;
    auto now = start;
    auto const receive = [&](duration after) {
        auto const then = core.total();
        now += after;
        core.delivered(block_length, now - after, then, now);
    };
    for (int i = 0; i < 1000; ++i) receive(1ms);
    auto const before = core.depth(2000, now);
    CHECK(before > 200);
    receive(400ms);
    receive(1ms);
    CHECK(core.depth(2000, now) == before);
}

TEST_CASE("a rate is right from the first second on and fades", "[wire]") {
    rate_meter meter{start};
    CHECK(meter.at(start) == 0);
    auto now = start;
    for (int i = 0; i < 100; ++i) {
        now += 10ms;
        meter.add(10'000, now);
    }
    CHECK(meter.at(now) == Approx(1e6).epsilon(0.05));
    for (int i = 0; i < 3000; ++i) {
        now += 10ms;
        meter.add(20'000, now);
    }
    CHECK(meter.at(now) == Approx(2e6).epsilon(0.05));
    CHECK(meter.at(now + 5s) == Approx(2e6 / 2.718).epsilon(0.05));
    CHECK(meter.at(now + 100s) < 1);
}

TEST_CASE("rates and depth of a connection follow its blocks", "[wire]") {
    leecher to;
    REQUIRE(to.read(message_of(1)));
    auto now = start;
    for (std::uint32_t i = 0; i < block_count; ++i) {
        REQUIRE(to.request(block_at(i), now));
        now += 10ms;
        REQUIRE(to.read(piece_of(block_at(i), data_of(block_at(i))), 64, now));
    }
    CHECK(to.core.download_rate(now) == Approx(1.6e6).epsilon(0.1));
    CHECK(to.core.upload_rate(now) == 0);
    CHECK(to.core.pipeline_depth(now) > pipeline_min);
    CHECK(to.core.pipeline_depth(now) <= 250);
}
