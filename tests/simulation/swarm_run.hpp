#pragma once
// One run of a simulated swarm: what it is made of, and what came of it. Include it last: it imports.
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace simulated_swarm {
/// The kinds of faults that a seed may draw (docs/testing.md says what each does).
enum class fault : std::uint8_t {
    // Of the network.
    loss,
    delay,
    jitter,
    reorder,
    duplicate,
    bit_corruption,
    partition,
    one_way_partition,
    clog,
    reset,
    half_close,
    mtu_drop,
    nat_loss,
    port_change,
    names,
    // Of the disk.
    read_error,
    write_error,
    short_write,
    no_space,
    sync_error,
    misdirected_write,
    bit_rot,
    latency_spike,
    power_cut,
    // Of the process.
    crash,
    freeze,
    allocation,
    clock_jump,
    descriptors,
};
inline constexpr std::size_t fault_kinds = 29;
using fault_set = std::bitset<fault_kinds>;
inline fault_set some(std::initializer_list<fault> which) {
    fault_set set;
    for (auto const each : which) set.set(static_cast<std::size_t>(each));
    return set;
}

/// What may go wrong in a run. The rest is drawn from the seed.
struct troubles {
    fault_set faults = {};        ///< Each seed draws some of these, when they strike, and how hard.
    bool slow_peers = false;      ///< Limited uploads, and peers that never answer.
    bool corrupt_blocks = false;  ///< Peers that send wrong blocks.
    /// Three of ten peers lie about single blocks of pieces that have many. Whoever took a wrong block has to have
    /// banned its sender in the end, and has banned nobody who sent it none (T-POISON).
    bool poison = false;
    bool only_datagrams = false;  ///< No connection gets through: all goes by uTP.
    /// Nobody knows anybody: a hub lists what is shared by name, and its sessions tell who takes part (T-SIM).
    bool has_hub = false;
};

/// What came of it.
struct outcome {
    std::string wrong;        ///< Empty: all is well. Else the first thing that was not.
    std::uint64_t trace = 0;  ///< Equal for equal runs.
    double seconds = 0;       ///< Of simulated time until everybody had everything.
    std::size_t peers = 0;
    fault_set drawn;
    std::uint64_t rejected_pieces = 0;
    std::uint64_t liars_taken_in_by = 0, bans = 0;  ///< Pairs: who took a wrong block of whom, and who banned whom.
    double wasted = 0;                              ///< Bytes that came in vain, of the content's; of the worst peer.
    std::size_t memory = 0;                         ///< Bytes that the run held at most, and what it did not give back.
    std::size_t leaked = 0;
};

/// Runs the real engine as 2 to 20 peers until all have everything and have stopped. The seed says all.
outcome run(std::uint64_t seed, troubles with);
}  // namespace simulated_swarm
