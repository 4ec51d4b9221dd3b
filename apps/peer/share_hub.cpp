module;
#include <algorithm>
#include <boost/json/object.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

module peer;
import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.session;
import :moving;
import :sharing;

/// What `share` asks of the hub, and what the hub says.
namespace shoal::cli {
void asking_again::put_off(std::chrono::steady_clock::duration at_least) {
    at_ = std::chrono::steady_clock::now() +
          std::clamp<std::chrono::steady_clock::duration>(at_least, wait_, std::chrono::hours{1});
    wait_ = std::min<std::chrono::seconds>(2 * wait_, wait_max);
}

net::task<void> sharing::publish(shared& what) {
    auto const torrent = what.content->swarm_hash();
    what.is_offered = true;
    auto const done = co_await hub_.publish(torrent, what.metainfo);
    what.is_published = done.has_value();
    if (what.is_published) {
        out_.note("published " + escaped(what.content->name()));
        out_.event("published", {{"name", what.content->name()}, {"info_hash", to_hex(torrent.view())}});
        co_return;
    }
    what.publish_again.put_off();
    auto const why = done.error() == engine::errc::hub_refused ? escaped(hub_.refusal()) : done.error().message();
    if (why != what.refusal) out_.note("the hub did not take " + escaped(what.content->name()) + ": " + why);
    what.refusal = why;
}

net::task<void> sharing::withdraw(shared& what) {
    if (!what.content) co_return;
    auto const torrent = what.content->swarm_hash();
    auto const moved = std::exchange(what.moved, nullptr);
    bool const was_offered = std::exchange(what.is_offered, false);
    what.is_told = what.is_published = false;
    what.content.reset();
    what.metainfo.reset();
    co_await moved->transfer->stop();  // or an answer to its announce would bring it back to a hub
    if (was_offered) {
        if (!hub_.is_open()) (void)co_await hub_.unpublish(torrent);  // nor is it published again when the hub is back
        leaving_.push_back({torrent, what.whole_path, {}});
    }
    co_await take_out_leaving();
    co_await with_.quit_at_hubs(torrent);
    out_.event("unshared", {{"path", what.path}, {"info_hash", to_hex(torrent.view())}});
}

/// Asks the hub to list no more what is not shared any more.
net::task<void> sharing::take_out_leaving() {
    if (!is_begun_ || leaving_.empty()) co_return;
    std::vector<std::filesystem::path> done;
    for (std::size_t i = 0; i < leaving_.size() && hub_.is_open();) {
        auto& each = leaving_[i];
        if (!each.again.is_due()) {
            ++i;
        } else if (!co_await hub_.unpublish(each.torrent)) {
            each.again.put_off();
            ++i;
        } else {
            out_.event("withdrawn", {{"path", each.path.string()}, {"info_hash", to_hex(each.torrent.view())}});
            done.push_back(std::move(each.path));
            std::swap(each, leaving_.back());
            leaving_.pop_back();
        }
    }
    co_await forget(std::move(done));
}

/// Why nothing is published, said when it changes.
void sharing::tell_trouble(std::string why) {
    if (!why.empty() && why != trouble_) out_.note(why);
    trouble_ = std::move(why);
}

void sharing::tell_if_unreachable() {
    auto const why = hub_.unreachable();
    if (hub_.is_open() || !why) return;
    if (why == net::errc::web_socket_refused)
        tell_trouble(hub_url_ + " is no hub (" + why.message() + "): nothing is published, seeding goes on");
    else
        tell_trouble("the hub at " + hub_url_ + ": " + why.message() + "; nothing is published until it is there");
}

void sharing::on_hub_event(session::any_client_event const& happened) {
    namespace event = session::client_event;
    if (auto const* waiting = std::get_if<event::waiting>(&happened)) {
        tell_trouble("the hub is full: place " + std::to_string(waiting->place) + " in line; it says to wait " +
                     std::to_string(waiting->length.count()) + " s");
    } else if (auto const* refused = std::get_if<event::refused>(&happened)) {
        if (refused->what == session::request::hello)
            tell_trouble("the hub refuses this node: " + escaped(refused->reason));
    } else if (std::holds_alternative<event::lost>(happened)) {
        out_.note("the hub is lost; seeding goes on, and the hub is tried again");
    } else if (std::holds_alternative<event::welcomed>(happened)) {
        tell_trouble({});
        out_.note("connected to the hub");
    }
}

/// Whether the hub has never let us in, and says that it will not.
bool sharing::is_kept_out() {
    is_known_ = is_known_ || hub_.is_open();
    return !is_known_ && hub_.unreachable() == net::errc::not_permitted;
}
}  // namespace shoal::cli
