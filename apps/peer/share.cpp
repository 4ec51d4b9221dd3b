module;
#include <algorithm>
#include <boost/json/object.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

module peer;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.options;
import shoal.session;
import shoal.share_record;
import :catalogue;
import :look;
import :moving;
import :sharing;

namespace shoal::cli {
namespace {
/// Wait before who is away is asked again for what `--get` names.
constexpr auto ask_again_after = std::chrono::seconds{10};
/// Things of an earlier run that are taken up at a time: their journals are read side by side.
constexpr std::size_t taken_up_at_once = 256;
/// Descriptors for connections, and for what is read, made and written beside.
constexpr std::size_t spare_descriptors = 256;

/// Each torrent keeps one open, which is its lock.
std::size_t torrents_max() {
    auto const all = options::open_files_max();
    return all - std::min(all / 2, spare_descriptors);
}
}  // namespace

sharing::sharing(mover& with, share_options const& options, engine::hub_session& hub, std::string const& announce_url)
    : with_(with),
      out_(with.out),
      options_(options),
      hub_(hub),
      hub_url_(escaped(announce::without_secrets(announce_url))),
      told_(with.home()),
      records_(options.transfer.state / "shared"),
      hub_key_(announce::without_passkey(announce_url)),
      made_with_(made_with(options)) {
    for (auto const& path : options.paths) asked_for_.push_back(share_record::whole_path(path));
    hub_.on_event = [this](session::any_client_event const& happened) { on_hub_event(happened); };
}

sharing::~sharing() {
    hub_.on_event = {};
}

/// At one go: a trip to the pool for each would cost more than the looks.
net::task<std::vector<look>> sharing::look_on_pool(std::vector<std::shared_ptr<shared>> const& all) {
    std::vector<look> seen(all.size());
    co_await net::on_pool(with_.outside().workers, [&] {
        for (std::size_t i = 0; i < all.size(); ++i) seen[i] = look_at(all[i]->path);
    });
    co_return seen;
}

net::task<look> sharing::make_on_pool(shared const& what) {
    look out;
    hashing_progress progress;
    made_before before;
    if (what.content && !what.has_lost) before = {what.made_from, what.content};
    if (!what.content && what.kept && what.kept->is_durable) before = {what.kept->made_from, what.kept->content};
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        group.spawn("progress", show_hashing_of(progress));
        co_await net::on_pool(with_.outside().workers, [&] {
            out = make_of(what.path, options_, before, progress, with_.stopping.get_token());
        });
    });
    co_return out;
}

net::task<void> sharing::show_hashing_of(hashing_progress const& progress) {
    for (;;) {
        co_await with_.outside().clock.sleep(redraw_interval);
        if (progress.total > 0) show_hashing(out_, progress.done, progress.total);
    }
}

net::task<void> sharing::share(std::shared_ptr<shared> what, look made) {
    if (co_await replace(*what, std::move(made))) co_await tell_when_checked(what);
}

/// Puts a torrent in the place of the one before. False where it is the same one, or cannot be shared.
net::task<bool> sharing::replace(shared& what, look made) {
    what.made_from = what.seen = std::move(made.seen);
    what.looked_at = made.at;
    what.is_gone = what.is_recorded = false;
    if (made.left_out != what.left_out)
        for (auto const& line : made.left_out) out_.note("left out: " + line);
    what.left_out = std::move(made.left_out);
    if (what.content && what.content->swarm_hash() == made.content->swarm_hash()) {
        what.trouble.clear();
        co_return false;
    }
    co_await withdraw(what);
    auto added = with_.add(made.content, made.place,
                           {.writable = false,
                            .wanted_files = {},
                            .members_only = is_for_members(options_.transfer.trackers),
                            .is_hashed = made.is_hashed,
                            .names = std::move(made.names)});
    if (!added) {
        tell_trouble(what, escaped(what.path) + ": " + added.error().message());
        if (made.is_hashed) keep_hashes(what, what.made_from, made.content);
        what.make_again.put_off();
        co_return false;
    }
    what.trouble.clear();
    what.make_again = {};
    auto const torrent = made.content->swarm_hash();
    if (is_begun_) std::erase_if(leaving_, [&](auto const& each) { return each.torrent == torrent; });
    what.kept.reset();
    what.moved = added.value();
    what.content = made.content;
    what.metainfo = made.metainfo;
    what.hashed = made.hashed;
    what.is_hashed = made.is_hashed;
    what.has_lost = false;
    what.is_told = what.is_published = false;
    what.publish_again = {};
    what.refusal.clear();
    co_return true;
}

net::task<void> sharing::tell_when_checked(std::shared_ptr<shared> whose) {
    auto& what = *whose;
    auto const moved = what.moved;
    bool const is_there = (co_await moved->transfer->checked()).has_value();
    if (what.moved != moved) co_return;  // it was withdrawn meanwhile
    if (is_there) hub_.join(moved->transfer);
    auto const size = what.content->content().content_size();
    auto const status = moved->transfer->status();
    if (!what.is_hashed) {
        what.hashed = std::min(std::uint64_t{status.pieces_hashed} * what.content->pieces().piece_length(), size);
        what.has_lost = status.pieces_have < status.pieces_total;
        if (what.has_lost)
            out_.note(escaped(what.content->name()) + ": the disk has lost " +
                      std::to_string(status.pieces_total - status.pieces_have) + " of its " +
                      std::to_string(status.pieces_total) + " pieces, which are not offered");
    }
    auto const magnet = metainfo::to_string(metainfo::magnet_of(*what.content));
    out_.result(magnet);
    out_.event("shared", {{"path", what.path},
                          {"name", what.content->name()},
                          {"info_hash", to_hex(what.content->swarm_hash().view())},
                          {"size", size},
                          {"hashed", what.hashed},
                          {"magnet", magnet}});
    what.is_told = true;
    told_.notify();
}

void sharing::tell_trouble(shared& what, std::string message) {
    if (message != what.trouble) out_.note(message);
    what.trouble = std::move(message);
}

/// Where something is made or added in vain, the next try reads no more than has changed.
void sharing::keep_hashes(shared& of, snapshot from, std::shared_ptr<metainfo::torrent const> content) {
    of.kept = std::make_unique<share_record::record>();
    of.kept->made_from = std::move(from);
    of.kept->is_durable = true;  // until a power cut nobody sees the difference
    of.kept->content = std::move(content);
}

/// Notices what was changed, added or removed, once it has come to rest.
net::task<void> sharing::look_again(std::shared_ptr<shared> whose, look now) {
    auto& what = *whose;
    if (now.trouble) {
        tell_trouble(what, std::move(now.trouble->message));
        if (now.trouble->may_pass) co_return;
        what.is_gone = true;
        co_await withdraw(what);
        for (auto const& each : all_) each->make_again.hasten();  // one of the same content may take its place
        what.seen.clear();
        what.made_from.clear();
        co_return;
    }
    bool const is_at_rest = now.seen == what.seen;
    what.seen = std::move(now.seen);
    if (!is_at_rest) what.make_again.hasten();
    bool const is_made = what.content && what.seen == what.made_from;
    if (is_made) what.trouble.clear();
    if (!is_at_rest || is_made || !what.make_again.is_due()) co_return;
    auto const begun = std::chrono::steady_clock::now();
    auto made = co_await make_on_pool(what);
    if (made.trouble) {
        tell_trouble(what, std::move(made.trouble->message));
        // The disk may fail for good, or descriptors be short for a while.
        what.make_again.put_off(make_again_cost * (std::chrono::steady_clock::now() - begun));
        if (what.content && !what.has_lost) keep_hashes(what, what.made_from, what.content);
        co_await withdraw(what);
        co_return;
    }
    co_await share(std::move(whose), std::move(made));
}

void sharing::add_path(std::filesystem::path const& path, bool is_listed) {
    auto& added = *all_.emplace_back(std::make_shared<shared>());
    added.whole_path = share_record::whole_path(path).native();
    added.path = path.native();
    added.is_listed = is_listed;
}

/// What is to be shared: each path, or with `--each` the files of those that are folders now, or were in an earlier
/// run.
net::task<void> sharing::list_paths() {
    std::error_code error;
    for (auto const& path : options_.paths) {
        bool const is_folder = std::filesystem::is_directory(path, error) ||
                               (!std::filesystem::exists(path, error) && !error && is_any_kept_below(path));
        if (options_.each && is_folder)
            folders_.push_back(path);
        else
            add_path(path, false);
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
    auto const most = torrents_max();
    auto const room = most - std::min(most, all_.size());
    bool const are_too_many = there.size() > room;
    if (are_too_many && !are_too_many_) {
        auto const why = "--each: " + std::to_string(there.size() + all_.size()) +
                         " files take as many descriptors, and " + std::to_string(most) +
                         " can be had: raise the limit (ulimit -n)";
        if (!is_begun_) throw failure{exit_status::failed, why + ", or share the folder as one"};
        out_.note(why);
    }
    are_too_many_ = are_too_many;
    for (auto const& path : there | std::views::take(room)) add_path(path, true);
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
        out_.event("complete", {{"name", each->content->name()}, {"bytes", each->content->content().content_size()}});
        out_.note(escaped(each->content->name()) + ": complete and verified");
    }
}

/// Throws where it makes no sense to go on.
void sharing::look_around() {
    if (broken_) std::rethrow_exception(broken_);
    if (is_kept_out()) throw failure{exit_status::not_permitted, "the hub wants the announce URL with your passkey"};
    if (fetch_failure_) throw failure{*fetch_failure_};
    look_at_fetched();
    tell_if_unreachable();
}

net::task<void> sharing::run() {
    co_await read_records();
    co_await list_paths();
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        group.on_failure = [this](std::string_view, std::exception_ptr const& why) { broken_ = why; };
        for (auto const& target : options_.fetch) group.spawn("fetch", fetch(target));
        group.spawn("records", keep_records());
        beside_ = &group;
        co_await share_all();
        co_await go_on();
    });
}

/// What is as it was goes first: it takes no time.
net::task<void> sharing::share_all() {
    for (std::size_t i = 0; i < all_.size(); i += taken_up_at_once) {
        co_await take_up(std::span{all_}.subspan(i, std::min(taken_up_at_once, all_.size() - i)));
        look_around();
    }
    co_await find_gone();
    for (auto const& each : all_) {
        if (each->content || each->is_gone) continue;
        auto made = co_await make_on_pool(*each);
        if (made.trouble && (!each->kept || made.trouble->status == exit_status::incomplete))
            throw failure{*made.trouble};
        if (made.trouble) {  // it was shared before: as where that comes later, the others go on
            tell_trouble(*each, std::move(made.trouble->message));
            each->seen = std::move(made.seen);
            each->make_again.put_off();
        } else {
            co_await share(each, std::move(made));
        }
        look_around();
    }
    co_await keep_what_is_shared();
    is_begun_ = true;
}

net::task<void> sharing::go_on() {
    auto look_at_time = std::chrono::steady_clock::now() + look_interval;
    for (;;) {
        look_around();
        auto moving = fetched_;
        co_await take_out_leaving();
        for (auto const& each : all_) {
            if (each->moved) moving.push_back(each->moved);
            bool const is_due = each->is_told && !each->is_published && hub_.is_open() && each->publish_again.is_due();
            if (is_due) co_await publish(*each);
        }
        if (!moving.empty()) with_.show_progress(moving);
        if (std::chrono::steady_clock::now() >= look_at_time) {
            co_await list_folders();
            auto const all = all_;
            auto seen = co_await look_on_pool(all);
            std::size_t files = 0;
            for (auto const& each : seen) files += each.seen.size();
            for (std::size_t k = 0; k < all.size(); ++k) co_await look_again(all[k], std::move(seen[k]));
            auto const pause = std::clamp<duration>(files * look_pause_of_file, look_interval, look_interval_max);
            look_at_time = std::chrono::steady_clock::now() + pause;
        }
        co_await with_.wait(std::max<std::chrono::milliseconds>(redraw_interval, moving.size() / 2 * show_pause));
    }
}

namespace {
net::task<int> share(mover& with, share_options const& options) {
    auto& out = with.out;
    std::optional<std::string> url, announce_url;
    for (auto const& each : options.transfer.trackers) {
        if (url) break;
        url = engine::session_url(each);
        announce_url = each;
    }
    if (!url) co_return out.fail(exit_status::wrong_usage, "share: --tracker names no hub (http or https)");
    if (!options.fetch.empty() && options.directory.empty())
        co_return out.fail(exit_status::wrong_usage, "share: --get needs a folder (-o)");
    with.listen();
    auto& hub = with.hold_session(*url, nullptr);
    sharing all{with, options, hub, *announce_url};
    std::exception_ptr broken;
    try {
        (void)co_await with.ends_before_stop(all.run());
    } catch (...) {
        broken = std::current_exception();
    }
    co_await all.keep_rest();
    if (broken) std::rethrow_exception(broken);
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
