#pragma once
// Torrent files for the catalogue's tests. Include it last: it imports.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import shoal.bencode;
import shoal.core;
import shoal.hub;
import shoal.metainfo;
import shoal.testing;

namespace torrents {
using namespace shoal;
using namespace std::chrono_literals;

/// The time at which these tests begin.
inline constexpr hub::wall_time start{1'800'000'000s};

/// A v1 torrent file of one file. `content` tells it from others of the same name.
inline byte_vector single(std::string_view name, std::uint64_t content = 1, std::uint64_t size = 1000) {
    std::string pieces = std::to_string(content);
    pieces.resize(20, '.');
    bencode::encoder out;
    out.dictionary().entry("announce", "http://publisher.example/announce").key("info").dictionary();
    out.entry("length", static_cast<std::int64_t>(size)).entry("name", name);
    out.entry("piece length", 16'384).entry("pieces", pieces).end();
    return out.end().take();
}

/// A v1 torrent file of a folder with files of one byte.
inline byte_vector folder(std::string_view name, std::vector<std::string> const& paths) {
    bencode::encoder out;
    out.dictionary().key("info").dictionary().key("files").list();
    for (auto const& path : paths) {
        out.dictionary().entry("length", 1).key("path").list();
        std::string_view left = path;
        for (auto slash = left.find('/'); slash != std::string_view::npos; slash = left.find('/')) {
            out.text(left.substr(0, slash));
            left.remove_prefix(slash + 1);
        }
        out.text(left).end().end();
    }
    std::string const pieces((paths.size() + 16'383) / 16'384 * 20, '.');
    out.end().entry("name", name).entry("piece length", 16'384).entry("pieces", pieces).end();
    return out.end().take();
}

/// A torrent file of some content with real hashes.
inline byte_vector made(metainfo::format format, std::string comment = {}) {
    metainfo::source of;
    of.name = "real content";
    of.files = {{{"large"}, 200'000, false}, {{"same"}, 200'000, false}, {{"small"}, 5, false}};
    of.read = [&](std::size_t file, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
        auto const count = std::min<std::uint64_t>(into.size(), of.files[file].size - offset);
        std::fill_n(into.begin(), count, std::byte{'x'});
        return count;
    };
    metainfo::make_options options;
    options.format = format;
    options.piece_length = 16'384;
    options.threads = 1;
    options.comment = std::move(comment);
    return metainfo::make_torrent(of, options).value();
}

inline info_hash hash_of(byte_view torrent_file) {
    return metainfo::parse_torrent(torrent_file).value().swarm_hash();
}

inline hub::catalogue in_memory(hub::catalogue_limits const& within = {}) {
    return hub::catalogue::open(":memory:", within).value();
}

inline std::vector<std::string> names(std::vector<hub::catalogue_entry> const& entries) {
    std::vector<std::string> list;
    for (auto const& each : entries) list.push_back(each.name);
    return list;
}

inline std::vector<std::string> found(hub::catalogue& in, std::string_view pattern) {
    return names(in.find(pattern, 1000).value().entries);
}
using list = std::vector<std::string>;
}  // namespace torrents
