#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

import shoal.core;
import shoal.wire;

using namespace shoal;

namespace {
constexpr time_point start{};
constexpr std::uint32_t pieces = 4096;
constexpr wire::settings with{
    .piece_length = block_length, .total_size = std::uint64_t{pieces} * block_length, .fast = true, .extensions = true};

block_ref block(std::uint32_t number) {
    return {piece_index{number % pieces}, 0, block_length};
}

byte_vector piece_header(block_ref const& ref) {
    byte_vector out;
    byte_writer{out}.be(std::uint32_t{9 + block_length}).be(std::uint8_t{7}).be(to_number(ref.piece)).be(ref.begin);
    return out;
}
byte_vector have(std::uint32_t piece) {
    byte_vector out;
    byte_writer{out}.be(std::uint32_t{5}).be(std::uint8_t{4}).be(piece);
    return out;
}
void drain(wire::connection& core) {
    std::array<byte_view, 64> runs;
    while (core.unsent(runs) > 0) core.sent(core.unsent_bytes(), start);
}
std::unique_ptr<wire::connection> unchoked() {
    auto core = std::make_unique<wire::connection>(with, start);
    byte_vector unchoke;
    byte_writer{unchoke}.be(std::uint32_t{1}).be(std::uint8_t{1});
    (void)core->receive(unchoke, start);
    return core;
}

/// What the conversation costs for a block that comes where it was expected: request, prepare, commit, event. The bytes
/// of the blocks are there already, as after a scatter read. Blocks a second.
void receive_predicted(benchmark::State& state) {
    auto const core = unchoked();
    byte_vector memory(32 * block_length);
    std::array<mutable_byte_view, 64> places;
    std::uint32_t next = 0;
    for (auto _ : state) {
        for (std::uint32_t i = 0; i < 32; ++i)
            core->request(block(next + i), mutable_byte_view{memory}.subspan(i * block_length, block_length), start);
        drain(*core);
        auto const count = core->prepare(places);
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (i % 2 == 0) std::ranges::copy(piece_header(block(next++)), places[i].begin());
            bytes += places[i].size();
        }
        benchmark::DoNotOptimize(core->commit(bytes, start));
        while (auto const event = core->next_event()) benchmark::DoNotOptimize(event);
    }
    if (core->counters().predicted != next) state.SkipWithError("a prediction failed");
    state.SetItemsProcessed(next);
}
BENCHMARK(receive_predicted);

/// How fast are 32 blocks received that are `range(0)` haves away from where they were expected? Bytes a second.
void receive_moved(benchmark::State& state) {
    auto const core = unchoked();
    byte_vector memory(32 * block_length);
    std::array<mutable_byte_view, 64> places;
    std::uint32_t next = 0;
    byte_vector stream;
    for (auto _ : state) {
        for (std::uint32_t i = 0; i < 32; ++i)
            core->request(block(next + i), mutable_byte_view{memory}.subspan(i * block_length, block_length), start);
        drain(*core);
        state.PauseTiming();
        stream.clear();
        for (std::uint32_t i = 0; i < 32; ++i) {
            if (i < static_cast<std::uint32_t>(state.range(0))) byte_writer{stream}.bytes(have(next % pieces));
            byte_writer{stream}.bytes(piece_header(block(next++)));
            stream.resize(stream.size() + block_length);
        }
        state.ResumeTiming();
        for (byte_view left = stream; !left.empty();) {  // the copy stands for the kernel's
            auto const count = core->prepare(places);
            std::size_t taken = 0;
            for (std::size_t i = 0; i < count && taken < left.size(); ++i) {
                auto const part = std::min(left.size() - taken, places[i].size());
                std::memcpy(places[i].data(), left.data() + taken, part);
                taken += part;
            }
            benchmark::DoNotOptimize(core->commit(taken, start));
            left = left.subspan(taken);
        }
        while (auto const event = core->next_event()) benchmark::DoNotOptimize(event);
    }
    state.SetBytesProcessed(std::int64_t{next} * block_length);
}
BENCHMARK(receive_moved)->Arg(0)->Arg(1)->Arg(32);

/// What a served block costs: request read, handed out, answered, gathered. Blocks a second.
void serve(benchmark::State& state) {
    wire::connection core{with, start};
    core.unchoke();
    drain(core);
    byte_vector const data(block_length);
    byte_vector requests;
    for (std::uint32_t i = 0; i < 200; ++i)
        byte_writer{requests}.be(std::uint32_t{13}).be(std::uint8_t{6}).be(i).be(std::uint32_t{0}).be(block_length);
    std::array<byte_view, 64> runs;
    for (auto _ : state) {
        benchmark::DoNotOptimize(core.receive(requests, start));
        while (auto const event = core.next_event()) benchmark::DoNotOptimize(event);
        while (auto const ref = core.next_upload()) core.send_block(*ref, data);
        while (auto const count = core.unsent(runs)) {
            std::size_t bytes = 0;
            for (auto const& run : std::span{runs}.first(count)) bytes += run.size();
            core.sent(bytes, start);
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(core.blocks_sent()));
}
BENCHMARK(serve);

/// How fast are small messages read? Haves are the most frequent ones. Messages a second.
void parse_haves(benchmark::State& state) {
    byte_vector stream;
    for (std::uint32_t i = 0; i < pieces; ++i) byte_writer{stream}.bytes(have(i));
    std::int64_t count = 0;
    for (auto _ : state) {
        wire::connection core{with, start};
        benchmark::DoNotOptimize(core.receive(stream, start));
        while (auto const event = core.next_event()) ++count;
    }
    state.SetItemsProcessed(count);
}
BENCHMARK(parse_haves);

/// How fast is a handshake written and read? Handshakes a second.
void handshakes(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(wire::parse_handshake(wire::encode(wire::handshake{})));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(handshakes);
}  // namespace
