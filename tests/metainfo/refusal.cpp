#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

import shoal.core;
import shoal.bencode;
import shoal.hash;
import shoal.metainfo;

using namespace shoal;
using metainfo::errc;
using metainfo::parse_info;
using metainfo::parse_torrent;

namespace {
// Bencoded text, by hand, so that every wrong form can be written too.
using fields = std::map<std::string, std::string>;
std::string str(std::string_view text) {
    return std::to_string(text.size()) + ":" + std::string{text};
}
std::string num(std::int64_t number) {
    return "i" + std::to_string(number) + "e";
}
std::string list(std::vector<std::string> const& items) {
    std::string out = "l";
    for (auto const& each : items) out += each;
    return out + "e";
}
std::string dict(fields const& pairs) {
    std::string out = "d";
    for (auto const& [key, content] : pairs) out += str(key) + content;
    return out + "e";
}
/// `base` with other values; an empty value takes the key away.
fields with(fields base, fields const& changes) {
    for (auto const& [key, content] : changes) {
        base[key] = content;
        if (content.empty()) base.erase(key);
    }
    return base;
}
std::string torrent_of(std::string const& info, fields const& beside = {}) {
    return dict(with(beside, {{"info", info}}));
}

std::error_code refusal_of(std::string const& input, metainfo::limits const& within = {}) {
    auto const read = parse_torrent(as_bytes(input), within);
    return read ? std::error_code{} : read.error();
}
std::error_code refusal_of(fields const& info, fields const& beside = {}) {
    auto const encoded = dict(info);
    auto const why = refusal_of(torrent_of(encoded, beside));
    if (beside.empty()) {  // what peers send of it is judged alike
        auto const alone = parse_info(as_bytes(encoded));
        CHECK((alone ? std::error_code{} : alone.error()) == why);
    }
    return why;
}

std::string pieces(std::size_t count) {
    return str(std::string(20 * count, 'x'));
}
fields const v1{{"name", str("n")}, {"piece length", num(1000)}, {"pieces", pieces(2)}, {"length", num(1001)}};

std::string file_v1(std::string const& path, std::int64_t size, fields const& more = {}) {
    return dict(with({{"length", num(size)}, {"path", list({str(path)})}}, more));
}
fields files_v1(std::vector<std::string> const& files, std::size_t piece_count) {
    return with(v1, {{"length", ""}, {"files", list(files)}, {"pieces", pieces(piece_count)}});
}

std::string const root(32, 'r');
std::string leaf(std::int64_t size, fields const& more = {}) {
    return dict({{"", dict(with(with({{"length", num(size)}}, {{"pieces root", size > 0 ? str(root) : ""}}), more))}});
}
constexpr std::int64_t length = 16 * 1024;
fields v2_of(std::string const& tree) {
    return {{"name", str("n")}, {"piece length", num(length)}, {"meta version", num(2)}, {"file tree", tree}};
}
fields const v2 = v2_of(dict({{"a", leaf(5)}, {"b", leaf(6)}}));
}  // namespace

TEST_CASE("what is no torrent is refused", "[metainfo]") {
    CHECK(refusal_of("") == bencode::errc::truncated);
    CHECK(refusal_of("<html>") == bencode::errc::unexpected_byte);
    CHECK(refusal_of(std::string(150'000, 'l')) == bencode::errc::too_deep);
    CHECK(refusal_of("i1e") == errc::not_a_torrent);
    CHECK(refusal_of("le") == errc::not_a_torrent);
    CHECK(refusal_of("de") == errc::not_a_torrent);
    CHECK(refusal_of(torrent_of("4:info")) == errc::not_a_torrent);
    CHECK(refusal_of(torrent_of("le")) == errc::not_a_torrent);
    CHECK(parse_info(as_bytes("le")).error() == errc::not_a_torrent);
    CHECK(refusal_of(torrent_of("de")) == errc::missing_key);
    CHECK(refusal_of(v1) == std::error_code{});
    CHECK(refusal_of(v2) == std::error_code{});
    CHECK(refusal_of(torrent_of("de")) == condition::peer_fault);
}

TEST_CASE("a torrent cut at any byte or with bytes behind it is refused", "[metainfo]") {
    auto const whole = torrent_of(dict(v1));
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK(refusal_of(whole.substr(0, size)));
    for (std::string const& behind : {"\n", "e", "0:", "de"}) {
        CHECK(refusal_of(whole + behind) == bencode::errc::trailing_bytes);
        CHECK(parse_info(as_bytes(dict(v1) + behind)).error() == bencode::errc::trailing_bytes);
    }
}

TEST_CASE("a required key that is missing or of another type is named", "[metainfo]") {
    for (std::string const& key : {"name", "piece length", "pieces", "length"}) {
        INFO(key);
        CHECK(refusal_of(with(v1, {{key, ""}})) == errc::missing_key);
        auto const is_text = key == "name" || key == "pieces";
        for (auto const& other : {is_text ? num(1) : str("1"), std::string{"le"}, std::string{"de"}})
            CHECK(refusal_of(with(v1, {{key, other}})) == errc::wrong_type);
    }
    for (std::string const& key : {"name", "piece length", "file tree"}) {
        INFO(key);
        CHECK(refusal_of(with(v2, {{key, ""}})) == errc::missing_key);
        CHECK(refusal_of(with(v2, {{key, "le"}})) == errc::wrong_type);
    }
    CHECK(refusal_of(with(v2, {{"meta version", ""}})) == errc::missing_key);  // then it is v1, without pieces
    CHECK(refusal_of(with(v2, {{"meta version", str("2")}})) == errc::wrong_type);
    for (auto const version : {-1, 0, 1, 3})
        CHECK(refusal_of(with(v2, {{"meta version", num(version)}})) == errc::unsupported_version);
}

TEST_CASE("a piece length outside its limits is refused", "[metainfo]") {
    auto const v1_with = [](std::int64_t piece_length) {
        return refusal_of(with(v1, {{"piece length", num(piece_length)}, {"pieces", pieces(1)}, {"length", num(1)}}));
    };
    for (std::int64_t const good : {std::int64_t{1}, std::int64_t{1000}, std::int64_t{1} << 29})
        CHECK_FALSE(v1_with(good));
    for (std::int64_t const bad : {std::int64_t{0}, std::int64_t{-1}, (std::int64_t{1} << 29) + 1,
                                   std::int64_t{1} << 32, (std::int64_t{1} << 32) + 1, INT64_MAX, INT64_MIN})
        CHECK(v1_with(bad) == errc::bad_piece_length);
    for (std::int64_t const good : {std::int64_t{16384}, std::int64_t{1} << 29})
        CHECK_FALSE(refusal_of(with(v2_of(dict({{"a", leaf(5)}})), {{"piece length", num(good)}})));
    for (std::int64_t const bad : {8192, 16383, 16385, 49152, 0, -16384})
        CHECK(refusal_of(with(v2, {{"piece length", num(bad)}})) == errc::bad_piece_length);
}

TEST_CASE("the number of piece hashes fits the content exactly", "[metainfo]") {
    for (std::size_t const bytes : {0, 1, 19, 20, 21, 39, 41, 60})
        CHECK(refusal_of(with(v1, {{"pieces", str(std::string(bytes, 'x'))}})) == errc::bad_piece_count);
    struct row {
        std::int64_t size;
        std::size_t count;
    };
    for (auto const& [size, count] : {row{1, 1}, row{999, 1}, row{1000, 1}, row{1001, 2}, row{2000, 2}, row{2001, 3}}) {
        CHECK_FALSE(refusal_of(with(v1, {{"length", num(size)}, {"pieces", pieces(count)}})));
        CHECK(refusal_of(with(v1, {{"length", num(size)}, {"pieces", pieces(count + 1)}})) == errc::bad_piece_count);
    }
}

TEST_CASE("more pieces than the limit are refused before anything is made of them", "[metainfo]") {
    constexpr metainfo::limits four{.pieces_max = 4};
    for (std::size_t const count : {3, 4, 5}) {
        auto const of_v1 =
            dict(with(v1, {{"length", num(static_cast<std::int64_t>(count) * 1000)}, {"pieces", pieces(count)}}));
        CHECK(refusal_of(torrent_of(of_v1), four) ==
              (count > 4 ? make_error_code(errc::too_many_pieces) : std::error_code{}));
        auto const of_v2 = dict(v2_of(dict({{"a", leaf(static_cast<std::int64_t>(count) * length)}})));
        CHECK(refusal_of(torrent_of(of_v2), four) ==
              (count > 4 ? make_error_code(errc::too_many_pieces) : std::error_code{}));
    }
    // One hash for 2^21 pieces is too few, for one piece more it does not matter.
    fields const tiny = with(v1, {{"piece length", num(1)}, {"pieces", pieces(1)}});
    CHECK(refusal_of(with(tiny, {{"length", num(1 << 21)}})) == errc::bad_piece_count);
    CHECK(refusal_of(with(tiny, {{"length", num((1 << 21) + 1)}})) == errc::too_many_pieces);
    CHECK(refusal_of(with(v2_of(dict({{"a", leaf(std::int64_t{1} << 50)}})), {})) == errc::too_many_pieces);
}

TEST_CASE("sizes that are negative or overflow are refused", "[metainfo]") {
    for (std::int64_t const size : {std::int64_t{-1}, INT64_MIN, INT64_MAX, (std::int64_t{1} << 62) + 1}) {
        CHECK(refusal_of(with(v1, {{"length", num(size)}})) == errc::bad_file_size);
        CHECK(refusal_of(files_v1({file_v1("a", size)}, 1)) == errc::bad_file_size);
        CHECK(refusal_of(files_v1({file_v1("a", 1), file_v1("p", size, {{"attr", str("p")}})}, 1)) ==
              errc::bad_file_size);
        CHECK(refusal_of(v2_of(dict({{"a", leaf(size, {{"pieces root", str(root)}})}}))) == errc::bad_file_size);
    }
    CHECK(refusal_of(with(v1, {{"length", "i9223372036854775808e"}})) == bencode::errc::integer_overflow);
    std::int64_t const large = std::int64_t{1} << 62;
    CHECK(refusal_of(with(v1, {{"length", num(large)}})) == errc::too_many_pieces);
    CHECK(refusal_of(files_v1(std::vector<std::string>(8, file_v1("a", large)), 1)) == errc::too_many_pieces);
}

TEST_CASE("a pad file is smaller than a piece", "[metainfo]") {
    auto const with_pad = [](std::int64_t size) {
        return refusal_of(files_v1({file_v1("a", 1), file_v1("p", size, {{"attr", str("p")}})}, 1 + size / 1000));
    };
    for (std::int64_t const size : {0, 1, 998, 999}) CHECK_FALSE(with_pad(size));
    for (std::int64_t const size : {1000, 1001}) CHECK(with_pad(size) == errc::bad_file_size);
    // What hashing would make of a few bytes of torrent.
    CHECK(refusal_of(files_v1({file_v1("a", 1), file_v1("p", std::int64_t{1} << 40, {{"attr", str("p")}})}, 1)) ==
          errc::bad_file_size);
}

TEST_CASE("a torrent without a byte of content is refused", "[metainfo]") {
    CHECK(refusal_of(with(v1, {{"length", num(0)}, {"pieces", pieces(0)}})) == errc::no_content);
    CHECK(refusal_of(files_v1({}, 0)) == errc::no_content);
    CHECK(refusal_of(files_v1({file_v1("a", 0), file_v1("b", 0)}, 0)) == errc::no_content);
    CHECK(refusal_of(files_v1({file_v1("p", 999, {{"attr", str("p")}})}, 1)) == errc::no_content);
    CHECK(refusal_of(files_v1({file_v1("l", 1000, {{"attr", str("l")}})}, 0)) == errc::no_content);
    CHECK(refusal_of(v2_of("de")) == errc::no_content);
    CHECK(refusal_of(v2_of(dict({{"a", "de"}}))) == errc::no_content);
    CHECK(refusal_of(v2_of(dict({{"a", leaf(0)}, {"b", leaf(0)}}))) == errc::no_content);
}

TEST_CASE("a malformed list of files is refused", "[metainfo]") {
    CHECK(refusal_of(with(v1, {{"files", list({file_v1("a", 1)})}})) == errc::bad_file);  // and `length`
    CHECK(refusal_of(with(v1, {{"files", "de"}})) == errc::wrong_type);
    struct row {
        std::string entry;
        errc why;
    };
    for (auto const& [entry, why] : {
             row{"i1e", errc::wrong_type},
             row{"le", errc::wrong_type},
             row{"de", errc::missing_key},
             row{file_v1("a", 1, {{"length", ""}}), errc::missing_key},
             row{file_v1("a", 1, {{"length", str("1")}}), errc::wrong_type},
             row{file_v1("a", 1, {{"path", ""}}), errc::missing_key},
             row{file_v1("a", 1, {{"path", str("a")}}), errc::wrong_type},
             row{file_v1("a", 1, {{"path", "le"}}), errc::bad_file},
             row{file_v1("a", 1, {{"path", list({num(1)})}}), errc::wrong_type},
             row{file_v1("a", 1, {{"path", list({str("a"), "le"})}}), errc::wrong_type},
             row{file_v1("a", 1, {{"attr", str("l")}, {"path", ""}}), errc::missing_key},
         }) {
        INFO(entry);
        CHECK(refusal_of(files_v1({entry, file_v1("b", 1)}, 1)) == why);
        CHECK(refusal_of(files_v1({file_v1("b", 1), entry}, 1)) == why);
    }
}

TEST_CASE("a key that stands twice is refused", "[metainfo]") {
    auto const info = dict(v1);
    auto const twice = [](std::string dictionary, std::string const& pair) {
        return dictionary.insert(dictionary.size() - 1, pair);
    };
    for (auto const& [key, content] : v1) {
        INFO(key);
        CHECK(refusal_of(torrent_of(twice(info, str(key) + content))) == errc::repeated_key);
        CHECK(parse_info(as_bytes(twice(info, str(key) + content))).error() == errc::repeated_key);
    }
    CHECK(refusal_of(twice(torrent_of(info), "4:info" + info)) == errc::repeated_key);

    auto const file = file_v1("a", 1);
    for (auto const& pair : {str("length") + num(1), str("length") + num(2), str("path") + list({str("b")})})
        CHECK(refusal_of(files_v1({file, twice(file, pair)}, 1)) == errc::repeated_key);
    CHECK(refusal_of(files_v1({file, twice(file_v1("b", 1, {{"attr", str("x")}}), str("attr") + str("p"))}, 1)) ==
          errc::repeated_key);
    CHECK_FALSE(refusal_of(files_v1({file, "d4:pathl1:be6:lengthi1ee"}, 1)));  // out of order only
}

TEST_CASE("a v2 info dictionary has one form only", "[metainfo]") {
    auto const strict = [](std::string const& info) { return refusal_of(torrent_of(info)); };
    auto const tail = std::string{"12:meta versioni2e4:name1:n12:piece lengthi16384ee"};
    auto const tree = [&](std::string const& content) { return "d9:file treed" + content + "e" + tail; };
    CHECK_FALSE(strict(tree("1:a" + leaf(5))));
    CHECK(strict(tree("1:b" + leaf(5) + "1:a" + leaf(5))) == bencode::errc::unsorted_keys);
    CHECK(strict(tree("1:a" + leaf(5) + "1:a" + leaf(5))) == bencode::errc::unsorted_keys);
    CHECK(strict(tree("01:a" + leaf(5))) == bencode::errc::bad_length);
    CHECK(strict(tree("1:ad0:d6:lengthi05e11:pieces root32:" + root + "ee")) == bencode::errc::bad_integer);
    CHECK(strict("d12:meta versioni2e4:name1:n9:file treed1:a" + leaf(5) + "e12:piece lengthi16384ee") ==
          bencode::errc::unsorted_keys);
    // Beside the info dictionary the order does not matter, since no hash is over it.
    CHECK_FALSE(refusal_of("d4:info" + dict(v2) + "7:comment1:ce"));
}

TEST_CASE("a malformed file tree is refused", "[metainfo]") {
    struct row {
        std::string tree;
        errc why;
    };
    for (auto const& [tree, why] : {
             row{dict({{"a", num(1)}}), errc::wrong_type},
             row{dict({{"a", "le"}}), errc::wrong_type},
             row{leaf(5), errc::bad_file},  // properties of the root folder
             row{dict({{"a", dict({{"", dict({{"length", num(5)}, {"pieces root", str(root)}})}, {"b", leaf(5)}})}}),
                 errc::bad_file},
             row{dict({{"a", dict({{"", num(1)}})}}), errc::wrong_type},
             row{dict({{"a", dict({{"", "le"}})}}), errc::wrong_type},
             row{dict({{"a", dict({{"", "de"}})}}), errc::missing_key},
             row{dict({{"a", leaf(5, {{"length", str("5")}})}}), errc::wrong_type},
             row{dict({{"a", leaf(5, {{"pieces root", ""}})}}), errc::bad_pieces_root},
             row{dict({{"a", leaf(5, {{"pieces root", num(1)}})}}), errc::bad_pieces_root},
             row{dict({{"a", leaf(5, {{"pieces root", str(std::string(32, '\0'))}})}}), errc::bad_pieces_root},
             row{dict({{"a", leaf(5, {{"pieces root", str(std::string(31, 'r'))}})}}), errc::bad_pieces_root},
             row{dict({{"a", leaf(5, {{"pieces root", str(std::string(33, 'r'))}})}}), errc::bad_pieces_root},
             row{dict({{"a", leaf(5, {{"attr", str("p")}})}}), errc::bad_file},
         }) {
        INFO(escaped(tree));
        CHECK(refusal_of(v2_of(tree)) == why);
    }
    std::string deep = leaf(5);
    for (int i = 0; i < 200; ++i) deep = dict({{"d", deep}});
    CHECK(refusal_of(v2_of(deep)) == bencode::errc::too_deep);
}

TEST_CASE("piece layers that do not fit their files are refused", "[metainfo]") {
    // Two files of three pieces, whose hashes are made up; the root is what they hash to.
    auto const layer_of = [](char c) {
        std::vector<sha256_digest> nodes(3);
        for (std::size_t i = 0; i < nodes.size(); ++i)
            nodes[i].bytes.fill(static_cast<std::byte>(c + static_cast<char>(i)));
        return nodes;
    };
    auto const text_of = [](std::vector<sha256_digest> const& nodes) {
        std::string out;
        for (auto const& node : nodes) out += as_text(node.view());
        return out;
    };
    auto const root_of = [](std::vector<sha256_digest> const& nodes) {
        return std::string{as_text(hash::merkle_root(nodes).view())};
    };
    auto const a = layer_of('a'), b = layer_of('n');
    auto const tree = dict({{"a", leaf(2 * length + 1, {{"pieces root", str(root_of(a))}})},
                            {"b", leaf(3 * length, {{"pieces root", str(root_of(b))}})},
                            {"c", leaf(length)}});
    fields const good{{root_of(a), str(text_of(a))}, {root_of(b), str(text_of(b))}};
    auto const with_layers = [&](std::string const& layers) {
        return refusal_of(v2_of(tree), {{"piece layers", layers}});
    };
    REQUIRE_FALSE(with_layers(dict(good)));
    CHECK_FALSE(with_layers("de"));  // missing layers come from peers
    CHECK_FALSE(with_layers(dict(with(good, {{root_of(a), ""}}))));
    CHECK(with_layers("le") == errc::wrong_type);
    auto flipped = text_of(a);
    flipped[70] ^= 1;
    for (auto const& bad : {
             fields{{root_of(a), num(1)}},
             fields{{root_of(a), str("")}},
             fields{{root_of(a), str(text_of(b))}},
             fields{{root_of(a), str(flipped)}},
             fields{{root_of(a), str(text_of(a).substr(0, 95))}},
             fields{{root_of(a), str(text_of(a).substr(0, 64))}},
             fields{{root_of(a), str(text_of(a) + std::string(32, '\0'))}},  // hashes alike, but is for another size
             fields{{std::string(32, 'u'), str(text_of(a))}},                // of no file
             fields{{root, str(root)}},                                      // of a file of one piece
             fields{{root_of(a).substr(1), str(text_of(a))}},
             fields{{root_of(a) + "x", str(text_of(a))}},
             fields{{"", str("")}},
         }) {
        CHECK(with_layers(dict(bad)) == errc::bad_piece_layer);
        CHECK(with_layers(dict(with(good, bad))) == errc::bad_piece_layer);
    }
    auto repeated = dict(good);
    repeated.insert(repeated.size() - 1, str(root_of(a)) + str(text_of(a)));
    CHECK(with_layers(repeated) == errc::repeated_key);
}

TEST_CASE("a hybrid whose halves disagree is refused", "[metainfo]") {
    auto const pad = [](std::int64_t size) { return file_v1(".pad", size, {{"attr", str("p")}}); };
    auto const hybrid = [&](std::vector<std::string> const& files, std::size_t count) {
        return refusal_of(with(with(v2, {{"files", list(files)}}), {{"pieces", pieces(count)}}));
    };
    auto const a = file_v1("a", 5), b = file_v1("b", 6), fill = pad(length - 5);
    CHECK_FALSE(hybrid({a, fill, b}, 2));
    CHECK_FALSE(hybrid({a, fill, b, pad(length - 6)}, 2));  // some programs pad the end
    CHECK_FALSE(hybrid({a, pad(length - 6), pad(1), b}, 2));
    for (auto const& [files, count] : std::vector<std::pair<std::vector<std::string>, std::size_t>>{
             {{a, b}, 1},                                          // not aligned
             {{a, pad(length - 6), b}, 2},                         // not aligned
             {{b, pad(length - 6), a}, 2},                         // order
             {{a}, 1},                                             // fewer files
             {{a, fill, b, pad(length - 6), file_v1("c", 1)}, 3},  // more files
             {{a, fill, b, file_v1("c", 0)}, 2},                   // more files
             {{a, fill, file_v1("c", 6)}, 2},                      // name
             {{a, fill, file_v1("B", 6)}, 2},                      // name
             {{a, fill, file_v1("b", 7)}, 2},                      // size
             {{file_v1("a", 0), b}, 1},                            // size
             {{file_v1("a", 5, {{"path", list({str("n"), str("a")})}}), fill, b}, 2},
             {{file_v1("a", 5, {{"attr", str("l")}}), b}, 1},
         })
        CHECK(hybrid(files, count) == errc::hybrid_mismatch);
    CHECK(hybrid({a, pad(length - 5), pad(length - 1), pad(1), b}, 3) == errc::hybrid_mismatch);  // a piece of padding
    for (auto const& files : std::vector<std::vector<std::string>>{
             {a, pad(2 * length - 5), b}, {pad(length), a, fill, b}, {a, fill, b, pad(length)}})
        CHECK(hybrid(files, 3) == errc::bad_file_size);
    CHECK(hybrid({a, fill, b}, 1) == errc::bad_piece_count);
    CHECK(refusal_of(with(v2, {{"length", num(5)}, {"pieces", pieces(1)}})) == errc::hybrid_mismatch);

    fields const single = with(v2_of(dict({{"n", leaf(5)}})), {{"length", num(5)}, {"pieces", pieces(1)}});
    CHECK_FALSE(refusal_of(single));
    CHECK(refusal_of(with(single, {{"name", str("m")}})) == errc::hybrid_mismatch);
    CHECK(refusal_of(with(single, {{"length", num(6)}})) == errc::hybrid_mismatch);
    CHECK(refusal_of(with(single, {{"length", ""}})) == errc::missing_key);
    CHECK(refusal_of(with(single, {{"pieces", num(1)}})) == errc::wrong_type);
}

TEST_CASE("a torrent larger than the limit is refused unread", "[metainfo]") {
    auto const whole = torrent_of(dict(v1));
    CHECK_FALSE(refusal_of(whole, {.input_bytes_max = whole.size() + 1}));
    CHECK_FALSE(refusal_of(whole, {.input_bytes_max = whole.size()}));
    CHECK(refusal_of(whole, {.input_bytes_max = whole.size() - 1}) == errc::input_too_large);
    CHECK(parse_info(as_bytes(whole), {.input_bytes_max = 1}).error() == errc::input_too_large);
}

TEST_CASE("every error has a sentence of its own and says who is at fault", "[metainfo]") {
    std::map<std::string, int> sentences;
    for (int i = 1; i <= static_cast<int>(errc::stopped); ++i) {
        auto const code = make_error_code(static_cast<errc>(i));
        ++sentences[code.message()];
        CHECK(((code == condition::peer_fault) + (code == condition::local_fault) + (code == condition::transient)) ==
              1);
    }
    CHECK(sentences.size() == static_cast<std::size_t>(errc::stopped));
    CHECK_FALSE(sentences.contains(make_error_code(static_cast<errc>(99)).message()));
    CHECK(make_error_code(errc::stopped).category().name() == std::string_view{"shoal.metainfo"});
}
