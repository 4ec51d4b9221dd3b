/// How fast does one file of 256 MiB pass from one engine to another over loopback, verified and under its final name?
/// Bytes per second, and seconds of CPU that both sides together use for 10^9 bytes. One thread each, and a pool each.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;

using namespace shoal;
namespace fs = std::filesystem;

namespace {
constexpr std::uint64_t content_size = 256 << 20;
constexpr std::uint32_t piece_length = 512 * 1024;
constexpr std::size_t workers_each = 3;  // no torrent is given all of them

/// The file, its torrent, and a place for copies.
class setting {
public:
    setting() {
        auto pattern = (fs::temp_directory_path() / "shoal-throughput-XXXXXX").string();
        if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
        folder_ = pattern;
        fs::create_directories(folder_ / "from");
        byte_vector bytes(content_size);
        std::mt19937_64 random{1};
        for (auto& each : std::span{reinterpret_cast<std::uint64_t*>(bytes.data()), content_size / 8}) each = random();
        std::ofstream out(folder_ / "from" / "file", std::ios::binary);
        out.write(reinterpret_cast<char const*>(bytes.data()), content_size);
        metainfo::source source;
        source.name = "file";
        source.single_file = true;
        source.files = {{{"file"}, content_size, false}};
        source.read = [&](std::size_t, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
            auto const count = std::min<std::size_t>(into.size(), content_size - offset);
            std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
            return count;
        };
        metainfo::make_options options;
        options.piece_length = piece_length;
        auto const made = metainfo::make_torrent(source, options).value();
        torrent = std::make_shared<metainfo::torrent const>(metainfo::parse_torrent(made).value());
    }
    ~setting() {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    setting(setting const&) = delete;
    setting& operator=(setting const&) = delete;

    fs::path from() const { return folder_ / "from"; }
    fs::path fresh() {
        fs::remove_all(folder_ / "to");
        fs::create_directories(folder_ / "to");
        return folder_ / "to";
    }
    std::shared_ptr<metainfo::torrent const> torrent;

private:
    fs::path folder_;
};

/// A node on a thread of its own.
class party {
public:
    party() : machine_{io_.get_executor(), workers_each} {
        node_ = std::make_unique<engine::node>(machine_.get(), io_.get_executor(), engine::node_settings{});
        at = node_->listen({*ip_address::parse("127.0.0.1"), 0}).value();
    }
    /// Adds the torrent, and returns when all is there; `then` is awaited before the loop may end.
    void run(std::shared_ptr<metainfo::torrent const> torrent, engine::transfer_options options, bool ends) {
        auto const transfer = node_->add(std::move(torrent), std::move(options)).value();
        bool is_done = false;
        asio::co_spawn(io_, until_complete(transfer, ends, is_done), [](std::exception_ptr why) {
            if (why) std::rethrow_exception(why);
        });
        while (!is_done) io_.run_one();
    }
    void keep_running() {
        thread_ = std::thread{[this] { io_.run(); }};
    }
    void stop() {
        asio::co_spawn(io_, node_->stop(), [](std::exception_ptr) {});
        thread_.join();
    }
    time_point now() { return machine_.get().clock.now(); }
    endpoint at;

private:
    net::task<void> until_complete(std::shared_ptr<engine::transfer> transfer, bool ends, bool& is_done) {
        if (!co_await transfer->completed()) throw std::runtime_error("the transfer failed");
        if (ends) co_await node_->stop();
        is_done = true;
    }
    asio::io_context io_;
    net::system_environment machine_;
    std::unique_ptr<engine::node> node_;
    std::thread thread_;
};

double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    auto const seconds = [](timeval const& of) {
        return static_cast<double>(of.tv_sec) + static_cast<double>(of.tv_usec) * 1e-6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void throughput(benchmark::State& state) {
    setting place;
    party seeder;
    engine::transfer_options giving;
    giving.storage.directory = place.from();
    giving.storage.writable = false;
    seeder.run(place.torrent, std::move(giving), false);
    seeder.keep_running();
    double cpu = 0;
    for (auto _ : state) {
        engine::transfer_options fetching;
        fetching.storage.directory = place.fresh();
        fetching.storage.kind = state.range(0) ? store::back_end::mapped : store::back_end::plain;
        fetching.connect = {seeder.at};
        party leecher;
        auto const cpu_before = cpu_seconds();
        auto const began = leecher.now();
        leecher.run(place.torrent, std::move(fetching), true);
        state.SetIterationTime(std::chrono::duration<double>(leecher.now() - began).count());
        cpu += cpu_seconds() - cpu_before;
    }
    seeder.stop();
    auto const bytes = static_cast<double>(state.iterations()) * content_size;
    state.counters["MB/s"] = benchmark::Counter(bytes / 1e6, benchmark::Counter::kIsRate);
    state.counters["cpu_s/GB"] = cpu / (bytes / 1e9);
}
}  // namespace
BENCHMARK(throughput)->ArgName("mapped")->Arg(1)->Arg(0)->UseManualTime()->Unit(benchmark::kMillisecond);
