module;
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

module peer;
import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.share_record;
import :look;
import :moving;
import :sharing;

/// What a start has of the one before. A record says which torrent was made of what; it is written when the content is
/// durable, and so believed as the journal is. Which pieces are there is for the journal to say.
namespace shoal::cli {
namespace {
/// What is taken up at once waits for the disk so long: ten times what 256 journals take.
constexpr auto taken_up_within = std::chrono::seconds{2};
/// Records that one thread reads in a row.
constexpr std::size_t read_at_once = 256;

bool is_below(std::filesystem::path const& path, std::filesystem::path const& folder) {
    auto const end = std::ranges::mismatch(folder, path).in1;
    return end == folder.end() && path != folder;
}
}  // namespace

bool sharing::is_asked_for(std::filesystem::path const& whole_path) const {
    return std::ranges::any_of(asked_for_, [&](auto const& each) {
        return each == whole_path || (options_.each && is_below(whole_path, each));
    });
}

bool sharing::is_any_kept_below(std::filesystem::path const& folder) const {
    auto const whole = share_record::whole_path(folder);
    return std::ranges::any_of(kept_, [&](auto const& each) { return is_below(each.first, whole); });
}

/// Those of what this command line shares; others are of no concern to it.
net::task<void> sharing::read_records() {
    std::vector<std::string> names;
    co_await net::on_pool(with_.outside().workers, [&] { names = records_.names(); });
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        for (std::size_t i = 0; i < names.size(); i += read_at_once)
            group.spawn("read records",
                        read_records(std::span{names}.subspan(i, std::min(read_at_once, names.size() - i))));
        co_await group.join();
    });
}

net::task<void> sharing::read_records(std::span<std::string const> names) {
    std::vector<share_record::record> found;
    co_await net::on_pool(with_.outside().workers, [&] {
        for (auto const& name : names) {
            auto read = records_.read(name);
            if (!read || !is_asked_for(read->path)) continue;
            if (read->hub == hub_key_) records_.mark_used(name);
            found.push_back(*std::move(read));
        }
    });
    for (auto& each : found) {
        auto path = each.path;
        kept_.emplace(std::move(path), std::move(each));
    }
}

/// Shares what is as its record says. Of the rest, the record helps to make the torrent anew.
net::task<void> sharing::take_up(std::span<std::shared_ptr<shared> const> those) {
    struct taken {
        std::shared_ptr<shared> whose;
        share_record::record kept;
        look now;
    };
    std::vector<taken> all;
    for (auto const& each : those)
        if (auto found = kept_.extract(each->whole_path)) all.push_back({each, std::move(found.mapped()), {}});
    if (all.empty()) co_return;
    co_await net::on_pool(with_.outside().workers, [&] {
        for (auto& each : all) each.now = look_with(each.kept, made_with_);
    });
    std::vector<std::shared_ptr<shared>> begun;
    for (auto& [whose, kept, now] : all) {
        auto& what = *whose;
        bool const is_of_this_hub = kept.hub == hub_key_;
        if (!now.content) {
            what.is_gone = now.trouble && now.trouble->status == exit_status::not_found;
            if (what.is_gone) {
                what.trouble = now.trouble->message;
                out_.note(what.trouble);
            }
            if (is_of_this_hub) leaving_.push_back({kept.content->swarm_hash(), what.whole_path, {}});
            what.kept = std::make_unique<share_record::record>(std::move(kept));
            continue;
        }
        bool const is_durable = kept.is_durable;
        if (!co_await replace(what, std::move(now))) continue;
        what.is_offered = is_of_this_hub;
        what.is_recorded = is_durable;
        begun.push_back(whose);
    }
    // What no journal proves is read, which may take long: not all the others have to wait for that.
    for (auto const& each : begun) beside_->spawn("look through", tell_when_checked(each));
    auto& clock = with_.outside().clock;
    for (auto const until = clock.now() + taken_up_within;;) {
        bool const are_all_told = std::ranges::all_of(begun, &shared::is_told);
        if (are_all_told || clock.now() >= until) co_return;
        co_await clock.wait(told_, until);
    }
}

/// Files of the folders that vanished since an earlier run are withdrawn.
net::task<void> sharing::find_gone() {
    std::vector<leaving> gone;
    co_await net::on_pool(with_.outside().workers, [&] {
        for (auto const& [path, kept] : kept_) {
            std::error_code error;
            auto const there = std::filesystem::symlink_status(path, error).type();
            if (there == std::filesystem::file_type::not_found && kept.hub == hub_key_)
                gone.push_back({kept.content->swarm_hash(), path, {}});
        }
    });
    kept_.clear();
    std::ranges::move(gone, std::back_inserter(leaving_));
}

net::task<void> sharing::keep_records() {
    for (;;) {
        co_await with_.outside().clock.sleep(look_interval);
        co_await write_records(false);
    }
}

net::task<void> sharing::keep_rest() {
    co_await write_records(true);
}

/// What was not synced yet has a record too when the program ends: the next start reads it, and withdraws it where it
/// is gone.
net::task<void> sharing::write_records(bool also_unsynced) {
    struct written {
        std::shared_ptr<shared> what;
        share_record::record record;
        bool is_done = false;
    };
    std::set<std::filesystem::path> kept_back;  // a record says what is to be withdrawn, until it is
    for (auto const& each : leaving_) kept_back.insert(each.path);
    std::vector<written> due;
    for (auto const& each : all_) {
        if (each->is_recorded || !each->content || kept_back.contains(each->whole_path)) continue;
        bool const is_durable = each->moved->transfer->is_durable();
        if (!is_durable && !also_unsynced) continue;
        due.push_back({each,
                       {.path = each->whole_path,
                        .hub = hub_key_,
                        .made_with = made_with_,
                        .made_from = share_record::believable(each->made_from, each->looked_at),
                        .is_durable = is_durable,
                        .metainfo = each->metainfo,
                        .content = each->content}});
    }
    if (due.empty()) co_return;
    std::error_code why;
    co_await net::on_pool(with_.outside().workers, [&] {
        for (auto& each : due) {
            auto const done = records_.write(each.record);
            each.is_done = done.has_value();
            if (done) continue;
            why = done.error();
            return;  // the next look tries again
        }
    });
    for (auto const& each : due)  // unless it was made anew meanwhile
        if (each.is_done && each.what->content == each.record.content) each.what->is_recorded = true;
    auto trouble = why ? "what is shared is not remembered: " + why.message() : std::string{};
    if (why && trouble != record_trouble_) out_.note(trouble);
    record_trouble_ = std::move(trouble);
}

/// A torrent may have got another path, or be the same one again.
net::task<void> sharing::keep_what_is_shared() {
    std::set<info_hash> torrents;
    for (auto const& each : all_)
        if (each->content) torrents.insert(each->content->swarm_hash());
    auto const stay =
        std::ranges::partition(leaving_, [&](auto const& each) { return !torrents.contains(each.torrent); });
    std::vector<std::filesystem::path> paths;
    for (auto const& each : stay) paths.push_back(each.path);
    leaving_.erase(stay.begin(), stay.end());
    co_await forget(std::move(paths));
}

/// Nothing is remembered of what is gone.
net::task<void> sharing::forget(std::vector<std::filesystem::path> paths) {
    std::set<std::filesystem::path> there;
    for (auto const& each : all_)
        if (!each->is_gone) there.insert(each->whole_path);
    std::erase_if(paths, [&](auto const& each) { return there.contains(each); });
    if (paths.empty()) co_return;
    co_await net::on_pool(with_.outside().workers, [&] {
        for (auto const& each : paths) records_.remove(each);
    });
}
}  // namespace shoal::cli
