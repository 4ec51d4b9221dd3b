#pragma once
// One run of a simulated swarm: what it is made of, and what came of it. Include it last: it imports.
#include <cstddef>
#include <cstdint>
#include <string>

namespace simulated_swarm {
/// What goes wrong in a run. The rest is drawn from the seed.
struct troubles {
    bool lost_connections = false;  ///< Connections break after some bytes; hosts lose all of theirs, or each other.
    bool slow_peers = false;        ///< Narrow and slow links, limited uploads, and peers that never answer.
    bool corrupt_blocks = false;    ///< Peers that send wrong blocks.
    /// Three of ten peers lie about single blocks of pieces that have many. Whoever took a wrong block has to have
    /// banned its sender in the end, and has banned nobody who sent it none (T-POISON).
    bool poison = false;
    bool failing_disks = false;  ///< Disks fail for a while; peers end and start again on what they had.
};

/// What came of it.
struct outcome {
    std::string wrong;        ///< Empty: all is well. Else the first thing that was not.
    std::uint64_t trace = 0;  ///< Equal for equal runs.
    double seconds = 0;       ///< Of simulated time until everybody had everything.
    std::size_t peers = 0;
    std::uint64_t rejected_pieces = 0, resets = 0;
    std::uint64_t liars_taken_in_by = 0, bans = 0;  ///< Pairs: who took a wrong block of whom, and who banned whom.
};

/// Runs the real engine as 2 to 20 peers until all have everything and have stopped. The seed says all.
outcome run(std::uint64_t seed, troubles with);
}  // namespace simulated_swarm
