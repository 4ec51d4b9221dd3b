module;
#include <chrono>
#include <coroutine>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

module peer;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import :catalogue;
import :files;
import :moving;

namespace shoal::cli {
namespace {
/// One line for each content that a name may mean.
std::string candidates(std::string const& name, std::vector<listed> const& all) {
    std::string text = escaped(name) + " names several contents; give one of their info-hashes instead:";
    for (auto const& each : all) {
        text += "\n  " + to_hex(each.hash.view()) + "  " + size_text(each.size) + ", " + std::to_string(each.nodes) +
                (each.nodes == 1 ? " node, shared by" : " nodes, shared by");
        for (auto const& owner : each.owners) text += " " + escaped(owner);
    }
    return text;
}

/// What a name or info-hash means in the hub's catalogue. Throws `failure`.
net::task<metainfo::torrent> fetch_by_name(hub_catalogue hub, std::string name) {
    auto const bytes = from_hex(name);
    auto hash = bytes ? info_hash::from(*bytes) : std::nullopt;
    if (!hash) {
        auto const found = co_await hub.by_name(name);
        if (found.contents.size() > 1) throw failure{exit_status::failed, candidates(name, found.contents)};
        if (found.contents.empty())
            throw failure{exit_status::not_found, escaped(name) + ": the hub knows no such name" + near_names(found)};
        hash = found.contents.front().hash;
    }
    auto torrent = co_await hub.fetch(*hash);
    if (!torrent) throw failure{exit_status::not_found, escaped(name) + ": the hub does not have it any more"};
    co_return std::move(*torrent);
}

/// A torrent file, its URL, or a name in the catalogue.
net::task<metainfo::torrent> torrent_of(std::string target, std::vector<std::string> trackers,
                                        net::environment& outside) {
    if (is_web_url(target)) co_return co_await fetch_torrent(outside, target);
    std::error_code error;
    auto hub = hub_catalogue::of(trackers, outside);
    if (!hub && !std::filesystem::exists(target, error))
        throw failure{exit_status::not_found,
                      escaped(target) + ": no such torrent file; a name in a hub's catalogue needs --tracker"};
    if (!hub) co_return load_torrent(target);
    std::optional<failure> no_torrent;
    if (std::filesystem::is_regular_file(target, error)) {
        try {
            co_return load_torrent(target);
        } catch (failure const& why) {
            no_torrent = why;
        }
    }
    try {
        co_return co_await fetch_by_name(*hub, target);
    } catch (failure const& why) {
        if (no_torrent && why.status == exit_status::not_found) throw *no_torrent;
        throw;
    }
}

/// How the search for a magnet link goes.
struct search_state {
    std::string name;
    bool was_reached = false, was_kept_out = false;
    bool has_no_tracker = false;
    std::optional<result<engine::found_torrent>> found;
};

void on_event(output& out, search_state& state, engine::transfer_event const& happened) {
    namespace event = engine::event;
    if (auto const* joined = std::get_if<event::peer_joined>(&happened)) {
        state.was_reached = true;
        tell(out, state.name, *joined);
    } else if (auto const* left = std::get_if<event::peer_left>(&happened)) {
        tell(out, state.name, *left);
    } else if (auto const* announced = std::get_if<event::announced>(&happened)) {
        state.was_reached = true;
        tell(out, *announced);
    } else if (auto const* searched = std::get_if<event::dht_searched>(&happened)) {
        state.was_reached = state.was_reached || (state.has_no_tracker && searched->nodes > 0);
        tell(out, *searched);
    } else if (auto const* refused = std::get_if<event::announce_failed>(&happened)) {
        state.was_kept_out = state.was_kept_out || refused->why.starts_with(announce::not_permitted);
        tell(out, *refused);
    }
}

net::task<found_target> find_magnet(mover& with, transfer_options const& options, std::string target,
                                    std::chrono::steady_clock::time_point until) {
    using wall_clock = std::chrono::steady_clock;
    auto const link = read_magnet(target);
    auto const name = link.name.empty() ? to_hex(link.swarm_hash().view()) : link.name;
    std::set<std::string> all_trackers;
    for (auto const* urls : {&link.trackers, &options.trackers})
        for (auto const& url : *urls) all_trackers.insert(announce::without_passkey(url));
    bool const has_one_tracker = all_trackers.size() == 1;
    search_state state;
    state.name = name;
    state.has_no_tracker = all_trackers.empty();
    with.out.note(escaped(name) + ": asking peers what it holds");
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        std::exception_ptr broken;
        group.on_failure = [&broken](std::string_view, std::exception_ptr const& why) { broken = why; };
        engine::magnet_options how;
        how.connect = options.connect;
        how.trackers = options.trackers;
        how.is_public = with.may_be_public({link.trackers});
        how.on_event = [&](engine::transfer_event const& happened) { on_event(with.out, state, happened); };
        group.spawn("magnet link", keep_value(with.node().find(link, std::move(how)), state.found));
        auto const started = wall_clock::now();
        while (!state.found) {
            co_await with.outside().clock.sleep(std::chrono::milliseconds{50});
            if (broken) std::rethrow_exception(broken);
            auto const now = wall_clock::now();
            if (now >= until)
                throw failure{exit_status::incomplete, escaped(name) + ": nobody told what it holds in the time given"};
            if (state.was_reached) continue;
            if (state.was_kept_out && now - started >= (has_one_tracker ? kept_out_after : unreachable_after))
                throw failure{exit_status::not_permitted, "the tracker wants the announce URL with your passkey"};
            if (now - started >= unreachable_after)
                throw failure{exit_status::unreachable, "no peer and no tracker could be reached"};
        }
    });
    auto& found = *state.found;
    if (!found) throw failure{status_of(found.error()), escaped(name) + ": " + found.error().message()};
    co_return found_target{found.value().torrent, std::move(found.value().peers), std::move(found.value().hearsay),
                           link.select_only};
}
}  // namespace

std::vector<bool> files_meant(found_target const& found) {
    if (found.select_only.empty()) return {};
    auto const& files = found.torrent->content().files();
    std::vector<bool> wanted(files.size());
    for (auto const& [first, last] : found.select_only)
        for (std::size_t i = first; i <= last && i < files.size(); ++i) wanted[i] = !files[i].pad;
    return wanted;
}

net::task<found_target> find_target(mover& with, transfer_options const& options, std::string target,
                                    std::chrono::steady_clock::time_point until) {
    if (is_magnet(target)) co_return co_await find_magnet(with, options, std::move(target), until);
    co_return found_target{std::make_shared<metainfo::torrent const>(
        co_await torrent_of(std::move(target), options.trackers, with.outside()))};
}
}  // namespace shoal::cli
