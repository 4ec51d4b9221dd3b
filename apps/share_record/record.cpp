module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module shoal.share_record;
import shoal.bencode;
import shoal.core;
import shoal.hash;
import shoal.metainfo;

/// A record is the SHA-256 of what follows, and a dictionary: `durable`, `files` (path: stamp), `hub`, `made with`,
/// `path`, `torrent`, `version`. A stamp is four numbers of eight bytes, most significant first.
namespace shoal::share_record {
namespace {
/// To be raised when records, or torrents, are made in another way.
constexpr std::int64_t version = 1;

std::string joined(std::vector<std::string> const& path) {
    std::string text;
    for (auto const& element : path) text.append(text.empty() ? "" : "/").append(element);
    return text;
}

std::vector<std::string> parted(std::string_view text) {
    std::vector<std::string> path;
    for (;;) {
        auto const slash = text.find('/');
        path.emplace_back(text.substr(0, slash));
        if (slash == text.npos) return path;
        text.remove_prefix(slash + 1);
    }
}

byte_vector written(file_stamp const& stamp) {
    byte_vector out;
    byte_writer{out}
        .be(stamp.size)
        .be(stamp.inode)
        .be(static_cast<std::uint64_t>(stamp.modified))
        .be(static_cast<std::uint64_t>(stamp.changed));
    return out;
}

std::optional<file_stamp> read_stamp(byte_view bytes) {
    byte_reader from{bytes};
    std::array<std::uint64_t, 4> numbers{};
    for (auto& each : numbers) {
        auto const taken = from.take_be<std::uint64_t>();
        if (!taken) return std::nullopt;
        each = *taken;
    }
    if (!from.rest().empty()) return std::nullopt;
    return file_stamp{numbers[0], numbers[1], static_cast<std::int64_t>(numbers[2]),
                      static_cast<std::int64_t>(numbers[3])};
}

std::optional<snapshot> read_snapshot(std::optional<bencode::value> files) {
    if (!files) return std::nullopt;
    snapshot out;
    for (auto const& [name, stamp] : files->entries()) {
        auto const bytes = stamp.bytes();
        auto const read = bytes ? read_stamp(*bytes) : std::nullopt;
        if (!read) return std::nullopt;
        out.emplace(parted(name), *read);
    }
    return out;
}

/// Whether the torrent can have been made of these files.
bool fits(metainfo::torrent const& torrent, snapshot const& files) {
    auto at = files.begin();
    for (auto const& each : torrent.content().files()) {
        if (each.pad || each.symlink) continue;
        if (at == files.end() || at->second.size != each.size) return false;
        ++at;
    }
    return at == files.end();
}
}  // namespace

snapshot believable(snapshot seen, std::int64_t looked_at) {
    auto const latest = looked_at - std::chrono::nanoseconds{stamp_settles_after}.count();
    for (auto& [path, stamp] : seen)
        if (std::max(stamp.modified, stamp.changed) > latest) stamp = {.size = stamp.size};
    return seen;
}

std::filesystem::path whole_path(std::filesystem::path const& path) {
    auto const whole = std::filesystem::absolute(path).lexically_normal();
    return whole.has_filename() ? whole : whole.parent_path();
}

byte_vector encode(record const& what) {
    bencode::encoder body;
    body.dictionary().entry("durable", what.is_durable ? 1 : 0).key("files").dictionary();
    for (auto const& [path, stamp] : what.made_from) body.entry(joined(path), byte_view{written(stamp)});
    body.end();
    body.entry("hub", std::string_view{what.hub}).entry("made with", byte_view{what.made_with});
    body.entry("path", std::string_view{what.path.native()}).entry("torrent", byte_view{*what.metainfo});
    body.entry("version", version);
    auto const content = body.end().take();
    auto const checksum = hash::sha256_of(content);
    byte_vector out;
    out.reserve(sha256_digest::size() + content.size());
    byte_writer{out}.bytes(checksum.view()).bytes(content);
    return out;
}

std::optional<record> decode(byte_view bytes) {
    byte_reader from{bytes};
    auto const checksum = from.take(sha256_digest::size());
    if (!checksum || bytes.size() > record_bytes_max || !equal(*checksum, hash::sha256_of(from.rest()).view()))
        return std::nullopt;
    auto const body = bencode::decode(from.rest());
    if (!body) return std::nullopt;
    auto const root = body.value().root();
    auto const durable = root.find_integer("durable");
    auto const path = root.find_text("path");
    auto const hub = root.find_text("hub");
    auto const made_with = root.find_bytes("made with");
    auto const metainfo = root.find_bytes("torrent");
    auto files = read_snapshot(root.find("files", bencode::kind::dictionary));
    if (root.find_integer("version") != version || !durable || !path || !hub || !made_with || !metainfo || !files)
        return std::nullopt;
    record out;
    out.path = std::string{*path};
    if (!path->starts_with('/') || path->find('\0') != path->npos || whole_path(out.path) != out.path)
        return std::nullopt;
    auto torrent = metainfo::parse_torrent(*metainfo);
    if (!torrent || !fits(torrent.value(), *files)) return std::nullopt;
    out.hub = *hub;
    out.made_with.assign(made_with->begin(), made_with->end());
    out.made_from = *std::move(files);
    out.is_durable = *durable != 0;
    out.metainfo = std::make_shared<byte_vector const>(metainfo->begin(), metainfo->end());
    out.content = std::make_shared<metainfo::torrent const>(std::move(torrent).value());
    return out;
}
}  // namespace shoal::share_record
