#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "swarm_run.hpp"

using simulated_swarm::fault;
using simulated_swarm::fault_set;
using simulated_swarm::outcome;
using simulated_swarm::some;
using simulated_swarm::troubles;

namespace {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::uint64_t seeds_in_all = 200;
#else
constexpr std::uint64_t seeds_in_all = 3000;
#endif
constexpr std::uint64_t cases = 10;
/// Of the test of poisoners, which takes them all; SHOAL_SEEDS=500 is what T-POISON asks for.
constexpr std::uint64_t poison_seeds = 8;
/// Seeds of a case that draw each of its faults, but for a chance of one in a million.
constexpr std::uint64_t seeds_that_draw_all = 25;
/// What the first runs of a process keep for all others: buffers of threads, tables of libraries.
constexpr std::size_t leaked_max = 2 << 20;

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

void check(outcome const& came) {
    CHECK(came.wrong == "");
    CHECK(came.leaked < leaked_max);
}

/// Runs the case's seeds, every tenth of them twice.
void run_all(std::uint64_t n, troubles with) {
    bool const is_one = from_environment("SHOAL_SEED").has_value();
    auto const seeds = seeds_of(n);
    fault_set drawn;
    for (auto const seed : seeds) {
        INFO("run again with SHOAL_SEED=" << seed);
        auto const first = simulated_swarm::run(seed, with);
        INFO("peers " << first.peers << ", simulated seconds " << first.seconds << ", rejected pieces "
                      << first.rejected_pieces);
        if (is_one)
            WARN("peers " << first.peers << ", simulated seconds " << first.seconds << ", wasted " << first.wasted
                          << ", memory " << first.memory << ", leaked " << first.leaked);
        check(first);
        drawn |= first.drawn;
        if (is_one || seed / cases % 10 == 0) CHECK(simulated_swarm::run(seed, with).trace == first.trace);
    }
    if (seeds.size() >= seeds_that_draw_all) CHECK(drawn == with.faults);
}
}  // namespace

TEST_CASE("a swarm whose connections get lost completes, and every piece is right", "[simulation]") {
    run_all(0, {.faults =
                    some({fault::loss, fault::reset, fault::half_close, fault::partition, fault::one_way_partition})});
}

TEST_CASE("a swarm with slow and silent peers completes, and every piece is right", "[simulation]") {
    run_all(1, {.faults = some({fault::delay, fault::jitter, fault::clog, fault::latency_spike}), .slow_peers = true});
}

TEST_CASE("a swarm with peers that send wrong blocks completes, and no honest peer is banned", "[simulation]") {
    run_all(2, {.faults = some({fault::loss, fault::reset, fault::delay}), .corrupt_blocks = true});
}

TEST_CASE("a swarm with failing disks and peers that start again completes, and every piece is right", "[simulation]") {
    run_all(3, {.faults = some({fault::read_error, fault::write_error, fault::short_write, fault::no_space,
                                fault::sync_error, fault::latency_spike, fault::crash, fault::reset}),
                .slow_peers = true,
                .corrupt_blocks = true});
}

TEST_CASE("a swarm whose peers lose power completes, and none claims what its disk has lost", "[simulation]") {
    run_all(4, {.faults = some({fault::power_cut, fault::crash, fault::sync_error, fault::no_space, fault::delay})});
}

TEST_CASE("a swarm whose datagrams get lost, late and damaged completes, and every piece is right", "[simulation]") {
    run_all(5, {.faults = some({fault::loss, fault::jitter, fault::reorder, fault::duplicate, fault::bit_corruption,
                                fault::mtu_drop, fault::nat_loss, fault::port_change, fault::names})});
}

TEST_CASE("a swarm that has nothing but datagrams completes, and every piece is right", "[simulation]") {
    run_all(6, {.faults = some({fault::loss, fault::jitter, fault::reorder, fault::duplicate, fault::mtu_drop,
                                fault::nat_loss, fault::port_change, fault::clog}),
                .only_datagrams = true});
}

TEST_CASE("a swarm on machines that sleep, jump in time and run out of everything completes", "[simulation]") {
    run_all(7, {.faults = some({fault::freeze, fault::clock_jump, fault::descriptors, fault::allocation, fault::names,
                                fault::crash, fault::latency_spike})});
}

TEST_CASE("a swarm in which anything may fail completes, and every piece is right", "[simulation]") {
    run_all(8, {.faults = ~fault_set{}, .slow_peers = true, .corrupt_blocks = true});
}

TEST_CASE("a swarm that knows each other by a hub alone completes, and the hub lists all of it and nothing else",
          "[simulation]") {
    run_all(9,
            {.faults = some({fault::partition, fault::one_way_partition, fault::reset, fault::half_close, fault::clog,
                             fault::delay, fault::jitter, fault::names, fault::crash, fault::freeze, fault::clock_jump,
                             fault::descriptors, fault::allocation, fault::sync_error, fault::latency_spike}),
             .has_hub = true});
}

TEST_CASE("a swarm of which three in ten send single wrong blocks completes, and bans all of them and nobody else",
          "[simulation]") {
    std::uint64_t liars = 0, bans = 0, rejected = 0;
    auto const last = from_environment("SHOAL_SEED");
    auto const count = from_environment("SHOAL_SEEDS").value_or(poison_seeds);
    for (auto seed = last.value_or(0); seed < last.value_or(count - 1) + 1; ++seed) {
        INFO("run again with SHOAL_SEED=" << seed);
        auto const came = simulated_swarm::run(seed, {.faults = some({fault::loss}), .poison = true});
        check(came);
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
