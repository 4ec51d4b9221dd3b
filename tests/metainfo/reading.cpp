#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import shoal.core;
import shoal.bencode;
import shoal.hash;
import shoal.metainfo;

using namespace shoal;
using namespace shoal::metainfo;
using bencode::encoder;

namespace {
torrent read(byte_view bytes) {
    auto parsed = parse_torrent(bytes);
    if (!parsed) FAIL(parsed.error().message());
    return std::move(parsed.value());
}
torrent read(std::string_view text) {
    return read(as_bytes(text));
}

/// A v1 torrent of files of one byte with these paths, and what `more` writes beside its info dictionary.
template <class Write>
byte_vector with_paths(std::vector<std::vector<std::string>> const& paths, Write&& more) {
    encoder out;
    out.dictionary().key("info").dictionary().key("files").list();
    for (auto const& path : paths) {
        out.dictionary().entry("length", 1).key("path").list();
        for (auto const& element : path) out.text(element);
        out.end().end();
    }
    out.end().entry("name", "root").entry("piece length", 16384);
    out.entry("pieces", std::string_view{std::string(20 * ((paths.size() + 16383) / 16384), 'x')}).end();
    more(out);
    return out.end().take();
}
byte_vector with_paths(std::vector<std::vector<std::string>> const& paths) {
    return with_paths(paths, [](encoder&) {});
}

byte_vector data(std::string const& name) {
    std::ifstream in{SHOAL_METAINFO_DATA "/" + name, std::ios::binary};
    REQUIRE(in);
    std::string const all{std::istreambuf_iterator<char>{in}, {}};
    auto const bytes = as_bytes(all);
    return {bytes.begin(), bytes.end()};
}

constexpr std::string_view twenty = "20:xxxxxxxxxxxxxxxxxxxx";
}  // namespace

TEST_CASE("torrents made by libtorrent are read with the same info-hashes", "[metainfo]") {
    // Sizes in the order of the v2 tree; the hashes are what libtorrent 2.0.8 says of its own files.
    std::map<std::string, std::uint64_t> const sizes{
        {"a/empty", 0},       {"a/one block", 16384}, {"a/\u00e4.txt", 1}, {"a!", 16385}, {"b.bin", 100'000},
        {"one piece", 32768}, {"two pieces", 32769},  {"zz/last", 98304},  {"zzz", 0}};
    struct row {
        std::string name, v1, v2;
        std::uint32_t piece_count;
    };
    for (auto const& [name, v1, v2, piece_count] : {
             row{"v1", "3f4863e382c03bbc9e719fae8fd04c6e4d730c16", "", 10},
             row{"v2", "", "edbf0666f081818d4751692d1fa176313d6de42f87560b1cea8a5307d59904ca", 13},
             row{"hybrid", "96f1943c51f9f901482bb67f524e0c82dfb53491",
                 "cf2701070a5098e15935dae28facdd8de5cd353f9fb5209a5d07dead7fdebb6b", 13},
         }) {
        INFO(name);
        auto const got = read(data("libtorrent_" + name + ".torrent"));
        REQUIRE(got.has_v1() == !v1.empty());
        REQUIRE(got.has_v2() == !v2.empty());
        if (got.has_v1()) CHECK(to_hex(got.info_hash_v1()->view()) == v1);
        if (got.has_v2()) CHECK(to_hex(got.info_hash_v2()->view()) == v2);
        CHECK(to_hex(got.swarm_hash().view()) == (v1.empty() ? v2.substr(0, 40) : v1));
        CHECK(got.has_piece_roots() == got.has_v2());
        CHECK(got.pieces().piece_count() == piece_count);
        std::map<std::string, std::uint64_t> found;
        for (auto const& each : got.content().files())
            if (!each.pad) found.emplace(each.joined(), each.size);
        CHECK(found == sizes);
        CHECK(got.name() == "root");
        CHECK(got.comment() == "a fixture");
        CHECK(got.created_by() == "libtorrent");
        CHECK(got.trackers() == std::vector<std::vector<std::string>>{{"http://t.example/announce"}});
    }
}

TEST_CASE("our v2 torrent of the same content has libtorrent's info-hash", "[metainfo]") {
    source of{.name = "root"};
    of.files = {{{"a", "empty"}, 0},     {{"a", "one block"}, 16384}, {{"a", "\u00e4.txt"}, 1},
                {{"a!"}, 16385},         {{"b.bin"}, 100'000},        {{"one piece"}, 32768},
                {{"two pieces"}, 32769}, {{"zz", "last"}, 98304},     {{"zzz"}, 0}};
    of.read = [&](std::size_t file, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
        auto const size = of.files[file].size;
        std::size_t count = 0;
        for (auto i = offset; i < size && count < into.size(); ++i)
            into[count++] = static_cast<std::byte>(i * 31 + i / 1000 + size);
        return count;
    };
    auto const ours = read(make_torrent(of, {.format = format::v2, .piece_length = 32768}).value());
    auto const theirs = read(data("libtorrent_v2.torrent"));
    CHECK(ours.info_hash_v2() == theirs.info_hash_v2());
    for (std::uint32_t i = 0; i < ours.pieces().piece_count(); ++i)
        CHECK(ours.piece_root(piece_index{i}) == theirs.piece_root(piece_index{i}));
}

TEST_CASE("the info-hash is over the bytes as they came, whatever their order", "[metainfo]") {
    std::string const sorted = "d6:lengthi5e4:name1:n12:piece lengthi10e6:pieces" + std::string{twenty} + "e";
    std::string const unsorted = "d4:name1:n6:lengthi5e6:pieces" + std::string{twenty} + "12:piece lengthi010ee";
    for (auto const& info : {sorted, unsorted}) {
        auto const got = read("d4:info" + info + "e");
        CHECK(got.info_hash_v1() == hash::sha1_of(as_bytes(info)));
        CHECK(as_text(got.info_bytes()) == info);
        CHECK(got.pieces().piece_length() == 10);
        CHECK(as_text(got.piece_hash(piece_index{0}).view()) == "xxxxxxxxxxxxxxxxxxxx");
    }
}

TEST_CASE("a torrent may be moved and shared", "[metainfo]") {
    auto first = read(data("libtorrent_hybrid.torrent"));
    auto const hash = first.piece_hash(piece_index{3});
    auto const root = first.piece_root(piece_index{3});
    auto const copy = first;
    auto const moved = std::move(first);
    CHECK(moved.piece_hash(piece_index{3}) == hash);
    CHECK(moved.piece_root(piece_index{3}) == root);
    CHECK(copy.piece_hash(piece_index{3}) == hash);
    CHECK(copy.piece_root(piece_index{3}) == root);
    CHECK(equal(moved.info_bytes(), copy.info_bytes()));
}

TEST_CASE("hostile paths of a torrent are sanitised and told apart", "[metainfo]") {
    auto const bytes = with_paths({{"..", "..", "etc", "passwd"},
                                   {"/etc/passwd"},
                                   {"C:\\x"},
                                   {"a", "", "b"},
                                   {"x"},
                                   {"X"},
                                   {"x", "y"},
                                   {"x.part"},
                                   {"con"},
                                   {"a\x1b[2J\xff"},
                                   {std::string(300, 'l') + ".txt"}});
    std::vector<std::string> got;
    auto const parsed = read(bytes);
    for (auto const& each : parsed.content().files()) got.push_back(each.joined());
    CHECK(got == std::vector<std::string>{"_/_/etc/passwd", "_etc_passwd", "C__x", "a/_/b", "x", "X (1)", "x (2)/y",
                                          "x (2).part", "_con", "a_[2J_", std::string(251, 'l') + ".txt"});
}

TEST_CASE("a path is the same from a file and from a peer", "[metainfo]") {
    auto const from_file = read(with_paths({{"a"}, {"A"}, {"a", "b"}, {".."}, {"_"}}));
    auto const from_peer = parse_info(from_file.info_bytes()).value();
    for (std::size_t i = 0; i < from_file.content().files().size(); ++i)
        CHECK(from_file.content().files()[i].path == from_peer.content().files()[i].path);
}

TEST_CASE("UTF-8 names beside old ones are preferred in a v1 torrent", "[metainfo]") {
    auto const got = read(
        "d4:infod5:filesld6:lengthi5e4:pathl2:\xc3\x28"
        "e10:path.utf-8l2:\u00e4eee4:name1:n10:name.utf-82:\u00f6"
        "12:piece lengthi10e6:pieces" +
        std::string{twenty} + "ee");
    CHECK(got.name() == "\u00f6");
    CHECK(got.content().files()[0].joined() == "\u00e4");
}

TEST_CASE("pad files, executables and links are told by their attributes", "[metainfo]") {
    auto const got = read(
        "d4:infod5:filesl"
        "d4:attr1:x6:lengthi5e4:pathl1:aee"
        "d4:attr1:p6:lengthi5e4:pathl1:aee"
        "d4:attr1:l4:pathl1:le12:symlink pathl2:..2:..ee"
        "d4:attr2:hx6:lengthi1e4:pathl1:bee"
        "e4:name1:n12:piece lengthi100e6:pieces" +
        std::string{twenty} + "ee");
    auto const& files = got.content().files();
    REQUIRE(files.size() == 4);
    CHECK((files[0].executable && !files[0].pad && !files[0].symlink && files[0].joined() == "a"));
    CHECK((files[1].pad && files[1].size == 5 && files[1].joined() == ".pad/5"));
    CHECK((files[2].symlink && files[2].size == 0 && files[2].joined() == "l"));
    CHECK((files[3].executable && files[3].offset == 10));
    CHECK(got.pieces().total_size() == 11);
}

TEST_CASE("empty files of a torrent exist and own no piece", "[metainfo]") {
    auto const got = read(
        "d4:infod5:filesl"
        "d6:lengthi0e4:pathl1:aee"
        "d6:lengthi10e4:pathl1:bee"
        "d6:lengthi0e4:pathl1:cee"
        "e4:name1:n12:piece lengthi10e6:pieces" +
        std::string{twenty} + "ee");
    REQUIRE(got.content().files().size() == 3);
    CHECK(got.pieces().piece_count() == 1);
    CHECK(got.content().pieces_of(0).count == 0);
    CHECK(got.content().pieces_of(1).count == 1);
    CHECK(got.content().pieces_of(2).count == 0);
}

TEST_CASE("trackers of other schemes and malformed tiers are left out", "[metainfo]") {
    auto const trackers = [](std::string_view beside) {
        return read("d" + std::string{beside} + "4:infod6:lengthi5e4:name1:n12:piece lengthi10e6:pieces" +
                    std::string{twenty} + "ee")
            .trackers();
    };
    using tiers = std::vector<std::vector<std::string>>;
    CHECK(trackers("").empty());
    CHECK(trackers("8:announce8:http://a") == tiers{{"http://a"}});
    CHECK(trackers("8:announce8:HTTP://a") == tiers{{"HTTP://a"}});
    CHECK(trackers("8:announce7:file://").empty());
    CHECK(trackers("8:announce9:http://a\n").empty());
    CHECK(trackers("8:announcei1e").empty());
    CHECK(trackers("8:announce8:http://a13:announce-listll7:udp://b3:x:/ei1elel6:ws://cee") ==
          tiers{{"udp://b"}, {"ws://c"}});
    CHECK(trackers("8:announce8:http://a13:announce-listl4:nonee") == tiers{{"http://a"}});
    CHECK(trackers("8:announce8:http://a13:announce-listi1e") == tiers{{"http://a"}});
}

TEST_CASE("trackers, web seeds and nodes are capped", "[metainfo]") {
    for (int const count : {99, 100, 101, 5000}) {
        auto const bytes = with_paths({{"a"}}, [&](encoder& out) {
            out.key("announce-list").list();
            for (int i = 0; i < count; ++i) out.list().text("udp://" + std::to_string(i)).end();
            out.end().key("url-list").list();
            for (int i = 0; i < count; ++i) out.text("http://" + std::to_string(i));
            out.end().key("nodes").list();
            for (int i = 0; i < count; ++i) out.list().text("host").integer(1 + i).end();
            out.end();
        });
        auto const got = read(bytes);
        auto const expected = static_cast<std::size_t>(std::min(count, 100));
        CHECK(got.trackers().size() == expected);
        CHECK(got.web_seeds().size() == expected);
        CHECK(got.nodes().size() == expected);
    }
}

TEST_CASE("web seeds and nodes are read in the forms they come in", "[metainfo]") {
    auto const got = read(with_paths({{"a"}}, [](encoder& out) {
        out.entry("url-list", "http://one/");
        out.key("nodes").list();
        out.list().text("router.example").integer(6881).end();
        out.list().text("::1").integer(1).end();
        for (auto const port : {0, -1, 65536}) out.list().text("h").integer(port).end();
        out.list().text("a b").integer(1).end();
        out.list().text("h").end().list().end().text("h:1").list().integer(1).text("h").end();
        out.end();
    }));
    CHECK(got.web_seeds() == std::vector<std::string>{"http://one/"});
    CHECK(got.nodes() == std::vector<host_port>{{"router.example", 6881}, {"::1", 1}});
    CHECK(read(with_paths({{"a"}}, [](encoder& out) {
              out.key("url-list").list().text("ftp://x").text("https://y").integer(1).text("").end();
          })).web_seeds() == std::vector<std::string>{"https://y"});
}

TEST_CASE("private is any number but 0 inside the info dictionary, and nothing else", "[metainfo]") {
    auto const torrent_with = [](std::string const& inside, std::string const& beside) {
        return "d4:infod6:lengthi5e4:name1:n12:piece lengthi10e6:pieces" + std::string{twenty} + inside + "e" + beside +
               "e";
    };
    auto const is_private = [&](std::string const& inside, std::string const& beside) {
        return read(torrent_with(inside, beside)).is_private();
    };
    for (std::string const& number : {"1", "2", "-1", "256", "4294967296"})
        CHECK(is_private("7:privatei" + number + "e", ""));
    CHECK_FALSE(is_private("", ""));
    CHECK_FALSE(is_private("7:privatei0e", ""));
    CHECK_FALSE(is_private("", "7:privatei1e"));
    // Whoever wrote this may have meant it: taking it for public could not be taken back.
    for (std::string const& other : {"1:1", "1:0", "0:", "le", "de"})
        CHECK(parse_torrent(as_bytes(torrent_with("7:private" + other, ""))).error() == errc::wrong_type);
}
