module;
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <coroutine>
#include <optional>
#include <string>
#include <utility>
#include <vector>

module peer;
import shoal.core;
import shoal.net;
import :catalogue;
import :moving;

namespace shoal::cli {
namespace {
net::task<int> find(mover& with, find_options const& options) {
    auto& out = with.out;
    auto hub = hub_catalogue::of(options.transfer.trackers, with.outside());
    if (!hub) co_return out.fail(exit_status::wrong_usage, "find: --tracker names no hub (http or https)");
    auto const found = co_await before_stop(with, hub->find(options.pattern));
    if (!found) co_return out.fail(exit_status::incomplete, "stopped before the hub answered");
    for (auto const& each : found->contents) {
        if (each.name.empty()) continue;  // only announced: nobody shares it by name
        boost::json::array owners;
        for (auto const& owner : each.owners) owners.emplace_back(owner);
        out.event("torrent", {{"name", each.name},
                              {"info_hash", to_hex(each.hash.view())},
                              {"size", each.size},
                              {"files", each.files},
                              {"nodes", each.nodes},
                              {"seeders", each.seeders},
                              {"owners", owners}});
        std::string owners_text;
        for (auto const& owner : each.owners) owners_text += (owners_text.empty() ? "" : ", ") + escaped(owner);
        out.result(escaped(each.name) + "\t" + size_text(each.size) + "\t" + std::to_string(each.nodes) +
                   (each.nodes == 1 ? " node" : " nodes") + "\t" + to_hex(each.hash.view()) + "\t" + owners_text);
    }
    auto const is_there = [](auto const& each) { return !each.name.empty(); };
    if (std::ranges::any_of(found->contents, is_there)) co_return static_cast<int>(exit_status::done);
    if (options.pattern.empty()) co_return out.fail(exit_status::not_found, "the hub's catalogue is empty");
    std::string near;
    try {
        if (auto const like = co_await before_stop(with, hub->by_name(options.pattern))) near = near_names(*like);
    } catch (failure const&) {
        // What was asked is answered: that there is nothing. Names that are like it would only help.
    }
    co_return out.fail(exit_status::not_found, "nothing matches " + escaped(options.pattern) + near);
}
}  // namespace

int run_find(find_options const& options) {
    output out{options.transfer.output};
    mover with{options.transfer, out};
    return with.run([&](mover& running) { return find(running, options); });
}
}  // namespace shoal::cli
