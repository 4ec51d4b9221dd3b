#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>

import shoal.core;
import shoal.bencode;

using namespace shoal;

namespace {
/// A v1 torrent of so many files, which is many small items, and one long string.
byte_vector torrent_of(std::int64_t files) {
    bencode::encoder out;
    out.dictionary().entry("announce", "http://tracker.example/announce").key("info").dictionary().key("files").list();
    for (std::int64_t i = 0; i < files; ++i)
        out.dictionary()
            .entry("length", i * 1000)
            .key("path")
            .list()
            .text("folder")
            .text(std::to_string(i))
            .end()
            .end();
    out.end().entry("name", "name").entry("piece length", 1 << 19).entry("pieces", std::string(20 * 1000, 'x'));
    return out.end().end().take();
}

/// How fast is a torrent of N files read? Bytes of input and items per second.
void decode_files(benchmark::State& state) {
    auto const torrent = torrent_of(state.range(0));
    for (auto _ : state) benchmark::DoNotOptimize(bencode::decode(torrent));
    state.SetBytesProcessed(state.iterations() * std::ssize(torrent));
    state.SetItemsProcessed(state.iterations() * state.range(0) * 7);
}
BENCHMARK(decode_files)->RangeMultiplier(32)->Range(1, 32'768);

/// How fast is it written? Bytes of output per second.
void encode_files(benchmark::State& state) {
    std::int64_t bytes = 0;
    for (auto _ : state) {
        auto const torrent = torrent_of(state.range(0));
        benchmark::DoNotOptimize(torrent.data());
        bytes += std::ssize(torrent);
    }
    state.SetBytesProcessed(bytes);
}
BENCHMARK(encode_files)->RangeMultiplier(32)->Range(1, 32'768);

/// How fast is a tracker's reply of 50 compact peers written? Replies per second.
void encode_reply(benchmark::State& state) {
    byte_vector const peers(50 * 6);
    for (auto _ : state) {
        auto const reply = bencode::encoder{}
                               .dictionary()
                               .entry("complete", 10)
                               .entry("incomplete", 40)
                               .entry("interval", 1800)
                               .entry("peers", byte_view{peers})
                               .end()
                               .take();
        benchmark::DoNotOptimize(reply.data());
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode_reply);
}  // namespace
