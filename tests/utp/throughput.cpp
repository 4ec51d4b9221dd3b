#include <catch2/catch.hpp>

#include "link.hpp"

using namespace utp_test;

namespace {
constexpr double link_rate = 5e6 / 8;  // bytes a second: 5 Mbit

/// Bytes a second of a transfer over 5 Mbit and 20 ms there and back; the mean over some seeds.
double rate_at(double loss, std::uint64_t size = 4'000'000) {
    double seconds = 0;
    constexpr std::uint64_t runs = 5;
    for (std::uint64_t seed = 1; seed <= runs; ++seed) {
        auto const took = transfer(seed, {.loss = loss, .delay = 10ms, .bytes_per_second = link_rate}, size);
        REQUIRE(took > 0);
        seconds += took;
    }
    return static_cast<double>(size) * runs / seconds;
}
}  // namespace

TEST_CASE("a link of 5 Mbit is filled when nothing is lost", "[utp]") {
    auto const rate = rate_at(0);
    INFO("Mbit: " << rate * 8 / 1e6);
    CHECK(rate >= 0.9 * link_rate);
}

TEST_CASE("1 % of loss leaves 60 % of a link of 5 Mbit and 20 ms", "[utp]") {
    auto const rate = rate_at(0.01);
    INFO("Mbit: " << rate * 8 / 1e6);
    CHECK(rate >= 0.6 * link_rate);
}

TEST_CASE("5 % of loss leaves 1.5 Mbit of a link of 5 Mbit and 20 ms", "[utp]") {
    auto const rate = rate_at(0.05);
    INFO("Mbit: " << rate * 8 / 1e6);
    CHECK(rate >= 1.5e6 / 8);
}

TEST_CASE("a fast link with no delay is not held back by windows", "[utp]") {
    auto const took = transfer(1, {.delay = 100us}, 50'000'000);
    INFO("MB a second: " << 50 / took);
    CHECK(took > 0);
    CHECK(took < 0.5);
}

TEST_CASE("a queue that could hold a second is filled for 100 ms, and the link is full", "[utp]") {
    simulated_link between{1, {.delay = 10ms, .bytes_per_second = 1'250'000, .queue = 1'250'000}};
    auto const [mine, other] = between.connect();
    talker from{between, 0, mine, 100'000'000, 1}, to{between, 1, other, 0, 1};
    while (between.step(begin + 10s)) {
        from.turn();
        to.turn();
    }
    auto const before = to.received;
    duration longest{};
    while (between.step(begin + 30s)) {
        from.turn();
        to.turn();
        longest = std::max<duration>(longest, between.a().path_of(mine).queueing_delay);
    }
    INFO("delay in ms: " << longest / 1ms << ", MB a second: " << static_cast<double>(to.received - before) / 20e6);
    CHECK(longest < 130ms);
    CHECK(static_cast<double>(to.received - before) > 0.9 * 20 * 1'250'000);
}
