module;
#include <fnmatch.h>
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

module peer;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import :files;
import :moving;

namespace shoal::cli {
namespace {
/// Without a peer or a tracker that ever answered, `get` gives up after this long.
constexpr auto unreachable_after = std::chrono::seconds{30};
/// A full disk is waited for this long before `get` gives up; what is there can be resumed.
constexpr auto full_disk_patience = std::chrono::seconds{30};

using wall_clock = std::chrono::steady_clock;

/// One for each file; empty when all are wanted. A pattern is matched against the path and against the name alone.
std::vector<bool> wanted_files(metainfo::torrent const& content, std::vector<std::string> const& patterns) {
    if (patterns.empty()) return {};
    std::vector<bool> wanted;
    for (auto const& file : content.content().files()) {
        auto const path = file.joined();
        wanted.push_back(!file.pad && std::ranges::any_of(patterns, [&](std::string const& pattern) {
            return fnmatch(pattern.c_str(), path.c_str(), 0) == 0 ||
                   fnmatch(pattern.c_str(), file.path.back().c_str(), 0) == 0;
        }));
    }
    return wanted;
}

bool wants_to_seed(get_options const& options) {
    return options.seed || options.seed_ratio || options.seed_time;
}

bool has_seeded_enough(get_options const& options, watched const& each) {
    auto const status = each.transfer->status();
    bool is_enough = false;
    if (options.seed_ratio)
        is_enough =
            static_cast<double>(status.uploaded) >= *options.seed_ratio * static_cast<double>(status.bytes_total);
    if (options.seed_time && each.complete_since)
        is_enough = is_enough || wall_clock::now() - *each.complete_since >= *options.seed_time;
    return is_enough;
}

void tell_complete(mover& with, watched& each, wall_clock::time_point started) {
    each.complete_since = wall_clock::now();
    auto const status = each.transfer->status();
    auto const seconds = std::chrono::duration<double>(*each.complete_since - started).count();
    with.out.event("complete", {{"name", each.content->name()},
                                {"bytes", status.bytes_total},
                                {"downloaded", status.downloaded},
                                {"wasted", status.wasted},
                                {"seconds", seconds}});
    with.out.note(escaped(each.content->name()) + ": complete and verified, " + size_text(status.bytes_total));
}

net::task<int> get(mover& with, get_options const& options,
                   std::vector<std::shared_ptr<metainfo::torrent const>> contents) {
    auto& out = with.out;
    auto const started = wall_clock::now();
    if (auto const listening = with.listen(); !listening)
        co_return out.fail(exit_status::failed, "cannot listen on " + options.transfer.listen.to_string() + ": " +
                                                    listening.error().message());
    std::vector<std::shared_ptr<watched>> all;
    for (auto const& content : contents) {
        auto wanted = wanted_files(*content, options.select);
        if (!wanted.empty() && std::ranges::none_of(wanted, [](bool is_wanted) { return is_wanted; }))
            co_return out.fail(exit_status::not_found, escaped(content->name()) + ": no file matches --select");
        auto added = with.add(content, options.directory, true, std::move(wanted), options.sequential);
        if (!added)
            co_return out.fail(status_of(added.error()), escaped(content->name()) + ": " + added.error().message());
        all.push_back(added.value());
        out.event("start", {{"name", content->name()}, {"bytes", content->pieces().total_size()}});
    }

    wall_clock::time_point disk_full_since{};
    for (;;) {
        bool is_disk_full = false, is_done = true, is_reached = false;
        for (auto const& each : all) {
            auto const why = each->transfer->status().error;
            if (why == store::errc::no_space || is(why, condition::transient))
                is_disk_full = true;
            else if (why && !each->is_complete)  // later, what is there goes on being given
                co_return out.fail(status_of(why), escaped(each->content->name()) + ": " + why.message());
            if (each->is_complete && !each->complete_since) tell_complete(with, *each, started);
            if (!each->is_complete || (wants_to_seed(options) && !has_seeded_enough(options, *each))) is_done = false;
            is_reached = is_reached || each->was_reached || each->is_complete;
        }
        with.show_progress(all);
        if (is_done) co_return static_cast<int>(exit_status::done);
        bool const is_all_here = std::ranges::all_of(all, [](auto const& each) { return each->is_complete; });
        auto const now = wall_clock::now();
        if (with.stopped && is_all_here) co_return static_cast<int>(exit_status::done);
        if (with.stopped)
            co_return out.fail(exit_status::incomplete, "stopped before it was complete; start again to go on");
        if (options.timeout && now - started >= *options.timeout && !is_all_here)
            co_return out.fail(exit_status::incomplete, "not complete in the time given; start again to go on");
        if (!is_reached && now - started >= unreachable_after)
            co_return out.fail(exit_status::unreachable, "no peer and no tracker could be reached");
        if (!is_disk_full) disk_full_since = now;
        if (now - disk_full_since >= full_disk_patience)
            co_return out.fail(exit_status::not_writable, "no space left; start again to go on");
        co_await with.wait(redraw_interval);
    }
}
}  // namespace

int run_get(get_options const& options) {
    output out{options.transfer.output};
    if (asks_too_much(options.transfer, out)) return static_cast<int>(exit_status::failed);
    std::vector<std::shared_ptr<metainfo::torrent const>> contents;
    for (auto const& target : options.targets) {
        if (target.starts_with("magnet:") || target.starts_with("http://") || target.starts_with("https://"))
            return out.fail(exit_status::failed, "magnet links and URLs cannot be fetched yet: give a torrent file");
        contents.push_back(std::make_shared<metainfo::torrent const>(load_torrent(target)));
    }
    mover with{options.transfer, out};
    return with.run([&](mover& running) { return get(running, options, contents); });
}
}  // namespace shoal::cli
