#pragma once
// Records to try things with. Include it last: it imports.
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

import shoal.core;
import shoal.share_record;
import shoal.testing;

/// Of a folder with three files, one of them empty.
inline shoal::share_record::record made_record(std::filesystem::path path = "/home/anna/music") {
    using namespace shoal;
    std::vector<std::pair<std::string, std::size_t>> const files{{"a", 7}, {"b/song", 40'000}, {"empty", 0}};
    auto made = testing::make_content(files, {.name = path.filename().string()});
    share_record::record out;
    out.path = std::move(path);
    out.hub = "http://hub:6969/announce";
    out.made_with = {std::byte{1}, std::byte{0}};
    out.made_from = {{{"a"}, {7, 101, 1'700'000'000'000'000'001, 1'700'000'000'000'000'002}},
                     {{"b", "song"}, {40'000, 102, -1, 5}},
                     {{"empty"}, {0, ~std::uint64_t{0}, 3, 4}}};
    out.is_durable = true;
    out.content = made.torrent;
    out.metainfo = std::make_shared<byte_vector const>(std::move(made.metainfo));
    return out;
}

inline void check_same(shoal::share_record::record const& a, shoal::share_record::record const& b) {
    CHECK(a.path == b.path);
    CHECK(a.hub == b.hub);
    CHECK(a.made_with == b.made_with);
    CHECK(a.made_from == b.made_from);
    CHECK(a.is_durable == b.is_durable);
    CHECK(*a.metainfo == *b.metainfo);
    CHECK(a.content->swarm_hash() == b.content->swarm_hash());
}
