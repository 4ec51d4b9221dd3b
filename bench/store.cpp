#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

import shoal.core;
import shoal.metainfo;
import shoal.store;

// How fast does a piece get from memory into a file, verified, and how fast is it verified there? Bytes of content per
// second, on the page cache of the temporary folder's file system. One thread; `prepare` is inside the loop, though a
// peer has another thread do it. Arguments: format (0 v1, 1 v2, 2 hybrid), back end (0 mapped, 1 plain).
namespace {
using namespace shoal;
namespace fs = std::filesystem;
constexpr std::uint32_t piece_length = 512 * 1024;
constexpr std::size_t content_size = 128 * 1024 * 1024;

struct content {
    byte_vector bytes;
    std::shared_ptr<metainfo::torrent const> torrent;
};

content const& content_in(metainfo::format format) {
    static content made[3];
    auto& one = made[static_cast<int>(format)];
    if (one.torrent) return one;
    one.bytes.resize(content_size);
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < content_size; i += 8) {
        auto const word = random();
        std::memcpy(one.bytes.data() + i, &word, 8);
    }
    metainfo::source source;
    source.name = "content";
    source.single_file = true;
    source.files.push_back({{"content"}, content_size, false});
    source.read = [&](std::size_t, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
        auto const count = std::min<std::size_t>(into.size(), content_size - offset);
        std::memcpy(into.data(), one.bytes.data() + offset, count);
        return count;
    };
    metainfo::make_options options;
    options.format = format;
    options.piece_length = piece_length;
    one.torrent = std::make_shared<metainfo::torrent const>(
        metainfo::parse_torrent(metainfo::make_torrent(source, options).value()).value());
    return one;
}

struct place {
    fs::path path = fs::temp_directory_path() / ("shoal-bench-store-" + std::to_string(std::random_device{}()));
    ~place() { fs::remove_all(path); }
};

std::unique_ptr<store::chunk_store> open_in(place const& at, content const& from, std::int64_t kind) {
    store::store_settings settings;
    settings.directory = at.path;
    settings.kind = kind == 0 ? store::back_end::mapped : store::back_end::plain;
    return std::move(store::chunk_store::open(from.torrent, settings).value());
}

/// Blocks come `burst` at a time, as from one receive call.
void receive_piece(store::chunk_store& into, content const& from, piece_index piece, bool windows) {
    constexpr std::uint32_t burst = 8;
    auto const& pieces = from.torrent->pieces();
    auto const writer = into.begin(piece);
    if (windows) (void)into.prepare(piece);
    store::block_data blocks[burst];
    for (std::uint32_t n = 0; n < pieces.block_count(piece); n += burst) {
        for (std::uint32_t i = 0; i < burst; ++i) {
            auto const block = pieces.block_at(piece, n + i);
            auto const bytes = byte_view{from.bytes}.subspan(pieces.offset_of(block), block.length);
            blocks[i] = {block.begin, bytes, false};
            if (auto const window = windows ? into.window(block) : std::nullopt) {
                std::memcpy(window->data(), bytes.data(), bytes.size());
                blocks[i] = {block.begin, *window, true};
            }
        }
        if (!writer->write(blocks)) std::abort();
    }
    if (!writer->finish().value()) std::abort();
}

void receive(benchmark::State& state, bool windows) {
    auto const& from = content_in(static_cast<metainfo::format>(state.range(0)));
    for (auto _ : state) {
        state.PauseTiming();
        {
            place const at;
            auto const into = open_in(at, from, state.range(1));
            state.ResumeTiming();
            for (std::uint32_t piece = 0; piece < from.torrent->pieces().piece_count(); ++piece)
                receive_piece(*into, from, piece_index{piece}, windows);
            state.PauseTiming();
        }
        state.ResumeTiming();
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(content_size));
}
void receive_by_buffers(benchmark::State& state) {
    receive(state, false);
}
void receive_in_windows(benchmark::State& state) {
    receive(state, true);
}

void check(benchmark::State& state) {
    auto const& from = content_in(static_cast<metainfo::format>(state.range(0)));
    place const at;
    auto const into = open_in(at, from, state.range(1));
    for (std::uint32_t piece = 0; piece < from.torrent->pieces().piece_count(); ++piece)
        receive_piece(*into, from, piece_index{piece}, false);
    for (auto _ : state)
        for (std::uint32_t piece = 0; piece < from.torrent->pieces().piece_count(); ++piece)
            if (!into->check_piece(piece_index{piece}).value()) std::abort();
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(content_size));
}

/// What does the network thread pay to look one block up for sending? Blocks per second.
void view(benchmark::State& state) {
    auto const& from = content_in(metainfo::format::v1);
    auto const& pieces = from.torrent->pieces();
    place const at;
    auto const into = open_in(at, from, 0);
    for (std::uint32_t piece = 0; piece < pieces.piece_count(); ++piece) {
        receive_piece(*into, from, piece_index{piece}, false);
        byte_vector bytes(block_length);
        (void)into->read(pieces.block_at(piece_index{piece}, 0), bytes);
    }
    std::mt19937 random(1);
    std::size_t missing = 0;
    for (auto _ : state) {
        auto const piece = piece_index{static_cast<std::uint32_t>(random() % pieces.piece_count())};
        auto const found = into->view(pieces.block_at(piece, random() % pieces.block_count(piece)));
        benchmark::DoNotOptimize(found);
        missing += !found;
    }
    if (missing > 0) state.SkipWithError("not resident");
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(receive_by_buffers)->Args({0, 0})->Args({0, 1})->Args({2, 0})->Unit(benchmark::kMillisecond);
BENCHMARK(receive_in_windows)->Args({0, 0})->Args({2, 0})->Unit(benchmark::kMillisecond);
BENCHMARK(check)->Args({0, 0})->Args({1, 0})->Args({2, 0})->Unit(benchmark::kMillisecond);
BENCHMARK(view);
}  // namespace
