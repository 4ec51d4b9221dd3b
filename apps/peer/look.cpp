module;
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

module peer;
import shoal.announce;
import shoal.bencode;
import shoal.core;
import shoal.metainfo;
import shoal.share_record;
import :files;
import :look;
import :moving;

namespace shoal::cli {
namespace {
constexpr std::string_view made_by = "Shoal " SHOAL_VERSION;

std::int64_t nanoseconds_now() {
    return std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count();
}

snapshot snapshot_of(shared_content const& content) {
    snapshot seen;
    for (std::size_t i = 0; i < content.files().size(); ++i) seen.emplace(content.files()[i].path, content.stamps()[i]);
    return seen;
}

/// The files of an earlier torrent that are the same still: its files without pads stand in the order of their paths.
metainfo::known_hashes unchanged(made_before const& before, shared_content const& now) {
    metainfo::known_hashes known;
    if (!before.content) return known;
    auto const places = files_made_of(*before.content);
    if (places.size() != before.from.size()) return known;
    known.from = before.content;
    auto const stamps = snapshot_of(now);
    for (auto const& each : now.files()) {
        auto const was = before.from.find(each.path);
        bool const is_same = was != before.from.end() && was->second == stamps.at(each.path);
        known.files.emplace_back();
        if (is_same) known.files.back() = places[static_cast<std::size_t>(std::distance(before.from.begin(), was))];
    }
    return known;
}

metainfo::make_options making_from(share_options const& options) {
    metainfo::make_options making;
    making.piece_length = static_cast<std::uint32_t>(options.piece_length);
    for (auto const& url : options.transfer.trackers) making.trackers.push_back({announce::without_passkey(url)});
    // Where members only are let in, other clients shall not tell the world of it (BEP 27).
    making.is_private = is_for_members(options.transfer.trackers);
    making.created_by = made_by;
    making.threads = options.threads;
    return making;
}

void look_into(look& out, shared_content const& content) {
    out.seen = snapshot_of(content);
    out.left_out = content.left_out();
    out.place = content.place().parent_path();
}

/// Looks, and has `with_it` done to what is there.
template <class Work>
look looked(std::filesystem::path const& path, Work with_it) {
    look out;
    out.at = nanoseconds_now();
    try {
        shared_content const content{path, {}};
        look_into(out, content);
        with_it(out, content);
    } catch (failure const& why) {
        out.trouble = why;
    }
    return out;
}
}  // namespace

byte_vector made_with(share_options const& options) {
    auto const making = making_from(options);
    bencode::encoder out;
    out.dictionary().entry("created by", std::string_view{making.created_by});
    out.entry("piece length", making.piece_length).entry("private", making.is_private ? 1 : 0).key("trackers").list();
    for (auto const& tier : making.trackers) out.text(tier.front());
    return out.end().end().take();
}

look look_at(std::filesystem::path const& path) {
    look out;
    out.at = nanoseconds_now();
    if (auto const file = stamp_of_single_file(path)) {
        out.seen.emplace(std::vector{file->name}, file->stamp);
        return out;
    }
    return looked(path, [](look&, shared_content const&) {});
}

look look_with(share_record::record const& kept, byte_vector const& made_with) {
    return looked(kept.path, [&](look& out, shared_content const& content) {
        if (kept.made_with != made_with || kept.made_from != out.seen) return;
        out.content = kept.content;
        out.metainfo = kept.metainfo;
        out.names = names_of(content, *out.content);
    });
}

look make_of(std::filesystem::path const& path, share_options const& options, made_before const& before,
             hashing_progress& telling, std::stop_token stop) {
    return looked(path, [&](look& out, shared_content const& content) {
        std::atomic<std::uint64_t> bytes_read = 0;
        metainfo::source const source{.name = content.name(),
                                      .single_file = content.single_file(),
                                      .files = content.files(),
                                      .read = [&](auto... arguments) {
                                          auto const count = content.read(arguments...);
                                          if (count) bytes_read += count.value();
                                          return count;
                                      }};
        auto making = making_from(options);
        making.known = unchanged(before, content);
        making.progress = [&telling](std::uint64_t done, std::uint64_t total) {
            telling.done = done;
            telling.total = total;
        };
        making.stop = std::move(stop);
        auto made = metainfo::make_torrent(source, making);
        if (!made && made.error() == metainfo::errc::stopped)
            throw failure{exit_status::incomplete, "stopped before it was hashed"};
        auto const refuse = [&](std::error_code why) {
            throw failure{exit_status::failed,
                          "cannot share " + escaped(path.string()) + ": " + content.failed_file() + why.message()};
        };
        if (!made) refuse(made.error());
        auto torrent = metainfo::parse_torrent(made.value());
        if (!torrent) refuse(torrent.error());
        out.content = std::make_shared<metainfo::torrent const>(std::move(torrent).value());
        out.metainfo = std::make_shared<byte_vector const>(std::move(made).value());
        out.names = names_of(content, *out.content);
        out.hashed = bytes_read;
        out.is_hashed = true;
    });
}

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
}  // namespace shoal::cli
