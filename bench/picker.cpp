#include <benchmark/benchmark.h>
#include <cstddef>
#include <cstdint>
#include <vector>

import shoal.core;
import shoal.picker;

// What does a choice cost with 10^5 pieces and 200 peers? Time per call; the aim is 2 us for a pick.

namespace {
using namespace shoal;
using namespace shoal::picker;

#ifdef NDEBUG
constexpr std::uint32_t pieces = 100'000;
constexpr std::uint32_t peers = 200;
#else  // only to keep it alive
constexpr std::uint32_t pieces = 2'000;
constexpr std::uint32_t peers = 50;
#endif
constexpr std::uint32_t blocks_a_piece = 16;

/// Every peer has each piece with a chance of `percent`.
shoal::picker::picker swarm(std::uint32_t percent, order policy = order::rarest_first) {
    shoal::picker::picker made{
        {blocks_a_piece * block_length, std::uint64_t{pieces} * blocks_a_piece * block_length, 1, policy}};
    random_sequence random{2};
    for (std::uint32_t peer = 0; peer < peers; ++peer) {
        bitfield has{pieces};
        for (std::uint32_t piece = 0; piece < pieces; ++piece) has.set(piece_index{piece}, random.below(100) < percent);
        made.add_peer(peer_slot{peer});
        made.peer_has(peer_slot{peer}, has);
    }
    return made;
}

/// A whole download: each peer in turn asks for `run` blocks and answers them. Time per round of one peer, verification
/// of pieces (`set_have`) included.
void download(benchmark::State& state, std::uint32_t percent, std::size_t run, order policy) {
    auto const fresh = swarm(percent, policy);
    auto swarm_now = fresh;
    std::vector<block_ref> out;
    std::vector<peer_slot> also;
    std::uint32_t turn = 0;
    std::size_t blocks = 0;
    for (auto _ : state) {
        if (swarm_now.complete()) {
            state.PauseTiming();
            swarm_now = fresh;
            state.ResumeTiming();
        }
        auto const peer = peer_slot{turn++ % peers};
        out.clear();
        swarm_now.pick(peer, run, true, out);
        for (auto const& block : out) {
            if (swarm_now.received(peer, block, also).piece_complete) swarm_now.set_have(block.piece);
        }
        blocks += out.size();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(blocks));
}
BENCHMARK_CAPTURE(download, half_block, 50, 1, order::rarest_first);
BENCHMARK_CAPTURE(download, half_run, 50, 16, order::rarest_first);
BENCHMARK_CAPTURE(download, seeds_run, 100, 16, order::rarest_first);
BENCHMARK_CAPTURE(download, sequential_run, 50, 16, order::sequential);

/// Only the choice: a new run of 16 blocks for a random peer, given back outside of the clock every 1000 runs.
void pick_run(benchmark::State& state) {
    auto swarm_now = swarm(static_cast<std::uint32_t>(state.range(0)));
    std::vector<block_ref> out;
    std::vector<peer_slot> from;
    std::uint32_t turn = 0;
    for (auto _ : state) {
        auto const peer = peer_slot{turn++ % peers};
        swarm_now.pick(peer, blocks_a_piece, true, out);
        from.resize(out.size(), peer);
        if (out.size() >= 1000 * blocks_a_piece) {
            state.PauseTiming();
            for (std::size_t i = 0; i < out.size(); ++i) swarm_now.returned(from[i], out[i]);
            out.clear();
            from.clear();
            state.ResumeTiming();
        }
    }
}
BENCHMARK(pick_run)->Arg(1)->Arg(10)->Arg(50)->Arg(100);

/// An announcement of one piece.
void have(benchmark::State& state) {
    auto swarm_now = swarm(0);
    random_sequence random{3};
    std::uint32_t turn = 0;
    for (auto _ : state) swarm_now.peer_has(peer_slot{turn++ % peers}, piece_index{random.below(pieces)});
}
BENCHMARK(have);

/// A bitfield of half the pieces, replacing another.
void replace_bitfield(benchmark::State& state) {
    auto swarm_now = swarm(50);
    bitfield has{pieces};
    for (std::uint32_t piece = 0; piece < pieces; piece += 2) has.set(piece_index{piece});
    for (auto _ : state) swarm_now.peer_has(peer_slot{0}, has);
}
BENCHMARK(replace_bitfield);
}  // namespace
