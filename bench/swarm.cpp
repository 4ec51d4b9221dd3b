#include <benchmark/benchmark.h>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "swarm_model.hpp"

// Which rules bring a file to all peers of a swarm soonest? Time until the last one is complete, divided by the fluid
// bound max(F / u_seed, N F / (u_seed + sum u_i)). What it taught is in docs/scheduling.md.

namespace {
using namespace swarm_model;

/// Runs of each variant. Without the variable only the defaults are run, once, so that CTest is quick.
std::uint64_t seeds_asked() {
    auto const* const asked = std::getenv("SHOAL_SWARM_SEEDS");
    return asked == nullptr ? 0 : std::strtoull(asked, nullptr, 10);
}

void measure(benchmark::State& state, scene const& where, rules const& how) {
    auto const seeds = std::max<std::uint64_t>(1, seeds_asked());
    std::vector<double> last;
    outcome sum;
    for (auto _ : state) {
        for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
            auto const got = play(where, how, seed);
            last.push_back(got.last);
            sum.median += got.median / static_cast<double>(seeds);
            sum.first += got.first / static_cast<double>(seeds);
            sum.seed_sent += got.seed_sent / static_cast<double>(seeds);
            sum.wasted += got.wasted / static_cast<double>(seeds);
        }
    }
    std::ranges::sort(last);
    state.counters["last"] = last[last.size() / 2];
    state.counters["worst"] = last.back();
    state.counters["mid"] = sum.median;
    state.counters["first"] = sum.first;
    state.counters["seed_F"] = sum.seed_sent;
    state.counters["waste"] = sum.wasted;
}

void add(std::string const& name, scene const& where, rules const& how) {
    if (seeds_asked() == 0 && !name.ends_with("defaults")) return;
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { measure(state, where, how); })
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}

int const registered = [] {
    scene const twelve;
    scene thirty{.leechers = 30};
    thirty.leecher_up = [](std::uint32_t i) { return std::array{0.25, 1.0, 3.0}[i % 3] * mib; };
    scene arriving{.leechers = 30};
    arriving.joins_at = [](std::uint32_t i) { return 0.5 * i; };
    scene staying{.leechers = 30};
    staying.leaves = [](std::uint32_t i) { return i % 3 == 0; };
    for (auto const& [name, where] : {std::pair{"12", twelve},
                                      {"30 in 3 classes", thirty},
                                      {"30 arriving, 2 a second", arriving},
                                      {"30, a third leaves", staying}}) {
        auto const variant = [&](std::string const& what, rules const& how) { add(name + (": " + what), where, how); };
        variant("defaults", {});
        for (std::size_t const slots : {4, 8, 32}) {
            variant("slots " + std::to_string(slots), {.seed_slots = slots, .leecher_slots = slots});
        }
        variant("blocks in turn", {.serves = {false, false, false}});
        variant("blocks, by role", {.serves = {false}});
        variant("runs in turn", {.serves = {true, false, false}});
        variant("runs, least first, the seed too", {.serves = {true, true, false}});
        variant("the seed in turn alone", {.serves = {.rarest_second = false}});
        for (std::size_t const depth : {1, 2, 4, 8, 16}) variant("depth " + std::to_string(depth), {.depth = depth});
        variant("seeding order for all", {.seeding_order = true});
    }
    for (std::uint32_t const kib : {32, 64, 128, 512, 1024, 2048}) {
        scene other;
        other.piece_length = kib * 1024;
        add("12, pieces of " + std::to_string(kib) + " KiB", other, {});
    }
    for (auto const latency : {0.02, 0.1}) {
        scene far;
        far.latency = latency;
        auto const name = "12, messages take " + std::to_string(static_cast<int>(latency * 1000)) + " ms";
        add(name, far, {});
        for (std::size_t const depth : {4, 8, 16})
            add(name + ", depth " + std::to_string(depth), far, {.depth = depth});
    }
    scene fair{.leechers = 32};
    add("32", fair, {});
    fair.thieves = 3;
    add("32, 3 thieves", fair, {});
    add("32, 3 thieves: the seed in turn alone", fair, {.serves = {.rarest_second = false}});
    add("32, 3 thieves: slots 4", fair, {.seed_slots = 4, .leecher_slots = 4});
    add("32, 3 thieves: runs in turn", fair, {.serves = {true, false, false}});
    add("32, 3 thieves: runs, least first, the seed too", fair, {.serves = {true, true, false}});
    scene large{.size = 256 * 1024 * 1024, .piece_length = 4 * 1024 * 1024};
    add("12, 256 MiB, pieces of 4 MiB", large, {});
    for (std::uint32_t const count : {10, 100, 1000, 10'000}) {
        scene of = thirty;
        of.leechers = count;
        auto const name = std::to_string(count) + " in 3 classes";
        auto const variant = [&](std::string const& what, rules const& how) { add(name + (": " + what), of, how); };
        variant("the rules", {});
        for (std::size_t const slots : {4, 8, 32})
            variant("slots " + std::to_string(slots), {.seed_slots = slots, .leecher_slots = slots});
        variant("blocks in turn", {.serves = {false, false, false}});
        variant("runs in turn", {.serves = {true, false, false}});
        variant("leechers too serve who got least", {.seeding_order = true});
    }
    return 0;
}();
}  // namespace
