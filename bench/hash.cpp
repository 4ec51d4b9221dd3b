#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <vector>

import shoal.core;
import shoal.hash;

using namespace shoal;

namespace {
/// How fast are runs of N bytes hashed while they are in the cache? Bytes per second.
void sha1(benchmark::State& state) {
    byte_vector const bytes(static_cast<std::size_t>(state.range(0)), std::byte{7});
    for (auto _ : state) benchmark::DoNotOptimize(hash::sha1_of(bytes));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(sha1)->Arg(64)->Arg(16 * 1024)->Arg(256 * 1024);

void sha256(benchmark::State& state) {
    byte_vector const bytes(static_cast<std::size_t>(state.range(0)), std::byte{7});
    for (auto _ : state) benchmark::DoNotOptimize(hash::sha256_of(bytes));
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(sha256)->Arg(64)->Arg(16 * 1024)->Arg(256 * 1024);

/// How fast is the root of a stream computed, against plain SHA-256? Bytes per second.
void merkle_stream(benchmark::State& state) {
    byte_vector const bytes(1 << 20, std::byte{7});
    hash::merkle_hasher hasher;
    for (auto _ : state) {
        hasher.update(bytes);
        benchmark::DoNotOptimize(hasher.finish());
    }
    state.SetBytesProcessed(state.iterations() * std::ssize(bytes));
}
BENCHMARK(merkle_stream);

/// How fast is a piece layer of N digests checked against its root? Nodes per second.
void merkle_layer(benchmark::State& state) {
    std::vector<sha256_digest> const layer(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) benchmark::DoNotOptimize(hash::merkle_root(layer, 5));
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(merkle_layer)->Arg(1000)->Arg(65'536);
}  // namespace
