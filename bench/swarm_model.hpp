#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>

// A swarm in values: real pickers, chokers and uplinks, one block after another over each uplink, messages that take a
// fixed time, no sockets. Imports nothing, so that it can be included anywhere.

namespace swarm_model {
inline constexpr double mib = 1024.0 * 1024.0;

/// The order in which an uplink serves the blocks that its unchoked peers asked for.
struct serving {
    bool whole_runs = true;   // else block by block
    bool least_first = true;  // else in turn; `by_role`: the seed in turn, others who has least first
    bool by_role = true;
    bool rarest_second = true;  // each second run of a seed goes to whoever asked for the rarest
};

struct rules {
    std::size_t seed_slots = 0;     // 0: the choker's own number
    std::size_t leecher_slots = 0;  // likewise
    serving serves{};
    std::size_t depth = 0;       // requests outstanding to one peer; 0: what `wire::pipeline` says
    bool seeding_order = false;  // leechers too give to those that were given least
};

struct scene {
    std::uint32_t leechers = 12;
    double seed_up = 2 * mib;
    std::function<double(std::uint32_t)> leecher_up = [](std::uint32_t) { return mib; };
    std::function<double(std::uint32_t)> joins_at = [](std::uint32_t) { return 0.0; };
    std::function<bool(std::uint32_t)> leaves = [](std::uint32_t) { return true; };
    std::uint64_t size = 24 * 1024 * 1024;
    std::uint32_t piece_length = 256 * 1024;
    std::uint32_t thieves = 0;  // the first so many give nothing and announce nothing
    double latency = 0.002;
    std::size_t connections_max = 64;  // of one peer; whoever joins takes half as many, others come to it
};

struct outcome {
    double last = 0, median = 0, first = 0;  // relative to the bound
    double seed_sent = 0;                    // copies of the file
    double wasted = 0;                       // blocks that came too late, of all blocks needed
};

/// Plays it until all honest leechers are complete.
outcome play(scene const& where, rules const& how, std::uint64_t seed);
}  // namespace swarm_model
