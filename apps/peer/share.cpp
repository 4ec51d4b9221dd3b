module;
#include <algorithm>
#include <boost/json/object.hpp>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
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
import shoal.session;
import :files;
import :moving;

namespace shoal::cli {
namespace {
/// Between two looks at the files that are shared: what is seen the same twice is no longer being written.
constexpr auto look_interval = std::chrono::seconds{2};
/// Waits before a hub that was not there or refused is asked again to list something.
constexpr auto publish_again = std::chrono::seconds{10};

/// What a folder or file held when it was looked at, by path.
using snapshot = std::map<std::vector<std::string>, file_stamp>;

snapshot snapshot_of(shared_content const& content) {
    snapshot seen;
    for (std::size_t i = 0; i < content.files().size(); ++i) seen.emplace(content.files()[i].path, content.stamps()[i]);
    return seen;
}

/// A file or folder that is shared, as it is now.
struct shared {
    std::filesystem::path path;
    snapshot seen;       // at the last look
    snapshot made_from;  // when the torrent was made
    std::shared_ptr<byte_vector const> metainfo;
    std::shared_ptr<metainfo::torrent const> content;
    std::shared_ptr<watched> moved;
    bool is_published = false;
    std::chrono::steady_clock::time_point publish_at{};
};

/// The files of an earlier torrent that are the same still: its files without pads stand in the order of their paths.
metainfo::known_hashes unchanged(shared const& before, shared_content const& now) {
    metainfo::known_hashes known;
    if (!before.content) return known;
    std::vector<std::uint32_t> places;
    auto const& files = before.content->content().files();
    for (std::uint32_t i = 0; i < files.size(); ++i)
        if (!files[i].pad && !files[i].symlink) places.push_back(i);
    if (places.size() != before.made_from.size()) return known;
    known.from = before.content;
    auto const stamps = snapshot_of(now);
    for (auto const& each : now.files()) {
        auto const was = before.made_from.find(each.path);
        bool const is_same = was != before.made_from.end() && was->second == stamps.at(each.path);
        known.files.emplace_back();
        if (is_same)
            known.files.back() = places[static_cast<std::size_t>(std::distance(before.made_from.begin(), was))];
    }
    return known;
}

/// What a look on the pool came to.
struct look {
    std::optional<failure> trouble;  // not found, or unreadable
    snapshot seen;
    std::shared_ptr<byte_vector const> metainfo;
    std::shared_ptr<metainfo::torrent const> content;
};

look look_at(shared const& what, share_options const& options, bool makes, std::stop_token stop) {
    look out;
    try {
        shared_content const content{what.path, {}};
        out.seen = snapshot_of(content);
        if (!makes) return out;
        metainfo::source const source{.name = content.name(),
                                      .single_file = content.single_file(),
                                      .files = content.files(),
                                      .read = [&content](auto... arguments) { return content.read(arguments...); }};
        metainfo::make_options making;
        making.piece_length = static_cast<std::uint32_t>(options.piece_length);
        for (auto const& url : options.transfer.trackers) making.trackers.push_back({announce::without_passkey(url)});
        // Where members only are let in, other clients shall not tell the world of it (BEP 27).
        making.is_private = is_for_members(options.transfer);
        making.created_by = "Shoal " SHOAL_VERSION;
        making.threads = options.threads;
        making.known = unchanged(what, content);
        making.stop = std::move(stop);
        auto made = metainfo::make_torrent(source, making);
        if (!made && made.error() == metainfo::errc::stopped)
            throw failure{exit_status::incomplete, "stopped before it was hashed"};
        auto const refuse = [&](std::error_code why) {
            throw failure{exit_status::failed, "cannot share " + escaped(what.path.string()) + ": " + why.message()};
        };
        if (!made) refuse(made.error());
        auto torrent = metainfo::parse_torrent(made.value());
        if (!torrent) refuse(torrent.error());
        out.content = std::make_shared<metainfo::torrent const>(std::move(torrent).value());
        out.metainfo = std::make_shared<byte_vector const>(std::move(made).value());
    } catch (failure const& why) {
        out.trouble = why;
    }
    return out;
}

/// Files and folders under way to the hub.
class sharing {
public:
    sharing(mover& with, share_options const& options, engine::hub_session& hub)
        : with_(with), out_(with.out), options_(options), hub_(hub) {}

    net::task<int> run();

private:
    net::task<look> look_on_pool(shared const& what, bool makes);
    net::task<void> share(shared& what, look made);
    net::task<void> withdraw(shared& what);
    net::task<void> publish(shared& what);
    net::task<void> look_again(shared& what);

    mover& with_;
    output& out_;
    share_options const& options_;
    engine::hub_session& hub_;
    std::vector<std::unique_ptr<shared>> all_;
    bool is_known_ = false;  // the hub has let us in
};

net::task<look> sharing::look_on_pool(shared const& what, bool makes) {
    look out;
    co_await net::on_pool(with_.outside().workers,
                          [&] { out = look_at(what, options_, makes, with_.stopping.get_token()); });
    co_return out;
}

/// Puts a made torrent in the place of the one before.
net::task<void> sharing::share(shared& what, look made) {
    what.made_from = what.seen = std::move(made.seen);
    if (what.content && what.content->swarm_hash() == made.content->swarm_hash()) co_return;
    co_await withdraw(what);
    auto const folder = std::filesystem::absolute(what.path).lexically_normal();
    auto const parent = (folder.has_filename() ? folder : folder.parent_path()).parent_path();
    auto added = with_.add(made.content, parent, {.writable = false, .wanted_files = {}, .is_hashed = true});
    if (!added) {
        out_.note(escaped(what.path.string()) + ": " + added.error().message());
        co_return;
    }
    what.moved = added.value();
    what.content = made.content;
    what.metainfo = made.metainfo;
    what.is_published = false;
    what.publish_at = {};
    if (co_await what.moved->transfer->checked()) hub_.join(what.moved->transfer);
    auto const magnet = metainfo::to_string(metainfo::magnet_of(*what.content));
    out_.result(magnet);
    out_.event("shared", {{"path", what.path.string()},
                          {"name", what.content->name()},
                          {"info_hash", to_hex(what.content->swarm_hash().view())},
                          {"size", what.content->pieces().total_size()},
                          {"magnet", magnet}});
}

net::task<void> sharing::withdraw(shared& what) {
    if (!what.content) co_return;
    auto const torrent = what.content->swarm_hash();
    (void)co_await hub_.unpublish(torrent);
    (void)co_await hub_.leave(torrent, true);
    co_await what.moved->transfer->stop();
    out_.event("unshared", {{"path", what.path.string()}, {"info_hash", to_hex(torrent.view())}});
    what.moved.reset();
    what.content.reset();
    what.metainfo.reset();
    what.is_published = false;
}

net::task<void> sharing::publish(shared& what) {
    auto const torrent = what.content->swarm_hash();
    auto const done = co_await hub_.publish(torrent, what.metainfo);
    what.is_published = done.has_value();
    if (what.is_published) {
        out_.note("published " + escaped(what.content->name()));
        out_.event("published", {{"name", what.content->name()}, {"info_hash", to_hex(torrent.view())}});
        co_return;
    }
    what.publish_at = std::chrono::steady_clock::now() + publish_again;
    auto const why = done.error() == engine::errc::hub_refused ? escaped(hub_.refusal()) : done.error().message();
    out_.note("the hub did not take " + escaped(what.content->name()) + ": " + why);
}

/// Notices what was changed, added or removed, once it has come to rest.
net::task<void> sharing::look_again(shared& what) {
    auto now = co_await look_on_pool(what, false);
    if (now.trouble) {
        if (what.content) out_.note(now.trouble->message);
        co_await withdraw(what);
        what.seen.clear();
        what.made_from.clear();
        co_return;
    }
    bool const is_at_rest = now.seen == what.seen;
    what.seen = std::move(now.seen);
    if (!is_at_rest || what.seen == what.made_from) co_return;
    auto made = co_await look_on_pool(what, true);
    if (made.trouble) {
        out_.note(made.trouble->message);
        co_await withdraw(what);
        what.made_from = what.seen;
        co_return;
    }
    co_await share(what, std::move(made));
}

net::task<int> sharing::run() {
    for (auto const& path : options_.paths) {
        std::vector<std::filesystem::path> paths{path};
        std::error_code error;
        if (options_.each && std::filesystem::is_directory(path, error)) {
            paths.clear();
            shared_content const content{path, {}};
            for (auto const& file : content.files()) {
                auto whole = path;
                for (auto const& element : file.path) whole /= element;
                paths.push_back(std::move(whole));
            }
        }
        for (auto& each : paths) {
            auto& added = all_.emplace_back(std::make_unique<shared>());
            added->path = std::move(each);
        }
    }
    for (auto& each : all_) {
        auto made = co_await look_on_pool(*each, true);
        if (made.trouble) co_return out_.fail(made.trouble->status, made.trouble->message);
        co_await share(*each, std::move(made));
        if (with_.stopped) co_return static_cast<int>(exit_status::incomplete);
    }
    auto look_at_time = std::chrono::steady_clock::now() + look_interval;
    while (!with_.stopped) {
        std::vector<std::shared_ptr<watched>> moving;
        for (auto& each : all_) {
            if (each->moved) moving.push_back(each->moved);
            bool const is_due = each->content && !each->is_published && hub_.is_open() &&
                                std::chrono::steady_clock::now() >= each->publish_at;
            if (is_due) co_await publish(*each);
        }
        is_known_ = is_known_ || hub_.is_open();
        if (!is_known_ && hub_.unreachable() == net::errc::not_permitted)
            co_return out_.fail(exit_status::not_permitted, "the hub wants the announce URL with your passkey");
        if (!moving.empty()) with_.show_progress(moving);
        if (std::chrono::steady_clock::now() >= look_at_time) {
            for (auto& each : all_) co_await look_again(*each);
            look_at_time = std::chrono::steady_clock::now() + look_interval;
        }
        co_await with_.wait(redraw_interval);
    }
    co_return static_cast<int>(exit_status::done);
}

net::task<int> share(mover& with, share_options const& options) {
    auto& out = with.out;
    std::optional<std::string> url;
    for (auto const& each : options.transfer.trackers)
        if (!url) url = engine::session_url(each);
    if (!url) co_return out.fail(exit_status::wrong_usage, "share: --tracker names no hub (http or https)");
    if (auto const listening = with.listen(); !listening)
        co_return out.fail(exit_status::failed, "cannot listen on " + options.transfer.listen.to_string() + ": " +
                                                    listening.error().message());
    auto& hub = with.hold_session(*url, nullptr);
    hub.on_event = [&out](session::any_client_event const& happened) {
        namespace event = session::client_event;
        if (auto const* waiting = std::get_if<event::waiting>(&happened))
            out.note("the hub is full; place " + std::to_string(waiting->place) + " in line");
        else if (std::holds_alternative<event::lost>(happened))
            out.note("the hub is lost; seeding goes on, and the hub is tried again");
        else if (std::holds_alternative<event::welcomed>(happened))
            out.note("connected to the hub");
    };
    sharing all{with, options, hub};
    co_return co_await all.run();
}
}  // namespace

int run_share(share_options const& options) {
    output out{options.transfer.output};
    if (asks_too_much(options.transfer, out)) return static_cast<int>(exit_status::failed);
    mover with{options.transfer, out};
    return with.run([&](mover& running) { return share(running, options); });
}
}  // namespace shoal::cli
