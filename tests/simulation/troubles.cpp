#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "swarm_run.hpp"

using simulated_swarm::outcome;
using simulated_swarm::troubles;

namespace {
constexpr std::uint64_t seeds_in_all = 200;
constexpr std::uint64_t cases = 4;
/// Of the test of poisoners, which takes them all; SHOAL_SEEDS=500 is what T-POISON asks for.
constexpr std::uint64_t poison_seeds = 8;

std::optional<std::uint64_t> from_environment(char const* name) {
    auto const* const text = std::getenv(name);
    if (text == nullptr) return std::nullopt;
    return std::stoull(text);
}

/// The seeds of the `n`-th case: SHOAL_SEED alone, or its share of SHOAL_SEEDS.
std::vector<std::uint64_t> seeds_of(std::uint64_t n) {
    if (auto const one = from_environment("SHOAL_SEED")) return {*one};
    std::vector<std::uint64_t> seeds;
    for (auto seed = n; seed < from_environment("SHOAL_SEEDS").value_or(seeds_in_all); seed += cases)
        seeds.push_back(seed);
    return seeds;
}

/// Runs the case's seeds, every tenth of them twice.
void run_all(std::uint64_t n, troubles with) {
    bool const is_one = from_environment("SHOAL_SEED").has_value();
    for (auto const seed : seeds_of(n)) {
        INFO("run again with SHOAL_SEED=" << seed);
        auto const first = simulated_swarm::run(seed, with);
        INFO("peers " << first.peers << ", simulated seconds " << first.seconds << ", rejected pieces "
                      << first.rejected_pieces);
        if (is_one) WARN("peers " << first.peers << ", simulated seconds " << first.seconds);
        CHECK(first.wrong == "");
        if (is_one || seed / cases % 10 == 0) CHECK(simulated_swarm::run(seed, with).trace == first.trace);
    }
}
}  // namespace

TEST_CASE("a swarm whose connections get lost completes, and every piece is right", "[simulation]") {
    run_all(0, {.lost_connections = true});
}

TEST_CASE("a swarm with slow and silent peers completes, and every piece is right", "[simulation]") {
    run_all(1, {.slow_peers = true});
}

TEST_CASE("a swarm with peers that send wrong blocks completes, and no honest peer is banned", "[simulation]") {
    run_all(2, {.lost_connections = true, .corrupt_blocks = true});
}

TEST_CASE("a swarm with failing disks and peers that start again completes, and every piece is right", "[simulation]") {
    run_all(3, {.lost_connections = true, .slow_peers = true, .corrupt_blocks = true, .failing_disks = true});
}

TEST_CASE("a swarm of which three in ten send single wrong blocks completes, and bans all of them and nobody else",
          "[simulation]") {
    std::uint64_t liars = 0, bans = 0, rejected = 0;
    auto const last = from_environment("SHOAL_SEED");
    auto const count = from_environment("SHOAL_SEEDS").value_or(poison_seeds);
    for (auto seed = last.value_or(0); seed < last.value_or(count - 1) + 1; ++seed) {
        INFO("run again with SHOAL_SEED=" << seed);
        auto const came = simulated_swarm::run(seed, {.poison = true});
        CHECK(came.wrong == "");
        liars += came.liars_taken_in_by;
        bans += came.bans;
        rejected += came.rejected_pieces;
    }
    CHECK((last || liars > 0));
    if (count > poison_seeds)
        WARN(rejected << " pieces failed; wrong blocks were taken of " << liars << " liars, banned were " << bans);
}

TEST_CASE("different seeds are different runs", "[simulation]") {
    std::set<std::uint64_t> traces;
    for (std::uint64_t seed = 1000; seed < 1004; ++seed) traces.insert(simulated_swarm::run(seed, {}).trace);
    CHECK(traces.size() == 4);
}
