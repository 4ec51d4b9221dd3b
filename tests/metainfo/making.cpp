#include <algorithm>
#include <atomic>
#include <bit>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <vector>

import shoal.core;
import shoal.hash;
import shoal.metainfo;

using namespace shoal;
using namespace shoal::metainfo;

namespace {
/// Files in memory.
struct folder {
    std::vector<source_file> files;
    std::vector<byte_vector> contents;

    void add(std::vector<std::string> path, std::size_t size, bool executable = false) {
        std::mt19937 random{static_cast<unsigned>(size * 31 + contents.size())};
        byte_vector content(size);
        for (auto& b : content) b = static_cast<std::byte>(random());
        files.push_back({std::move(path), size, executable});
        contents.push_back(std::move(content));
    }
    source as_source(std::string name = "root", bool single = false) const {
        return {.name = std::move(name),
                .single_file = single,
                .files = files,
                .read = [this](std::size_t file, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
                    auto const& from = contents[file];
                    auto const count =
                        std::min<std::size_t>(into.size(), from.size() - std::min<std::size_t>(offset, from.size()));
                    if (count > 0) std::memcpy(into.data(), from.data() + offset, count);
                    return count;
                }};
    }
    byte_vector const& content_of(file const& wanted, torrent const& of) const {
        for (std::size_t i = 0; i < files.size(); ++i)
            if (of.single_file() || files[i].path == wanted.path) return contents[i];
        throw std::logic_error{"no such file: " + wanted.joined()};
    }
};

constexpr std::uint32_t piece_length = 32 * 1024;

folder mixed() {
    folder made;
    made.add({"b.bin"}, 100'000);
    made.add({"a", "\u00e4.txt"}, 1);
    made.add({"a", "empty"}, 0);
    made.add({"a", "one block"}, block_length);
    made.add({"a!"}, block_length + 1);  // before a/... as characters of a joined path, after it as elements
    made.add({"one piece"}, piece_length, true);
    made.add({"two pieces"}, piece_length + 1);
    made.add({"zz", "last"}, 3 * piece_length);
    made.add({"zzz"}, 0);
    return made;
}

torrent made_and_read(source const& of, make_options const& options) {
    auto const bytes = make_torrent(of, options);
    REQUIRE(bytes);
    auto read = parse_torrent(bytes.value());
    REQUIRE(read);
    return std::move(read.value());
}

/// Every hash of the torrent, computed anew from the content by the text of BEP 3 and BEP 52.
void check_hashes(torrent const& of, folder const& from) {
    byte_vector linear;
    for (auto const& each : of.content().files()) {
        if (each.pad) {
            linear.resize(linear.size() + each.size);
        } else {
            auto const& content = from.content_of(each, of);
            REQUIRE(each.size == content.size());
            linear.insert(linear.end(), content.begin(), content.end());
        }
    }
    REQUIRE(linear.size() == of.pieces().total_size());
    for (std::uint32_t i = 0; of.has_v1() && i < of.pieces().piece_count(); ++i) {
        auto const piece =
            byte_view{linear}.subspan(of.pieces().offset_of(piece_index{i}), of.pieces().piece_size(piece_index{i}));
        CHECK(of.piece_hash(piece_index{i}) == hash::sha1_of(piece));
    }
    if (!of.has_v2()) return;
    CHECK(of.has_piece_roots());
    auto const root = [](std::vector<sha256_digest> nodes, std::size_t width, sha256_digest pad) {
        for (nodes.resize(width, pad); nodes.size() > 1;) {
            std::vector<sha256_digest> above;
            for (std::size_t i = 0; i < nodes.size(); i += 2) {
                byte_vector both{nodes[i].bytes.begin(), nodes[i].bytes.end()};
                both.insert(both.end(), nodes[i + 1].bytes.begin(), nodes[i + 1].bytes.end());
                above.push_back(hash::sha256_of(both));
            }
            nodes = std::move(above);
        }
        return nodes.front();
    };
    auto const length = of.pieces().piece_length();
    for (std::uint32_t f = 0; f < of.content().files().size(); ++f) {
        auto const& each = of.content().files()[f];
        if (each.pad || each.size == 0) {
            CHECK_FALSE(each.pieces_root);
            continue;
        }
        CHECK(each.offset % length == 0);
        auto const& content = from.content_of(each, of);
        std::vector<sha256_digest> leaves;
        for (std::size_t at = 0; at < content.size(); at += block_length)
            leaves.push_back(hash::sha256_of(
                byte_view{content}.subspan(at, std::min<std::size_t>(block_length, content.size() - at))));
        CHECK(each.pieces_root == root(leaves, std::bit_ceil(leaves.size()), {}));
        auto const span = of.content().pieces_of(f);
        for (std::uint32_t i = 0; i < span.count; ++i) {
            auto const per_piece = std::size_t{length / block_length};
            auto const own =
                std::span{leaves}.subspan(i * per_piece).first(std::min(per_piece, leaves.size() - i * per_piece));
            auto const width = span.count == 1 ? std::bit_ceil(own.size()) : per_piece;
            CHECK(of.piece_root(piece_index{span.first + i}) == root({own.begin(), own.end()}, width, {}));
        }
    }
}
}  // namespace

TEST_CASE("what was made is read back with the hashes of the content", "[metainfo]") {
    auto const from = mixed();
    for (auto const made : {format::v1, format::v2, format::hybrid}) {
        for (std::uint32_t const length : {16U * 1024, piece_length, 128U * 1024, 0U}) {
            INFO(static_cast<int>(made) << ' ' << length);
            auto const read = made_and_read(from.as_source(), {.format = made, .piece_length = length});
            CHECK(read.name() == "root");
            CHECK_FALSE(read.single_file());
            CHECK(read.has_v1() == (made != format::v2));
            CHECK(read.has_v2() == (made != format::v1));
            CHECK(read.pieces().piece_length() == (length != 0 ? length : piece_length_default));
            check_hashes(read, from);
            std::vector<std::string> order;
            for (auto const& each : read.content().files())
                if (!each.pad) order.push_back(each.joined());
            CHECK(order == std::vector<std::string>{"a/empty", "a/one block", "a/\u00e4.txt", "a!", "b.bin",
                                                    "one piece", "two pieces", "zz/last", "zzz"});
            for (auto const& each : read.content().files()) CHECK(each.executable == (each.joined() == "one piece"));
        }
    }
}

TEST_CASE("a single file is made without a folder", "[metainfo]") {
    for (std::size_t const size : {std::size_t{1}, std::size_t{block_length}, std::size_t{piece_length},
                                   std::size_t{piece_length + 1}, std::size_t{1'000'000}}) {
        folder from;
        from.add({}, size, true);
        for (auto const made : {format::v1, format::v2, format::hybrid}) {
            INFO(size << ' ' << static_cast<int>(made));
            auto const read =
                made_and_read(from.as_source("one.bin", true), {.format = made, .piece_length = piece_length});
            CHECK(read.single_file());
            CHECK(read.name() == "one.bin");
            REQUIRE(read.content().files().size() == 1);
            CHECK(read.content().files()[0].path == std::vector<std::string>{"one.bin"});
            CHECK(read.content().files()[0].executable);
            check_hashes(read, from);
        }
    }
}

TEST_CASE("pad files stand in a hybrid where a file would start inside a piece, and nowhere else", "[metainfo]") {
    folder from;
    from.add({"1"}, piece_length - 1);
    from.add({"2"}, piece_length);
    from.add({"3"}, 0);
    from.add({"4"}, piece_length + 1);
    from.add({"5"}, 0);
    from.add({"6"}, 5);
    from.add({"7"}, 0);
    auto const sizes_of_pads = [&](format made) {
        std::vector<std::uint64_t> sizes;
        auto const read = made_and_read(from.as_source(), {.format = made, .piece_length = piece_length});
        for (auto const& each : read.content().files())
            if (each.pad) sizes.push_back(each.size);
        return sizes;
    };
    CHECK(sizes_of_pads(format::hybrid) == std::vector<std::uint64_t>{1, piece_length - 1});
    CHECK(sizes_of_pads(format::v2) == std::vector<std::uint64_t>{1, piece_length - 1});
    CHECK(sizes_of_pads(format::v1).empty());
}

TEST_CASE("a v2 torrent and a hybrid of the same content have the same file roots", "[metainfo]") {
    auto const from = mixed();
    auto const v2 = made_and_read(from.as_source(), {.format = format::v2, .piece_length = piece_length});
    auto const hybrid = made_and_read(from.as_source(), {.format = format::hybrid, .piece_length = piece_length});
    REQUIRE(v2.content().files().size() == hybrid.content().files().size());
    for (std::size_t i = 0; i < v2.content().files().size(); ++i)
        CHECK(v2.content().files()[i].pieces_root == hybrid.content().files()[i].pieces_root);
    CHECK(v2.info_hash_v2() != hybrid.info_hash_v2());
}

TEST_CASE("equal files share their piece layer", "[metainfo]") {
    folder from;
    from.add({"a"}, 3 * piece_length);
    from.files.push_back({{"b"}, 3 * piece_length, false});
    from.contents.push_back(from.contents.front());
    check_hashes(made_and_read(from.as_source(), {.piece_length = piece_length}), from);
}

TEST_CASE("everything that is said of a torrent is read back", "[metainfo]") {
    auto const from = mixed();
    make_options options{.piece_length = piece_length, .is_private = true};
    options.trackers = {{"http://a/announce", "udp://b:1"}, {}, {"wss://c/"}};
    options.web_seeds = {"http://seed/", "https://seed/"};
    options.comment = "a comment";
    options.created_by = "tests";
    options.creation_date = 1'700'000'000;
    auto const read = made_and_read(from.as_source(), options);
    CHECK(read.is_private());
    CHECK(read.trackers() == std::vector<std::vector<std::string>>{{"http://a/announce", "udp://b:1"}, {"wss://c/"}});
    CHECK(read.web_seeds() == options.web_seeds);
    CHECK(read.comment() == "a comment");
    CHECK(read.created_by() == "tests");
    CHECK(read.creation_date() == 1'700'000'000);

    auto const bare = made_and_read(from.as_source(), {.piece_length = piece_length, .trackers = {{"http://a/"}}});
    CHECK(bare.trackers() == std::vector<std::vector<std::string>>{{"http://a/"}});
    CHECK_FALSE(bare.is_private());
    CHECK_FALSE(bare.creation_date());
    CHECK(bare.comment().empty());
    CHECK(bare.info_hash_v1() != read.info_hash_v1());  // private is part of what a torrent is

    auto const link = magnet_of(read);
    CHECK(link.info_hash_v1 == read.info_hash_v1());
    CHECK(link.info_hash_v2 == read.info_hash_v2());
    CHECK(link.name == "root");
    CHECK(link.trackers == std::vector<std::string>{"http://a/announce", "udp://b:1", "wss://c/"});
    CHECK(link.web_seeds == options.web_seeds);
    CHECK(parse_magnet(to_string(link)).value() == link);

    // What peers send of it is the same torrent, but for what stands beside.
    auto const again = parse_info(read.info_bytes());
    REQUIRE(again);
    CHECK(again.value().info_hash_v1() == read.info_hash_v1());
    CHECK(again.value().info_hash_v2() == read.info_hash_v2());
    CHECK(again.value().is_private());
    CHECK(again.value().trackers().empty());
    CHECK_FALSE(again.value().has_piece_roots());
}

TEST_CASE("the bytes made do not depend on threads, order of files, or sizes of reads", "[metainfo]") {
    auto from = mixed();
    make_options options{.piece_length = 16 * 1024, .threads = 1};
    auto const expected = make_torrent(from.as_source(), options).value();
    for (std::size_t const threads : {0, 2, 3, 16, 1000}) {
        options.threads = threads;
        CHECK(make_torrent(from.as_source(), options).value() == expected);
    }
    std::reverse(from.files.begin(), from.files.end());
    std::reverse(from.contents.begin(), from.contents.end());
    CHECK(make_torrent(from.as_source(), options).value() == expected);
    auto slow = from.as_source();
    slow.read = [read = slow.read](std::size_t file, std::uint64_t offset, mutable_byte_view into) {
        return read(file, offset, into.first(std::min<std::size_t>(into.size(), 1000)));
    };
    CHECK(make_torrent(slow, options).value() == expected);
}

TEST_CASE("unchanged files are not read again, and the torrent is the same as if they were", "[metainfo]") {
    auto content = mixed();
    for (auto const kind : {format::hybrid, format::v2}) {
        make_options options;
        options.format = kind;
        options.piece_length = piece_length;
        auto const before = std::make_shared<torrent const>(made_and_read(content.as_source(), options));
        auto const old_names = content.files;

        auto changed = content;
        changed.contents[0][5] ^= std::byte{1};          // b.bin
        changed.add({"zzzz", "new"}, 70'000);            // so that the last file of before gets padding behind it
        changed.files.erase(changed.files.begin() + 4);  // a!
        changed.contents.erase(changed.contents.begin() + 4);
        auto const expected = make_torrent(changed.as_source(), options);
        REQUIRE(expected);

        options.known.from = before;
        for (auto const& each : changed.files) {
            std::optional<std::uint32_t> same;
            for (std::uint32_t i = 0; i < before->content().files().size(); ++i)
                if (before->content().files()[i].path == each.path && each.path.back() != "b.bin") same = i;
            options.known.files.push_back(same);
        }
        std::mutex mutex;
        std::set<std::string> read;
        auto watched = changed.as_source();
        watched.read = [&, inner = watched.read](std::size_t file, std::uint64_t offset, mutable_byte_view into) {
            std::lock_guard const lock{mutex};
            read.insert(changed.files[file].path.back());
            return inner(file, offset, into);
        };
        auto const made = make_torrent(watched, options);
        REQUIRE(made);
        CHECK(made.value() == expected.value());
        CHECK(read.contains("b.bin"));
        CHECK(read.contains("new"));
        CHECK_FALSE(read.contains("two pieces"));
        CHECK_FALSE(read.contains("one block"));
    }
}

TEST_CASE("progress counts the content up to its size", "[metainfo]") {
    auto const from = mixed();
    std::uint64_t last = 0, total = 0;
    for (auto const& each : from.contents) total += each.size();
    bool rises = true;
    make_options options{.piece_length = 16 * 1024, .threads = 4};
    options.progress = [&](std::uint64_t done, std::uint64_t of) {
        rises = rises && done > last && of == total;
        last = done;
    };
    REQUIRE(make_torrent(from.as_source(), options));
    CHECK(rises);
    CHECK(last == total);
}

TEST_CASE("a stopped making ends without a torrent", "[metainfo]") {
    auto const from = mixed();
    std::stop_source stop;
    make_options options{.piece_length = 16 * 1024, .threads = 1};
    options.stop = stop.get_token();
    options.progress = [&](std::uint64_t, std::uint64_t) { stop.request_stop(); };
    auto const made = make_torrent(from.as_source(), options);
    REQUIRE_FALSE(made);
    CHECK(made.error() == errc::stopped);
    CHECK(made.error() == condition::transient);
}

TEST_CASE("a file that changed its size is not made into a torrent", "[metainfo]") {
    for (auto const index : {0, 1, 2, 8}) {
        for (auto const change : {-1, 1}) {
            auto from = mixed();
            auto& content = from.contents[static_cast<std::size_t>(index)];
            if (content.empty() && change < 0) continue;
            content.resize(content.size() + static_cast<std::size_t>(change));
            auto const made = make_torrent(from.as_source(), {.piece_length = piece_length});
            REQUIRE_FALSE(made);
            CHECK(made.error() == errc::source_changed);
            CHECK(made.error() == condition::local_fault);
        }
    }
}

TEST_CASE("what reading fails with or throws comes out of the making", "[metainfo]") {
    auto const from = mixed();
    auto broken = from.as_source();
    std::atomic<int> reads = 0;
    broken.read = [&, read = broken.read](std::size_t file, std::uint64_t offset,
                                          mutable_byte_view into) -> result<std::size_t> {
        if (++reads == 5) return std::make_error_code(std::errc::io_error);
        return read(file, offset, into);
    };
    auto const made = make_torrent(broken, {.piece_length = 16 * 1024, .threads = 4});
    REQUIRE_FALSE(made);
    CHECK(made.error() == std::errc::io_error);

    broken.read = [](std::size_t, std::uint64_t, mutable_byte_view) -> result<std::size_t> {
        throw std::runtime_error{"x"};
    };
    CHECK_THROWS_AS(make_torrent(broken, {.threads = 4}), std::runtime_error);
}

TEST_CASE("what cannot be shared is refused before a byte is read", "[metainfo]") {
    auto const refused = [](source of) {
        of.read = [](std::size_t, std::uint64_t, mutable_byte_view) -> result<std::size_t> {
            throw std::logic_error{"read"};
        };
        auto const made = make_torrent(of, {});
        return !made && made.error() == errc::bad_source && made.error() == condition::local_fault;
    };
    using files = std::vector<source_file>;
    CHECK(refused({.name = "x", .files = files{}}));
    CHECK(refused({.name = "x", .files = files{{{"a"}, 0}, {{"b"}, 0}}}));
    CHECK(refused({.name = "x", .single_file = true, .files = files{{{}, 1}, {{}, 1}}}));
    CHECK(refused({.name = "x", .files = files{{{"a"}, 1}, {{"b"}, ~std::uint64_t{0}}}}));
    CHECK(refused({.name = "x", .files = files{{{}, 1}}}));
    CHECK(refused({.name = "x", .files = files{{{"a"}, 1}, {{"a"}, 1}}}));
    CHECK(refused({.name = "x", .files = files{{{"a", "b"}, 1}, {{"a!"}, 1}, {{"a"}, 1}}}));
    for (std::string const& name : {std::string{}, std::string{"."}, std::string{".."}, std::string{"a/b"},
                                    std::string{"\xff"}, std::string{"a\0b", 3}}) {
        CHECK(refused({.name = name, .files = files{{{"a"}, 1}}}));
        CHECK(refused({.name = "x", .files = files{{{"a", name}, 1}}}));
        CHECK(refused({.name = "x", .files = files{{{name, "a"}, 1}}}));
    }
}

TEST_CASE("a piece length is a power of two in its limits", "[metainfo]") {
    folder from;
    from.add({"a"}, 100'000);
    auto const made = [&](std::uint32_t length) { return make_torrent(from.as_source(), {.piece_length = length}); };
    for (std::uint32_t const length : {16U * 1024, 1U << 20, 1U << 29}) CHECK(made(length));
    for (std::uint32_t const length : {1U, 8U * 1024, 16U * 1024 - 1, 16U * 1024 + 1, 3U << 16, 1U << 30, 1U << 31}) {
        auto const refused = made(length);
        REQUIRE_FALSE(refused);
        CHECK(refused.error() == errc::bad_options);
    }
}

TEST_CASE("the automatic piece length keeps a torrent below 2^16 pieces", "[metainfo]") {
    auto const chosen = [](std::vector<std::uint64_t> const& sizes, format made) {
        std::vector<source_file> files;
        for (auto const size : sizes) files.push_back({{}, size});
        return automatic_piece_length(files, made);
    };
    constexpr std::uint64_t most = std::uint64_t{piece_length_default} * (automatic_pieces_max - 1);
    for (auto const made : {format::v1, format::v2, format::hybrid}) {
        CHECK(chosen({1}, made) == 512 * 1024);
        CHECK(chosen({most}, made) == 512 * 1024);
        CHECK(chosen({most + 1}, made) == 1024 * 1024);
        CHECK(chosen({std::uint64_t{1} << 40}, made) == 32 * 1024 * 1024);
    }
    CHECK(chosen({most, 0, 0}, format::hybrid) == 512 * 1024);
    CHECK(chosen({most / 2, most / 2 + 1}, format::v1) == 1024 * 1024);
    CHECK(chosen({most - 512 * 1024 + 1, 1}, format::v1) == 512 * 1024);
    CHECK(chosen({most - 512 * 1024 + 1, 1}, format::hybrid) == 1024 * 1024);
    CHECK(chosen(std::vector<std::uint64_t>(70'000, 1), format::hybrid) == 512 * 1024);
}

TEST_CASE("a hybrid of 180 000 files is read back", "[metainfo]") {
    std::vector<source_file> files;
    for (int i = 0; i < 180'000; ++i) files.push_back({{std::to_string(i)}, 1});
    source const from{.name = "many",
                      .single_file = false,
                      .files = std::move(files),
                      .read = [](std::size_t, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
                          if (offset > 0) return std::size_t{0};
                          into[0] = std::byte{1};
                          return std::size_t{1};
                      }};
    auto const read = made_and_read(from, {.format = format::hybrid, .piece_length = 16 * 1024});
    CHECK(read.content().content_size() == 180'000);
    CHECK(read.content().padding().size() == 180'000);
}
