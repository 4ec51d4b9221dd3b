module;
#include <algorithm>
#include <atomic>
#include <boost/json/object.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

module peer;
import shoal.core;
import shoal.metainfo;
import shoal.store;

namespace shoal::cli {
namespace {
namespace fs = std::filesystem;

enum class state : char { unknown, right, bad, missing };

/// Hashes every piece on several threads.
class checker {
public:
    checker(store::chunk_store& store, std::uint32_t piece_count) : store_(store), states_(piece_count) {}

    /// Returns early, with pieces left unknown, when `stop` is requested. Throws `failure` when the disk fails.
    std::vector<state> run(std::uint32_t threads, std::stop_token stop, output& out) {
        std::stop_callback const on_stop(stop, [this] { stop_.request_stop(); });
        {
            std::vector<std::jthread> workers(std::max(1U, threads));
            for (auto& worker : workers) worker = std::jthread([this] { work(); });
            std::unique_lock lock(mutex_);
            while (done_ < states_.size() && !stop_.stop_requested()) {
                changed_.wait_for(lock, redraw_interval);
                show_progress(out);
            }
        }
        if (failure_) throw *failure_;
        return std::move(states_);
    }

private:
    void work() {
        while (!stop_.stop_requested()) {
            auto const number = next_++;
            if (number >= states_.size()) return;
            auto const judged = judge(piece_index{number});
            std::lock_guard const lock(mutex_);
            states_[number] = judged;
            if (++done_ == states_.size() || failure_) changed_.notify_one();
        }
    }

    state judge(piece_index piece) {
        auto const right = store_.check_piece(piece);
        if (right) return right.value() ? state::right : store_.may_have(piece) ? state::bad : state::missing;
        auto const why = right.error();
        if (why == store::errc::symbolic_link || why == store::errc::not_a_file) return state::missing;
        std::lock_guard const lock(mutex_);
        if (!failure_ && why == store::errc::hashes_disagree) failure_ = failure{exit_status::mismatch, why.message()};
        if (!failure_)
            failure_ = failure{exit_status::failed, escaped(store_.last_failed_path()) + ": " + why.message()};
        stop_.request_stop();
        return state::unknown;
    }

    void show_progress(output& out) const {
        if (!out.progress_due()) return;
        auto const count = std::to_string(states_.size());
        out.progress("checked " + std::to_string(done_) + " of " + count + " pieces (" +
                         std::to_string(done_ * 100 / states_.size()) + " %)",
                     {{"checked", done_}, {"pieces", states_.size()}});
    }

    store::chunk_store& store_;
    std::atomic<std::uint32_t> next_ = 0;
    std::stop_source stop_;
    std::mutex mutex_;  // of all below
    std::condition_variable changed_;
    std::vector<state> states_;
    std::size_t done_ = 0;
    std::optional<failure> failure_;
};

/// `4, 7-9`: the pieces of the span that are in `wanted`; empty when none is.
std::string pieces_text(std::vector<state> const& states, metainfo::piece_span span, state wanted) {
    std::string text;
    for (auto at = span.first; at < span.first + span.count; ++at) {
        if (states[at] != wanted) continue;
        auto const first = at;
        while (at + 1 < span.first + span.count && states[at + 1] == wanted) ++at;
        text += (text.empty() ? "" : ", ") + std::to_string(first);
        if (at != first) text += "-" + std::to_string(at);
    }
    return text;
}

/// Where the files of a torrent are.
struct content_places {
    fs::path const& directory;
    metainfo::torrent const& torrent;
    store::content_names const& names;

    fs::path of(store::file_number file) const {
        auto const root = directory / (names.root.empty() ? torrent.name() : names.root);
        if (torrent.single_file()) return root;
        auto const named = names.paths.find(file);
        return root / (named != names.paths.end() ? named->second : torrent.content().files()[file].joined());
    }
};

/// What the pieces do not show: an empty file that is missing, a file that goes on after its last piece.
std::optional<std::string> wrong_size(fs::path const& path, metainfo::file const& file) {
    std::error_code error;
    if (!fs::is_regular_file(fs::symlink_status(path, error)))
        return file.size == 0 ? std::optional<std::string>{"missing"} : std::nullopt;
    auto const size = fs::file_size(path, error);
    if (error || size <= file.size) return std::nullopt;
    return std::to_string(size - file.size) + " bytes too long";
}

/// Says what is wrong, file by file; how many files have a wrong size.
std::size_t report_files(output& out, metainfo::torrent const& torrent, content_places const& places,
                         std::vector<state> const& states) {
    std::size_t wrong = 0;
    auto const& content = torrent.content();
    for (std::uint32_t i = 0; i < content.files().size(); ++i) {
        auto const& file = content.files()[i];
        if (file.pad || file.symlink) continue;
        auto const name = escaped(file.joined());
        auto const bad = pieces_text(states, content.pieces_of(i), state::bad);
        auto const missing = pieces_text(states, content.pieces_of(i), state::missing);
        if (!bad.empty()) out.result(name + ": bad pieces " + bad);
        if (!missing.empty()) out.result(name + ": missing pieces " + missing);
        if (auto const why = wrong_size(places.of(i), file)) {
            ++wrong;
            out.result(name + ": " + *why);
            out.event("file", {{"path", file.joined()}, {"problem", *why}});
        }
    }
    return wrong;
}

int report(output& out, metainfo::torrent const& torrent, content_places const& places,
           std::vector<state> const& states) {
    for (std::size_t piece = 0; piece < states.size(); ++piece)
        if (states[piece] != state::right)
            out.event("piece", {{"piece", piece}, {"state", states[piece] == state::bad ? "bad" : "missing"}});
    auto const wrong = report_files(out, torrent, places, states);
    auto const count = [&states](state wanted) { return std::count(states.begin(), states.end(), wanted); };
    auto const total = std::to_string(states.size());
    out.event("complete", {{"pieces", states.size()},
                           {"right", count(state::right)},
                           {"bad", count(state::bad)},
                           {"missing", count(state::missing)},
                           {"files_of_wrong_size", wrong}});
    if (count(state::right) == static_cast<std::ptrdiff_t>(states.size()) && wrong == 0) {
        out.result("all " + total + " pieces are right");
        return static_cast<int>(exit_status::done);
    }
    out.result("of " + total + " pieces " + std::to_string(count(state::bad)) + " are bad and " +
               std::to_string(count(state::missing)) + " missing");
    return static_cast<int>(exit_status::mismatch);
}
}  // namespace

int run_verify(verify_options const& options) {
    output out{options.output};
    stop_on_signal const signals;
    auto const torrent = std::make_shared<metainfo::torrent const>(load_torrent(options.torrent));
    if (!fs::is_directory(options.directory))
        throw failure{exit_status::not_found, escaped(options.directory.string()) + " is no folder"};
    store::store_settings settings;
    settings.directory = options.directory;
    settings.writable = false;
    settings.names = names_in(options.directory, *torrent);
    content_places const places{options.directory, *torrent, settings.names};
    auto opened = store::chunk_store::open(torrent, settings);
    if (!opened)
        throw failure{exit_status::failed, escaped(options.directory.string()) + ": " + opened.error().message()};
    out.event("start", {{"name", torrent->name()}, {"pieces", torrent->pieces().piece_count()}});

    checker check{*opened.value(), torrent->pieces().piece_count()};
    auto const threads = options.threads != 0 ? options.threads : std::thread::hardware_concurrency();
    auto const states = check.run(threads, signals.token(), out);
    if (std::find(states.begin(), states.end(), state::unknown) != states.end())
        throw failure{exit_status::incomplete, "stopped before every piece was checked"};
    return report(out, *torrent, places, states);
}
}  // namespace shoal::cli
