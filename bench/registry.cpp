#include <benchmark/benchmark.h>

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <vector>

import shoal.core;
import shoal.registry;

using namespace shoal;

namespace {
info_hash torrent(std::uint32_t number) {
    info_hash name;
    store_be(mutable_byte_view{name.bytes}, number * 2'654'435'761U);
    return name;
}
ip_address address(std::uint32_t number) {
    return ip_address::v4({static_cast<std::uint8_t>(1 + (number >> 24)), static_cast<std::uint8_t>(number >> 16),
                           static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)});
}

/// Bytes of this process that are in memory.
double resident_bytes() {
    std::ifstream from("/proc/self/statm");
    double size = 0, resident = 0;
    from >> size >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// How many announces a second does a registry of N peers in T torrents take, 50 peers wanted? And bytes a peer: as it
/// counts them, and as the system does, of the first run of a process (`--benchmark_filter` chooses which that is).
void announce(benchmark::State& state) {
    auto const peers = static_cast<std::uint32_t>(state.range(0));
    auto const torrents = static_cast<std::uint32_t>(state.range(1));
    auto const before = resident_bytes();
    registry::registry tracker{{.secret = {1, 2}, .seed = 3}};
    registry::dice random{4};
    auto make = [&](std::uint32_t peer) {
        return registry::announcement{
            .torrent = torrent(peer % torrents), .peer = {address(peer), 6881}, .is_complete = peer % 3 == 0};
    };
    for (std::uint32_t peer = 0; peer < peers; ++peer) tracker.announce(make(peer), time_point{});
    static auto const taken = resident_bytes() - before;
    std::vector<registry::announcement> announces(65'536);
    for (auto& each : announces) each = make(random.below(peers));
    std::size_t at = 0;
    for (auto _ : state) benchmark::DoNotOptimize(tracker.announce(announces[at++ % announces.size()], time_point{}));
    state.SetItemsProcessed(state.iterations());
    state.counters["bytes_per_peer"] = static_cast<double>(tracker.memory()) / peers;
    state.counters["resident_per_peer"] = taken / peers;
}
BENCHMARK(announce)
    ->ArgNames({"peers", "torrents"})
    ->Args({100'000, 1})
    ->Args({100'000, 1000})
    ->Args({100'000, 50'000})
    ->Args({1'000'000, 10'000})
    ->Args({1'000'000, 1'000'000});
}  // namespace
