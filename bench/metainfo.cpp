#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

import shoal.core;
import shoal.metainfo;

using namespace shoal;
using namespace shoal::metainfo;

namespace {
/// `count` files of `size` bytes in folders of a hundred; every file has the same content.
source folder_of(std::size_t count, std::uint64_t size, byte_vector const& content) {
    source of{.name = "bench"};
    for (std::size_t i = 0; i < count; ++i)
        of.files.push_back({{"folder " + std::to_string(i / 100), "file " + std::to_string(i) + ".bin"}, size});
    of.read = [&content, size](std::size_t, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
        auto const length = std::min<std::uint64_t>(into.size(), size - std::min(offset, size));
        if (length > 0) std::memcpy(into.data(), content.data() + offset % (content.size() - length + 1), length);
        return length;
    };
    return of;
}

/// How fast is a .torrent of N files read? Bytes of the .torrent per second.
void read_torrent(benchmark::State& state, format made) {
    byte_vector const content(20'000);
    auto const bytes = make_torrent(folder_of(static_cast<std::size_t>(state.range(0)), 20'000, content),
                                    {.format = made, .piece_length = 16 * 1024})
                           .value();
    for (auto _ : state) benchmark::DoNotOptimize(parse_torrent(bytes));
    state.SetBytesProcessed(state.iterations() * std::ssize(bytes));
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(read_torrent, v1, format::v1)->RangeMultiplier(100)->Range(1, 10'000)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(read_torrent, hybrid, format::hybrid)
    ->RangeMultiplier(100)
    ->Range(1, 10'000)
    ->Unit(benchmark::kMicrosecond);

/// How fast is content hashed when a torrent of it is made on N threads? Bytes of content per second.
void make(benchmark::State& state, format made) {
    byte_vector const content(1 << 20, std::byte{7});
    auto const of = folder_of(4, 16 << 20, content);
    make_options options{.format = made, .threads = static_cast<std::size_t>(state.range(0))};
    for (auto _ : state) benchmark::DoNotOptimize(make_torrent(of, options));
    state.SetBytesProcessed(state.iterations() * (64 << 20));
}
BENCHMARK_CAPTURE(make, v1, format::v1)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(make, hybrid, format::hybrid)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

/// What does it cost to find the files of a block in a torrent of N files? Blocks per second.
void block_to_files(benchmark::State& state) {
    std::vector<file> files(static_cast<std::size_t>(state.range(0)));
    for (auto& each : files) each.size = 100'000;
    layout const content{512 * 1024, files};
    auto const& pieces = content.geometry();
    std::uint32_t piece = 0;
    for (auto _ : state) {
        piece = (piece + 7919) % pieces.piece_count();
        auto const block = pieces.block_at(piece_index{piece}, 0);
        content.for_each_range(pieces.offset_of(block), block.length,
                               [](file_range const& range) { benchmark::DoNotOptimize(range); });
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(block_to_files)->Arg(1)->Arg(100)->Arg(100'000);

/// How fast are names made fit for a disk? Names per second.
void sanitise(benchmark::State& state) {
    std::string const name = "A usual name of a file - \u65e5\u672c (2026) [x264].mkv";
    for (auto _ : state) benchmark::DoNotOptimize(sanitise_name(name));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sanitise);
}  // namespace
