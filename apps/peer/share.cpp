module;
#include <algorithm>
#include <atomic>
#include <boost/json/object.hpp>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
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
import shoal.store;
import :catalogue;
import :files;
import :moving;

namespace shoal::cli {
namespace {
/// Wait before who is away is asked again for what `--get` names.
constexpr auto ask_again_after = std::chrono::seconds{10};
/// Between two looks at the files that are shared: what is seen the same twice is no longer being written.
constexpr auto look_interval = std::chrono::seconds{2};
/// Wait before a hub that refused to list something is asked again; doubled each time, up to the second figure.
constexpr auto publish_again_after = std::chrono::seconds{10};
constexpr auto publish_again_after_max = std::chrono::minutes{10};

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
    bool is_listed = false;  // a file of a folder, which may vanish for good
    snapshot seen;           // at the last look
    snapshot made_from;      // when the torrent was made
    std::shared_ptr<byte_vector const> metainfo;
    std::shared_ptr<metainfo::torrent const> content;
    std::shared_ptr<watched> moved;
    bool is_offered = false;  // the hub was asked to list it
    bool is_published = false;
    std::chrono::steady_clock::time_point publish_at{};
    std::chrono::seconds publish_again = publish_again_after;
    std::string refusal;                // as last said
    std::string trouble;                // as last said
    std::vector<std::string> left_out;  // as last said
};

/// Bytes, told by the threads that hash.
struct hashing_progress {
    std::atomic<std::uint64_t> done = 0, total = 0;
};

/// The files of an earlier torrent that are the same still: its files without pads stand in the order of their paths.
metainfo::known_hashes unchanged(shared const& before, shared_content const& now) {
    metainfo::known_hashes known;
    if (!before.content) return known;
    auto const places = files_made_of(*before.content);
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
    std::vector<std::string> left_out;
    std::shared_ptr<byte_vector const> metainfo;
    std::shared_ptr<metainfo::torrent const> content;
    store::content_names names;   // of its files, as they are on disk
    std::filesystem::path place;  // the folder that they are in
};

/// Looks, and with `making_tells` makes a torrent of what is there.
look look_at(shared const& what, share_options const& options, hashing_progress* making_tells, std::stop_token stop) {
    look out;
    try {
        shared_content const content{what.path, {}};
        out.seen = snapshot_of(content);
        if (!making_tells) return out;
        out.left_out = content.left_out();
        metainfo::source const source{.name = content.name(),
                                      .single_file = content.single_file(),
                                      .files = content.files(),
                                      .read = [&content](auto... arguments) { return content.read(arguments...); }};
        metainfo::make_options making;
        making.piece_length = static_cast<std::uint32_t>(options.piece_length);
        for (auto const& url : options.transfer.trackers) making.trackers.push_back({announce::without_passkey(url)});
        // Where members only are let in, other clients shall not tell the world of it (BEP 27).
        making.is_private = is_for_members(options.transfer.trackers);
        making.created_by = "Shoal " SHOAL_VERSION;
        making.threads = options.threads;
        making.known = unchanged(what, content);
        making.progress = [making_tells](std::uint64_t done, std::uint64_t total) {
            making_tells->done = done;
            making_tells->total = total;
        };
        making.stop = std::move(stop);
        auto made = metainfo::make_torrent(source, making);
        if (!made && made.error() == metainfo::errc::stopped)
            throw failure{exit_status::incomplete, "stopped before it was hashed"};
        auto const refuse = [&](std::error_code why) {
            throw failure{exit_status::failed,
                          "cannot share " + escaped(what.path.string()) + ": " + content.failed_file() + why.message()};
        };
        if (!made) refuse(made.error());
        auto torrent = metainfo::parse_torrent(made.value());
        if (!torrent) refuse(torrent.error());
        out.content = std::make_shared<metainfo::torrent const>(std::move(torrent).value());
        out.metainfo = std::make_shared<byte_vector const>(std::move(made).value());
        out.names = names_of(content, *out.content);
        out.place = content.place().parent_path();
    } catch (failure const& why) {
        out.trouble = why;
    }
    return out;
}

/// The files of a folder, a torrent each; none while it is not there. Throws `failure`.
std::vector<std::filesystem::path> files_of(std::filesystem::path const& folder) {
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) return {};
    std::vector<std::filesystem::path> paths;
    shared_content const content{folder, {}};
    for (auto const& file : content.files()) {
        auto whole = folder;
        for (auto const& element : file.path) whole /= element;
        paths.push_back(std::move(whole));
    }
    return paths;
}

/// Files and folders under way to the hub.
class sharing {
public:
    sharing(mover& with, share_options const& options, engine::hub_session& hub, std::string hub_url)
        : with_(with), out_(with.out), options_(options), hub_(hub), hub_url_(std::move(hub_url)) {
        hub_.on_event = [this](session::any_client_event const& happened) { on_hub_event(happened); };
    }
    ~sharing() { hub_.on_event = {}; }  // the session goes on for a while
    sharing(sharing const&) = delete;
    sharing& operator=(sharing const&) = delete;

    /// Until a signal comes, or something makes it useless.
    net::task<int> run();
    /// All that is to be shared was hashed.
    bool is_begun() const noexcept { return is_begun_; }

private:
    net::task<look> look_on_pool(shared const& what);
    net::task<look> make_on_pool(shared const& what);
    net::task<void> show_hashing_of(hashing_progress const& progress);
    net::task<void> share(shared& what, look made);
    net::task<void> withdraw(shared& what);
    net::task<void> publish(shared& what);
    net::task<void> look_again(shared& what);
    net::task<void> list_paths();
    net::task<void> list_folders();
    net::task<void> fetch(std::string target);
    net::task<int> share_all();
    void look_at_fetched();
    bool is_kept_out();
    int keep_out() const;
    void on_hub_event(session::any_client_event const& happened);
    void tell_trouble(std::string why);
    void tell_if_unreachable();

    mover& with_;
    output& out_;
    share_options const& options_;
    engine::hub_session& hub_;
    std::vector<std::unique_ptr<shared>> all_;
    std::vector<std::filesystem::path> folders_;     // whose files are torrents of their own
    std::vector<std::shared_ptr<watched>> fetched_;  // by `--get`
    std::optional<failure> fetch_failure_;           // of one of them
    std::exception_ptr broken_;                      // the same, for what should not happen
    std::string hub_url_;                            // as it may be shown
    std::string trouble_;                            // why nothing is published, as last said
    bool is_known_ = false;                          // the hub has let us in
    bool is_begun_ = false;
};

net::task<look> sharing::look_on_pool(shared const& what) {
    look out;
    co_await net::on_pool(with_.outside().workers, [&] { out = look_at(what, options_, nullptr, {}); });
    co_return out;
}

net::task<look> sharing::make_on_pool(shared const& what) {
    look out;
    hashing_progress progress;
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        group.spawn("progress", show_hashing_of(progress));
        co_await net::on_pool(with_.outside().workers,
                              [&] { out = look_at(what, options_, &progress, with_.stopping.get_token()); });
    });
    co_return out;
}

net::task<void> sharing::show_hashing_of(hashing_progress const& progress) {
    for (;;) {
        co_await with_.outside().clock.sleep(redraw_interval);
        if (progress.total > 0) show_hashing(out_, progress.done, progress.total);
    }
}

/// Puts a made torrent in the place of the one before.
net::task<void> sharing::share(shared& what, look made) {
    what.made_from = what.seen = std::move(made.seen);
    if (made.left_out != what.left_out)
        for (auto const& line : made.left_out) out_.note("left out: " + line);
    what.left_out = std::move(made.left_out);
    if (what.content && what.content->swarm_hash() == made.content->swarm_hash()) co_return;
    co_await withdraw(what);
    auto added = with_.add(made.content, made.place,
                           {.writable = false,
                            .wanted_files = {},
                            .members_only = is_for_members(options_.transfer.trackers),
                            .is_hashed = true,
                            .names = std::move(made.names)});
    if (!added) {
        out_.note(escaped(what.path.string()) + ": " + added.error().message());
        co_return;
    }
    what.moved = added.value();
    what.content = made.content;
    what.metainfo = made.metainfo;
    what.is_published = false;
    what.publish_at = {};
    what.publish_again = publish_again_after;
    what.refusal.clear();
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
    co_await what.moved->transfer->stop();  // or an answer to its announce would bring it back to a hub
    if (what.is_offered) (void)co_await hub_.unpublish(torrent);
    co_await with_.quit_at_hubs(torrent);
    out_.event("unshared", {{"path", what.path.string()}, {"info_hash", to_hex(torrent.view())}});
    what.moved.reset();
    what.content.reset();
    what.metainfo.reset();
    what.is_offered = what.is_published = false;
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
    what.publish_at = std::chrono::steady_clock::now() + what.publish_again;
    what.publish_again = std::min<std::chrono::seconds>(2 * what.publish_again, publish_again_after_max);
    auto const why = done.error() == engine::errc::hub_refused ? escaped(hub_.refusal()) : done.error().message();
    if (why != what.refusal) out_.note("the hub did not take " + escaped(what.content->name()) + ": " + why);
    what.refusal = why;
}

/// Notices what was changed, added or removed, once it has come to rest.
net::task<void> sharing::look_again(shared& what) {
    auto now = co_await look_on_pool(what);
    if (now.trouble) {
        if (now.trouble->message != what.trouble) out_.note(now.trouble->message);
        what.trouble = now.trouble->message;
        co_await withdraw(what);
        what.seen.clear();
        what.made_from.clear();
        co_return;
    }
    what.trouble.clear();
    bool const is_at_rest = now.seen == what.seen;
    what.seen = std::move(now.seen);
    if (!is_at_rest || what.seen == what.made_from) co_return;
    auto made = co_await make_on_pool(what);
    if (made.trouble) {
        out_.note(made.trouble->message);
        co_await withdraw(what);
        what.made_from = what.seen;
        co_return;
    }
    co_await share(what, std::move(made));
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

/// What is to be shared: each path, or with `--each` the files of those that are folders now.
net::task<void> sharing::list_paths() {
    std::error_code error;
    for (auto const& path : options_.paths) {
        if (options_.each && std::filesystem::is_directory(path, error))
            folders_.push_back(path);
        else
            all_.emplace_back(std::make_unique<shared>())->path = path;
    }
    co_await list_folders();
}

/// Takes up files that are new in the folders, and forgets those that are gone.
net::task<void> sharing::list_folders() {
    if (folders_.empty()) co_return;
    std::set<std::filesystem::path> there;
    std::optional<failure> trouble;
    co_await net::on_pool(with_.outside().workers, [&] {
        try {
            for (auto const& folder : folders_)
                for (auto& file : files_of(folder)) there.insert(std::move(file));
        } catch (failure const& why) {
            trouble = why;
        }
    });
    if (trouble && !is_begun_) throw *trouble;
    if (trouble) co_return;  // the next look may see more
    std::erase_if(all_, [&](auto const& each) {
        return each->is_listed && !each->content && !each->moved && !there.contains(each->path) && is_begun_;
    });
    for (auto const& each : all_) there.erase(each->path);
    for (auto const& path : there) {
        auto& added = all_.emplace_back(std::make_unique<shared>());
        added->path = path;
        added->is_listed = true;
    }
}

/// Fetches beside the sharing. A hub or tracker that is away is asked again: what is shared goes on meanwhile.
net::task<void> sharing::fetch(std::string target) {
    bool was_told = false;
    for (;;) {
        std::optional<failure> trouble;
        try {
            auto const found = co_await find_target(with_, options_.transfer, target);
            auto const& content = found.torrent;
            auto added = with_.add(
                content, options_.directory,
                {.writable = true, .wanted_files = files_meant(found), .peers = found.peers, .hearsay = found.hearsay});
            if (!added)
                throw failure{status_of(added.error()), escaped(content->name()) + ": " + added.error().message()};
            fetched_.push_back(std::move(added).value());
            with_.wake();
            co_return;
        } catch (failure const& why) {
            trouble = why;
        }
        if (trouble->status != exit_status::unreachable) {
            fetch_failure_ = std::move(trouble);
            with_.wake();
            co_return;
        }
        if (!std::exchange(was_told, true)) out_.note(trouble->message + "; asking again until it answers");
        co_await with_.outside().clock.sleep(ask_again_after);
    }
}

void sharing::look_at_fetched() {
    for (auto const& each : fetched_) {
        if (!each->is_complete || each->complete_since) continue;
        each->complete_since = std::chrono::steady_clock::now();
        out_.event("complete", {{"name", each->content->name()}, {"bytes", each->content->pieces().total_size()}});
        out_.note(escaped(each->content->name()) + ": complete and verified");
    }
}

/// Whether the hub has never let us in, and says that it will not.
bool sharing::is_kept_out() {
    is_known_ = is_known_ || hub_.is_open();
    return !is_known_ && hub_.unreachable() == net::errc::not_permitted;
}

int sharing::keep_out() const {
    return out_.fail(exit_status::not_permitted, "the hub wants the announce URL with your passkey");
}

net::task<int> sharing::run() {
    co_await list_paths();
    int status = 0;
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        group.on_failure = [this](std::string_view, std::exception_ptr const& why) { broken_ = why; };
        for (auto const& target : options_.fetch) group.spawn("fetch", fetch(target));
        status = co_await share_all();
    });
    co_return status;
}

net::task<int> sharing::share_all() {
    for (auto& each : all_) {
        auto made = co_await make_on_pool(*each);
        if (made.trouble) co_return out_.fail(made.trouble->status, made.trouble->message);
        co_await share(*each, std::move(made));
        if (is_kept_out()) co_return keep_out();
        if (fetch_failure_) throw failure{*fetch_failure_};
        look_at_fetched();
        tell_if_unreachable();
    }
    is_begun_ = true;
    auto look_at_time = std::chrono::steady_clock::now() + look_interval;
    for (;;) {
        if (broken_) std::rethrow_exception(broken_);
        if (fetch_failure_) throw failure{*fetch_failure_};
        auto moving = fetched_;
        look_at_fetched();
        for (auto& each : all_) {
            if (each->moved) moving.push_back(each->moved);
            bool const is_due = each->content && !each->is_published && hub_.is_open() &&
                                std::chrono::steady_clock::now() >= each->publish_at;
            if (is_due) co_await publish(*each);
        }
        if (is_kept_out()) co_return keep_out();
        tell_if_unreachable();
        if (!moving.empty()) with_.show_progress(moving);
        if (std::chrono::steady_clock::now() >= look_at_time) {
            co_await list_folders();
            for (auto& each : all_) co_await look_again(*each);
            look_at_time = std::chrono::steady_clock::now() + look_interval;
        }
        co_await with_.wait(redraw_interval);
    }
}

net::task<int> share(mover& with, share_options const& options) {
    auto& out = with.out;
    std::optional<std::string> url, shown;
    for (auto const& each : options.transfer.trackers) {
        if (url) break;
        url = engine::session_url(each);
        shown = escaped(announce::without_secrets(each));
    }
    if (!url) co_return out.fail(exit_status::wrong_usage, "share: --tracker names no hub (http or https)");
    if (!options.fetch.empty() && options.directory.empty())
        co_return out.fail(exit_status::wrong_usage, "share: --get needs a folder (-o)");
    with.listen();
    auto& hub = with.hold_session(*url, nullptr);
    sharing all{with, options, hub, *shown};
    auto const status = co_await before_stop(with, all.run());
    if (status) co_return *status;
    if (!all.is_begun()) co_return out.fail(exit_status::incomplete, "stopped before everything was hashed");
    co_return static_cast<int>(exit_status::done);
}
}  // namespace

int run_share(share_options const& options) {
    output out{options.transfer.output};
    if (asks_too_much(options.transfer, out)) return static_cast<int>(exit_status::failed);
    mover with{options.transfer, out};
    return with.run([&](mover& running) { return share(running, options); });
}
}  // namespace shoal::cli
