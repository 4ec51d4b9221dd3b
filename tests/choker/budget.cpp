#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <limits>

import shoal.choker;
import shoal.core;

using namespace shoal;
using namespace shoal::choker;
using namespace std::chrono_literals;

namespace {
constexpr auto start = time_point{} + 1h;
constexpr std::uint64_t mib = 1024 * 1024;

/// Bytes that pass in `window` when a block is sent as soon as anything is available.
std::uint64_t sent_greedily(rate_budget& budget, time_point from, duration window) {
    std::uint64_t sent = 0;
    for (auto now = from; now < from + window; now = std::max(now, budget.ready_at(1, now))) {
        while (budget.available(now) > 0) {
            budget.take(block_length, now);
            sent += block_length;
        }
    }
    return sent;
}
}  // namespace

TEST_CASE("five seconds never carry more than 1.03 of the limit, after idling too", "[choker]") {
    for (auto const rate : {320 * 1024UL, 1000'000UL, mib, 3 * mib, 100 * mib}) {
        CAPTURE(rate);
        rate_budget budget{rate, start};
        auto const sent = sent_greedily(budget, start + 1min, 5s);
        CHECK(static_cast<double>(sent) <= 1.03 * 5 * static_cast<double>(rate));
        CHECK(sent >= 5 * rate);
    }
}

TEST_CASE("the mean keeps to the limit, whatever it is", "[choker]") {
    for (auto const rate : {1024UL, 50'000UL, 2 * mib}) {
        CAPTURE(rate);
        rate_budget budget{rate, start};
        auto const sent = static_cast<double>(sent_greedily(budget, start, 1000s));
        CHECK(sent <= 1000.0 * static_cast<double>(rate) + budget.burst() + block_length);
        CHECK(sent >= 1000.0 * static_cast<double>(rate) - block_length);
    }
}

TEST_CASE("a debt is waited off", "[choker]") {
    rate_budget budget{mib, start};
    CHECK(budget.available(start) == block_length);
    budget.take(mib + block_length, start);
    CHECK(budget.available(start) == 0);
    CHECK(budget.available(start + 999ms) == 0);
    CHECK(budget.ready_at(1, start) >= start + 1s);
    CHECK(budget.ready_at(1, start) <= start + 1001ms);
}

TEST_CASE("what is asked for is there at the time that ready_at says", "[choker]") {
    for (std::uint64_t rate = 1; rate < 10'000'000'000; rate = rate * 7 + 3) {
        rate_budget budget{rate, start};
        budget.take(block_length, start);
        for (std::size_t const bytes : {1, 1000, 16'384}) {
            CAPTURE(rate, bytes);
            CHECK((budget.available(budget.ready_at(bytes, start)) >= bytes || rate < 10));
            CHECK(budget.available(budget.ready_at(bytes, start) - 2us - 2 * 1s / rate) < bytes);
        }
    }
}

TEST_CASE("more than the burst is never waited for", "[choker]") {
    rate_budget budget{mib, start};
    CHECK(budget.ready_at(std::numeric_limits<std::size_t>::max(), start) < start + 250ms);
    auto const idle = start + 24h;
    CHECK(budget.available(idle) == static_cast<std::size_t>(budget.burst()));
    CHECK(budget.ready_at(100 * mib, idle) == idle);
}

TEST_CASE("a small rate saves up one block and no more", "[choker]") {
    rate_budget budget{1024, start};
    CHECK(budget.available(start + 1h) == block_length);
}

TEST_CASE("without a limit everything passes at once", "[choker]") {
    rate_budget budget{0, start};
    budget.take(1000 * mib, start);
    CHECK(budget.available(start) > 1000 * mib);
    CHECK(budget.ready_at(1000 * mib, start) == start);
}

TEST_CASE("a changed rate takes effect at once", "[choker]") {
    rate_budget budget{100 * mib, start};
    auto const later = start + 1s;
    budget.set_rate(1024, later);
    CHECK(budget.available(later) == block_length);
    budget.take(block_length, later);
    budget.set_rate(0, later);
    CHECK(budget.available(later) > mib);
    budget.set_rate(mib, later);
    CHECK(budget.available(later) == block_length);
    CHECK(budget.rate() == mib);
}

TEST_CASE("time that goes back changes nothing", "[choker]") {
    rate_budget budget{mib, start};
    budget.take(block_length, start);
    CHECK(budget.available(start - 1h) == 0);
    budget.take(0, start - 1h);
    CHECK(budget.available(start + 10ms) < block_length);
}
