module;
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

module peer;
import shoal.core;
import shoal.measure;
import :raw_copy;

namespace shoal::cli {
namespace {
namespace fs = std::filesystem;
constexpr measure::seconds patience{600};
constexpr std::size_t part = std::size_t{1} << 20;  // of files that are made and compared

/// Bytes that do not repeat; which they are does not matter.
void make_content(fs::path const& path, std::uint64_t size) {
    std::ofstream file{path, std::ios::binary};
    std::vector<std::uint64_t> words(part / sizeof(std::uint64_t));
    std::uint64_t state = 1;
    for (std::uint64_t done = 0; done < size && file; done += part) {
        for (auto& each : words) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            each = state ^ (state >> 29);
        }
        file.write(reinterpret_cast<char const*>(words.data()),
                   static_cast<std::streamsize>(std::min<std::uint64_t>(part, size - done)));
    }
    if (!file.flush()) throw failure{exit_status::not_writable, "cannot write " + escaped(path.string())};
}

bool are_equal(fs::path const& one, fs::path const& other) {
    std::error_code error;
    if (fs::file_size(one, error) != fs::file_size(other, error) || error) return false;
    std::ifstream a{one, std::ios::binary}, b{other, std::ios::binary};
    std::vector<char> from_a(part), from_b(part);
    for (;;) {
        a.read(from_a.data(), part);
        b.read(from_b.data(), part);
        if (a.gcount() != b.gcount() ||
            std::memcmp(from_a.data(), from_b.data(), static_cast<std::size_t>(a.gcount())) != 0)
            return false;
        if (a.gcount() < static_cast<std::streamsize>(part)) return true;
    }
}

/// What a peer needs to have nothing to do with others on this machine.
std::vector<std::string> alone(std::vector<std::string> words, fs::path const& state) {
    words.insert(words.end(), {"--listen", "127.0.0.1:0", "--state", state.string(), "--no-dht", "--no-lsd", "--no-utp",
                               "--no-pex"});
    return words;
}

/// A peer that seeds the content, and has checked it.
class seeder {
public:
    seeder(fs::path const& torrent, fs::path const& folder, fs::path const& state)
        : process_(
              measure::child::of_self(alone({"seed", torrent.string(), folder.string(), "--json", "--quiet"}, state))) {
        for (bool is_ready = false; !is_ready;) {
            auto const line = process_.read_line(patience);
            if (!line) throw failure{exit_status::failed, "the seeder did not start"};
            boost::system::error_code error;
            auto const event = boost::json::parse(*line, error);
            if (error) continue;
            auto const& name = event.at("event");
            if (name == "listening") at_ = event.at("address").as_string();
            is_ready = name == "start";
        }
    }
    std::string const& at() const noexcept { return at_; }
    measure::seconds cpu() const { return process_.cpu(); }

private:
    measure::child process_;
    std::string at_;
};

copied fetch(seeder const& from, fs::path const& torrent, fs::path const& folder, fs::path const& state) {
    auto const before = from.cpu();
    measure::stopwatch const time;
    auto getter = measure::child::of_self(
        alone({"get", torrent.string(), "-o", folder.string(), "--connect", from.at(), "--quiet"}, state));
    auto const got = getter.wait(patience);
    auto const wall = time.elapsed();
    if (got.status != EXIT_SUCCESS) throw failure{exit_status::failed, "the fetch failed"};
    return {wall, got.cpu + from.cpu() - before};
}

/// All runs of one way to move the content.
struct series {
    std::string name;
    std::vector<double> wall, cpu;
};

boost::json::object told(series const& of, series const& limit, std::uint64_t size) {
    auto const wall = measure::median(of.wall), gigabytes = static_cast<double>(size) / 1e9;
    return {{"what", of.name},
            {"seconds", wall},
            {"megabytes_per_second", gigabytes * 1e3 / wall},
            {"cpu_seconds_per_gigabyte", measure::median(of.cpu) / gigabytes},
            {"times_limit", wall / measure::median(limit.wall)}};
}
}  // namespace

int run_bench(bench_options const& options) {
    output out{options.output};
    measure::work_folder const work{options.directory};
    auto const there = work.path() / "there", torrent = work.path() / "content.torrent";
    fs::create_directory(there);
    make_content(there / "content", options.size);
    auto const length = options.piece_length == 0 ? bench_options{}.piece_length : options.piece_length;
    auto made = measure::child::of_self({"create", (there / "content").string(), "-o", torrent.string(), "--format",
                                         "v1", "--piece-length", std::to_string(length), "--quiet"});
    if (made.wait(patience).status != EXIT_SUCCESS) throw failure{exit_status::failed, "no torrent could be made"};
    seeder const from{torrent, there, work.path() / "seeder"};

    series limit{"limit", {}, {}}, ours{"peer", {}, {}};
    out.note(size_text(options.size) + " from one process to another on this machine, pieces of " + size_text(length) +
             ", medians of " + std::to_string(options.runs));
    auto const once = [&](series& into, std::uint32_t run) {
        auto const folder = work.path() / (into.name + std::to_string(run));
        fs::create_directory(folder);
        auto const took = &into == &limit
                              ? copy_raw(there / "content", folder / "content", static_cast<std::uint32_t>(length))
                              : fetch(from, torrent, folder, folder / "state");
        if (!are_equal(there / "content", folder / "content"))
            throw failure{exit_status::mismatch, "what came is not what was sent"};
        fs::remove_all(folder);
        out.event("run", {{"what", into.name},
                          {"seconds", took.wall.count()},
                          {"cpu_seconds", took.cpu.count()},
                          {"counted", run > 0}});
        if (run == 0) return;  // memory and caches are warm from here on
        into.wall.push_back(took.wall.count());
        into.cpu.push_back(took.cpu.count());
    };
    for (std::uint32_t run = 0; run <= options.runs; ++run) {
        once(run % 2 == 0 ? limit : ours, run);
        once(run % 2 == 0 ? ours : limit, run);
    }

    measure::table rows{{"", "seconds", "MB/s", "CPU s/GB", "of the limit"}};
    for (auto const* each : {&limit, &ours}) {
        auto const found = told(*each, limit, options.size);
        auto const text = [&found](char const* name, int digits) {
            return measure::number_text(found.at(name).as_double(), digits);
        };
        rows.add({each->name, text("seconds", 3), text("megabytes_per_second", 0), text("cpu_seconds_per_gigabyte", 2),
                  text("times_limit", 2)});
        out.event("result", found);
    }
    for (auto const& line : rows.lines()) out.result(line);
    return static_cast<int>(exit_status::done);
}
}  // namespace shoal::cli
