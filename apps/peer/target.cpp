module;
#include <coroutine>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

module peer;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import :catalogue;
import :files;

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

}  // namespace

net::task<metainfo::torrent> torrent_of(std::string target, std::vector<std::string> trackers,
                                        net::environment& outside) {
    if (target.starts_with("http://") || target.starts_with("https://"))
        co_return co_await fetch_torrent(outside, target);
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
}  // namespace shoal::cli
