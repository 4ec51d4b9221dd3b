module;
#include <fnmatch.h>
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

module peer;
import shoal.announce;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import :catalogue;
import :files;
import :moving;

namespace shoal::cli {
namespace {
/// A full disk, or what else may pass, is waited for this long before `get` gives up; what is there can be resumed.
constexpr auto disk_patience = std::chrono::seconds{30};
/// Trackers have answered and nobody is known or can be connected to for this long: the user is told.
constexpr auto told_alone_after = std::chrono::seconds{5};
constexpr auto told_unconnected_after = std::chrono::seconds{30};

using wall_clock = std::chrono::steady_clock;

/// One for each file; empty when all are wanted. A pattern is matched against the path and against the name alone. What
/// the user asks for goes before what a magnet link does.
std::vector<bool> wanted_files(found_target const& found, std::vector<std::string> const& patterns) {
    if (patterns.empty()) return files_meant(found);
    auto const& content = *found.torrent;
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

/// Says, once each time, that there is nobody to fetch from.
void tell_if_alone(output& out, watched& each, wall_clock::time_point now) {
    auto const status = each.transfer->status();
    if (each.is_complete || !each.was_reached || status.peers > 0) {
        each.alone_since.reset();
        each.was_told_alone = false;
        return;
    }
    if (!each.alone_since) each.alone_since = now;
    bool const is_known = status.peers_known > 0;
    if (each.was_told_alone || now - *each.alone_since < (is_known ? told_unconnected_after : told_alone_after)) return;
    each.was_told_alone = true;
    auto const why = is_known ? "none of the " + std::to_string(status.peers_known) + " peers known can be reached"
                              : std::string{"nobody is there who has it"};
    out.note(escaped(each.content->name()) + ": " + why + "; waiting");
}

/// Different trackers, of the torrents and of the options.
std::size_t tracker_count(std::vector<found_target> const& targets, std::vector<std::string> const& given) {
    std::set<std::string> all;
    for (auto const& url : given) all.insert(announce::without_passkey(url));
    for (auto const& target : targets)
        for (auto const& tier : target.torrent->trackers())
            for (auto const& url : tier) all.insert(announce::without_passkey(url));
    return all.size();
}

net::task<int> get(mover& with, get_options const& options) {
    auto& out = with.out;
    std::vector<found_target> targets;
    auto const asked_at = wall_clock::now();
    for (auto const& target : options.targets) {
        if (is_magnet(target)) with.listen();  // trackers are told the port
        auto const until = options.timeout ? asked_at + *options.timeout : wall_clock::time_point::max();
        auto found = co_await before_stop(with, find_target(with, options.transfer, target, until));
        if (!found)
            co_return out.fail(exit_status::incomplete,
                               escaped(announce::without_secrets(target)) + ": stopped before it was found");
        targets.push_back(*std::move(found));
    }
    auto const started = wall_clock::now();
    with.listen();
    std::vector<std::shared_ptr<watched>> all;
    for (auto const& target : targets) {
        auto const& content = target.torrent;
        auto wanted = wanted_files(target, options.select);
        if (!wanted.empty() && std::ranges::none_of(wanted, [](bool is_wanted) { return is_wanted; }))
            co_return out.fail(
                exit_status::not_found,
                escaped(content->name()) + (options.select.empty() ? ": the magnet link names none of its files"
                                                                   : ": no file matches --select"));
        auto added = with.add(content, options.directory,
                              {.writable = true,
                               .wanted_files = std::move(wanted),
                               .peers = target.peers,
                               .hearsay = target.hearsay,
                               .sequential = options.sequential});
        if (!added)
            co_return out.fail(status_of(added.error()), escaped(content->name()) + ": " + added.error().message());
        all.push_back(added.value());
        out.event("start", {{"name", content->name()}, {"bytes", content->content().content_size()}});
    }

    bool const has_one_tracker = tracker_count(targets, options.transfer.trackers) == 1;
    wall_clock::time_point disk_failed_since{};
    for (;;) {
        std::error_code disk_trouble;
        bool is_done = true, is_reached = false, is_kept_out = false;
        for (auto const& each : all) {
            auto const why = each->transfer->status().error;
            if (why == store::errc::no_space || is(why, condition::transient))
                disk_trouble = why;
            else if (why && !each->is_complete)  // later, what is there goes on being given
                co_return out.fail(status_of(why), escaped(each->content->name()) + ": " + why.message());
            if (each->is_complete && !each->complete_since) tell_complete(with, *each, started);
            if (!each->is_complete || (wants_to_seed(options) && !has_seeded_enough(options, *each))) is_done = false;
            is_kept_out = is_kept_out || each->was_kept_out;
            is_reached = is_reached || each->was_reached || each->is_complete;
            tell_if_alone(out, *each, wall_clock::now());
        }
        with.show_progress(all);
        if (is_done) co_return static_cast<int>(exit_status::done);
        bool const is_all_here = std::ranges::all_of(all, [](auto const& each) { return each->is_complete; });
        auto const now = wall_clock::now();
        if (with.stopped && is_all_here) co_return static_cast<int>(exit_status::done);
        if (with.stopped)
            co_return out.fail(exit_status::incomplete, "stopped before it was complete; start again to go on");
        if (options.timeout && now - asked_at >= *options.timeout && !is_all_here)
            co_return out.fail(exit_status::incomplete, "not complete in the time given; start again to go on");
        if (!is_reached && is_kept_out && now - started >= (has_one_tracker ? kept_out_after : unreachable_after))
            co_return out.fail(exit_status::not_permitted, "the tracker wants the announce URL with your passkey");
        if (!is_reached && now - started >= unreachable_after)
            co_return out.fail(exit_status::unreachable, "no peer and no tracker could be reached");
        if (!disk_trouble) disk_failed_since = now;
        if (now - disk_failed_since >= disk_patience)
            co_return out.fail(status_of(disk_trouble), disk_trouble.message() + "; start again to go on");
        co_await with.wait(redraw_interval);
    }
}
}  // namespace

int run_get(get_options const& options) {
    output out{options.transfer.output};
    if (asks_too_much(options.transfer, out)) return static_cast<int>(exit_status::failed);
    for (auto const& target : options.targets)
        if (is_magnet(target)) (void)read_magnet(target);  // a mistake is told before anything begins
    mover with{options.transfer, out};
    return with.run([&](mover& running) { return get(running, options); });
}
}  // namespace shoal::cli
