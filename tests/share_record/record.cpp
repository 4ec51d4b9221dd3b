#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <utility>

#include "made.hpp"

import shoal.hash;

using namespace shoal;
using namespace shoal::share_record;
using namespace std::chrono_literals;

namespace {
/// A record whose checksum is right, whatever it says.
byte_vector sealed(byte_view body) {
    byte_vector out;
    auto const checksum = hash::sha256_of(body);
    byte_writer{out}.bytes(checksum.view()).bytes(body);
    return out;
}
}  // namespace

TEST_CASE("a record is read as it was written", "[share_record]") {
    auto const record = made_record();
    auto const read = decode(encode(record));
    REQUIRE(read);
    check_same(*read, record);
    auto other = record;
    other.is_durable = false;
    CHECK_FALSE(decode(encode(other))->is_durable);
}

TEST_CASE("a record that is cut, longer or changed anywhere is none", "[share_record]") {
    auto const bytes = encode(made_record());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        CHECK_FALSE(decode(byte_view{bytes}.first(i)));
        auto changed = bytes;
        changed[i] ^= std::byte{0x10};
        CHECK_FALSE(decode(changed));
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    CHECK_FALSE(decode(longer));
}

TEST_CASE("whatever a record says, it is read or refused", "[share_record]") {
    auto const bytes = encode(made_record());
    auto const body = byte_view{bytes}.subspan(sha256_digest::size());
    for (std::size_t i = 0; i < body.size(); ++i) {
        byte_vector changed{body.begin(), body.end()};
        changed[i] ^= std::byte{1};
        auto const read = decode(sealed(changed));
        if (!read) continue;
        CHECK(whole_path(read->path) == read->path);
        CHECK(read->made_from.size() == 3);
        (void)decode(sealed(byte_view{changed}.first(i)));
    }
}

TEST_CASE("a record is refused that contradicts itself", "[share_record]") {
    auto const refuses = [](auto change) {
        auto record = made_record();
        change(record);
        return !decode(encode(record));
    };
    CHECK(refuses([](record& of) { of.made_from.erase({"a"}); }));
    CHECK(refuses([](record& of) { of.made_from[{"more"}] = {}; }));
    CHECK(refuses([](record& of) { of.made_from[{"a"}].size = 8; }));
    CHECK(refuses([](record& of) { of.path = "music"; }));
    CHECK(refuses([](record& of) { of.path = "/home/anna/../music"; }));
    CHECK(refuses([](record& of) { of.path = "/home/anna/music/"; }));
    CHECK(refuses([](record& of) { of.metainfo = std::make_shared<byte_vector const>(100); }));
    CHECK_FALSE(refuses([](record&) {}));
}

TEST_CASE("a path is known by what it is as a whole", "[share_record]") {
    auto const here = std::filesystem::current_path();
    CHECK(whole_path("music") == here / "music");
    CHECK(whole_path("./music/") == here / "music");
    CHECK(whole_path("/a/b/../c//d") == "/a/c/d");
    CHECK(whole_path("/") == "/");
}

TEST_CASE("the stamp of a file that was changed just before the look is not believed", "[share_record]") {
    constexpr std::int64_t second = 1'000'000'000, look = 1000 * second;
    auto const settled = look - 2 * second;
    snapshot const seen{{{"old"}, {1, 2, settled, settled}},
                        {{"written"}, {1, 3, settled + 1, settled}},
                        {{"renamed"}, {1, 4, settled, settled + 1}}};
    auto const kept = believable(seen, look);
    CHECK(kept.at({"old"}) == seen.at({"old"}));
    CHECK(kept.at({"written"}) == file_stamp{.size = 1});
    CHECK(kept.at({"renamed"}) == file_stamp{.size = 1});
}
