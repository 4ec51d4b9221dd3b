#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdio>

#include "swarm_run.hpp"

/// What fills.py compares. Not run by itself.
TEST_CASE("what each seed sends", "[.traces]") {
    constexpr std::uint64_t seeds = 30;
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
        auto const came = simulated_swarm::run(
            seed, {.faults = ~simulated_swarm::fault_set{}, .slow_peers = true, .corrupt_blocks = true});
        CHECK(came.wrong == "");
        std::printf("seed %u: %016llx\n", static_cast<unsigned>(seed), static_cast<unsigned long long>(came.trace));
    }
}
