#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "torrents.hpp"
using namespace torrents;

TEST_CASE("a published content is listed with its owner, by name and by hash", "[hub]") {
    auto catalogue = in_memory();
    auto const torrent = single("report.pdf", 1, 12'345);
    auto const done = catalogue.publish("anna", torrent, start);
    REQUIRE(done);
    CHECK(done.value().is_new_content);
    CHECK(done.value().is_new_owner);
    CHECK(catalogue.size() == 1);
    auto const named = catalogue.by_name("report.pdf").value();
    REQUIRE(named.size() == 1);
    auto const& entry = named[0];
    CHECK(entry.swarm_hash == hash_of(torrent));
    CHECK(entry.info_hash_v1);
    CHECK_FALSE(entry.info_hash_v2);
    CHECK(entry.size == 12'345);
    CHECK(entry.file_count == 1);
    CHECK(entry.piece_length == 16'384);
    CHECK(entry.added == start);
    REQUIRE(entry.owners.size() == 1);
    CHECK(entry.owners[0].name == "anna");
    CHECK(entry.owners[0].since == start);
    CHECK(catalogue.by_hash(hash_of(torrent)).value()->entry.name == "report.pdf");
    CHECK(found(catalogue, "") == list{"report.pdf"});
    CHECK(catalogue.by_name("Report.pdf").value().empty());
    CHECK_FALSE(catalogue.by_hash(info_hash{}).value());
}

TEST_CASE("the catalogue gives back the info dictionary byte for byte, and the piece layers", "[hub]") {
    auto const format = GENERATE(metainfo::format::v1, metainfo::format::v2, metainfo::format::hybrid);
    auto catalogue = in_memory();
    auto const file = made(format, "not for everybody");
    REQUIRE(catalogue.publish("anna", file, start));
    auto const stored = catalogue.by_hash(hash_of(file)).value();
    REQUIRE(stored);
    auto const before = metainfo::parse_torrent(file).value();
    auto const after = metainfo::parse_torrent(stored->metainfo).value();
    CHECK(equal(before.info_bytes(), after.info_bytes()));
    CHECK(after.comment().empty());
    CHECK(before.has_piece_roots() == after.has_piece_roots());
    for (std::uint32_t i = 0; i < before.content().files().size(); ++i)
        CHECK(equal(before.piece_layer(i), after.piece_layer(i)));
    CHECK(stored->entry.size == 400'005);
    CHECK(stored->entry.file_count == 3);
    CHECK(stored->entry.info_hash_v1 == before.info_hash_v1());
    CHECK(stored->entry.info_hash_v2 == before.info_hash_v2());
}

TEST_CASE("the same content again is another owner and no second copy", "[hub]") {
    auto catalogue = in_memory();
    auto const torrent = single("a", 1);
    REQUIRE(catalogue.publish("anna", torrent, start));
    auto const second = catalogue.publish("ben", torrent, start + 1s).value();
    CHECK_FALSE(second.is_new_content);
    CHECK(second.is_new_owner);
    auto const third = catalogue.publish("anna", torrent, start + 2s).value();
    CHECK_FALSE(third.is_new_content);
    CHECK_FALSE(third.is_new_owner);
    CHECK(catalogue.size() == 1);
    auto const owners = catalogue.owners(hash_of(torrent)).value();
    REQUIRE(owners.size() == 2);
    CHECK(owners[0].name == "anna");
    CHECK(owners[0].since == start);
    CHECK(owners[0].seen == start + 2s);
    CHECK(owners[1].name == "ben");
    CHECK(third.entry.owner_count == 2);
}

TEST_CASE("two contents of one name are both listed, told apart by hash and owner", "[hub]") {
    auto catalogue = in_memory();
    REQUIRE(catalogue.publish("anna", single("report.pdf", 1), start));
    REQUIRE(catalogue.publish("ben", single("report.pdf", 2), start));
    auto const both = catalogue.by_name("report.pdf").value();
    REQUIRE(both.size() == 2);
    CHECK(both[0].swarm_hash < both[1].swarm_hash);
    CHECK(both[0].owners[0].name != both[1].owners[0].name);
    CHECK(found(catalogue, "report") == list{"report.pdf", "report.pdf"});
}

TEST_CASE("a content whose last owner left is forgotten after a time, and adopted by who publishes it before",
          "[hub]") {
    auto catalogue = in_memory({.orphan_kept = 1h});
    auto const lost = single("lost", 1);
    auto const kept = single("kept", 2);
    for (auto const& each : {lost, kept}) REQUIRE(catalogue.publish("anna", each, start));
    CHECK_FALSE(catalogue.unpublish("ben", hash_of(lost), start).value());
    CHECK_FALSE(catalogue.unpublish("anna", info_hash{}, start).value());
    for (auto const& each : {lost, kept}) CHECK(catalogue.unpublish("anna", hash_of(each), start).value());
    CHECK_FALSE(catalogue.touch("anna", start).value());
    CHECK(catalogue.forget(start + 59min).value() == 0);
    CHECK(catalogue.by_name("lost").value().at(0).owner_count == 0);
    REQUIRE(catalogue.publish("ben", kept, start + 59min));
    CHECK(catalogue.forget(start + 60min).value() == 1);
    CHECK(found(catalogue, "") == list{"kept"});
    CHECK(found(catalogue, "lost").empty());
    CHECK(catalogue.size() == 1);
    CHECK_FALSE(catalogue.by_hash(hash_of(lost)).value());
    CHECK(catalogue.files(hash_of(lost)).value().empty());
    CHECK(catalogue.publish("anna", lost, start + 61min).value().is_new_content);
}

TEST_CASE("an owner of whom nothing is heard owns nothing after a time", "[hub]") {
    auto catalogue = in_memory({.owner_kept = 2h, .orphan_kept = 1h});
    REQUIRE(catalogue.publish("anna", single("a", 1), start));
    REQUIRE(catalogue.publish("ben", single("b", 2), start));
    CHECK(catalogue.touch("ben", start + 1h).value());
    CHECK(catalogue.touch("ben", start).value());  // a clock that went back takes nothing away
    CHECK(catalogue.forget(start + 2h).value() == 0);
    CHECK(catalogue.by_name("a").value().at(0).owner_count == 0);
    CHECK(catalogue.by_name("b").value().at(0).owner_count == 1);
    CHECK(catalogue.by_name("b").value().at(0).owners.at(0).seen == start + 1h);
    CHECK(catalogue.forget(start + 3h).value() == 1);
    CHECK(found(catalogue, "") == list{"b"});
}

TEST_CASE("the catalogue takes as much as its limits say and no more", "[hub]") {
    SECTION("entries") {
        auto catalogue = in_memory({.entries_max = 3});
        for (std::uint64_t i = 0; i < 3; ++i) CHECK(catalogue.publish("anna", single("a", i), start));
        CHECK(catalogue.publish("anna", single("a", 3), start).error() == hub::errc::catalogue_full);
        CHECK(catalogue.publish("ben", single("a", 0), start));
        CHECK(catalogue.size() == 3);
        CHECK(catalogue.owners(hash_of(single("a", 0))).value().size() == 2);
        CHECK_FALSE(catalogue.touch("carl", start).value());
    }
    SECTION("bytes") {
        auto const one = single("a", 0);
        auto const stored = [&] {
            auto catalogue = in_memory();
            REQUIRE(catalogue.publish("anna", one, start));
            return catalogue.by_hash(hash_of(one)).value()->metainfo.size() + 1;  // and the path
        }();
        CHECK(in_memory({.bytes_max = stored - 1}).publish("anna", one, start).error() == hub::errc::catalogue_full);
        auto catalogue = in_memory({.bytes_max = stored, .orphan_kept = 0s});
        CHECK(catalogue.publish("anna", one, start));
        CHECK(catalogue.publish("anna", single("b", 1), start).error() == hub::errc::catalogue_full);
        REQUIRE(catalogue.unpublish("anna", hash_of(one), start).value());
        CHECK(catalogue.forget(start).value() == 1);
        CHECK(catalogue.publish("anna", single("b", 1), start));
    }
    SECTION("bytes of one torrent file") {
        auto const one = single("a");
        for (auto const less : {0, 1}) {
            auto const done = in_memory({.metainfo_bytes_max = one.size() - less}).publish("anna", one, start);
            if (less == 0)
                CHECK(done);
            else
                CHECK(done.error() == metainfo::errc::input_too_large);
        }
    }
    SECTION("owners") {
        auto catalogue = in_memory({.owners_max = 2});
        CHECK(catalogue.publish("anna", single("a"), start));
        CHECK(catalogue.publish("ben", single("a"), start));
        CHECK(catalogue.publish("carl", single("a"), start).error() == hub::errc::too_many_owners);
        CHECK(catalogue.publish("ben", single("a"), start));
        CHECK(catalogue.owners(hash_of(single("a"))).value().size() == 2);
        CHECK_FALSE(catalogue.touch("carl", start).value());
    }
    SECTION("owners that come with an entry") {
        auto catalogue = in_memory();
        for (int i = 0; i < 20; ++i) REQUIRE(catalogue.publish("node " + std::to_string(i), single("a"), start));
        auto const entry = catalogue.by_name("a").value().at(0);
        CHECK(entry.owner_count == 20);
        CHECK(entry.owners.size() == hub::listed_owners_max);
        CHECK(catalogue.owners(entry.swarm_hash).value().size() == 20);
    }
    SECTION("indexed files") {
        auto catalogue = in_memory({.indexed_files_max = 3});
        auto const torrent = folder("f", {"one", "two", "three", "four"});
        REQUIRE(catalogue.publish("anna", torrent, start));
        CHECK(catalogue.files(hash_of(torrent)).value().size() == 3);
        CHECK(catalogue.files(hash_of(torrent), 2).value().size() == 1);
        CHECK(catalogue.by_name("f").value().at(0).file_count == 4);
        CHECK(found(catalogue, "three") == list{"f"});
        CHECK(found(catalogue, "four").empty());
        REQUIRE(catalogue.by_hash(hash_of(torrent)).value());
    }
    SECTION("indexed bytes of paths") {
        auto catalogue = in_memory({.indexed_path_bytes_max = 6});
        REQUIRE(catalogue.publish("anna", folder("f", {"one", "two", "three"}), start));
        CHECK(catalogue.files(hash_of(folder("f", {"one", "two", "three"}))).value().size() == 2);
    }
}

TEST_CASE("an owner's name is text of 1 to 255 bytes", "[hub]") {
    auto catalogue = in_memory();
    CHECK(catalogue.publish(std::string(255, 'a'), single("a"), start));
    for (auto const& name : {std::string{}, std::string(256, 'a'), std::string{"\xff"}, std::string{"a\0b", 3}}) {
        auto const done = catalogue.publish(name, single("a"), start);
        REQUIRE_FALSE(done);
        CHECK(done.error() == hub::errc::bad_owner);
        CHECK(is(done.error(), condition::peer_fault));
    }
    CHECK_FALSE(catalogue.unpublish(std::string{"\xff\0", 2}, hash_of(single("a")), start).value());
}

TEST_CASE("what is no torrent, or a v2 torrent without piece layers, is refused", "[hub]") {
    auto catalogue = in_memory();
    CHECK(is(catalogue.publish("anna", as_bytes("<html>"), start).error(), condition::peer_fault));
    CHECK(is(catalogue.publish("anna", {}, start).error(), condition::peer_fault));
    auto const whole = made(metainfo::format::v2);
    bencode::encoder out;
    auto const document = bencode::decode(whole).value();
    out.dictionary().key("info").encoded(document.root().find("info")->encoded()).end();
    CHECK(catalogue.publish("anna", out.take(), start).error() == hub::errc::missing_layers);
    CHECK(catalogue.size() == 0);
}

TEST_CASE("catalogue and counters are there after a restart", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "data" / "catalogue.db";
    auto const torrent = made(metainfo::format::hybrid);
    constexpr auto largest = ~std::uint64_t{0};
    {
        auto catalogue = hub::catalogue::open(file).value();
        CHECK_FALSE(catalogue.set_aside());
        CHECK(catalogue.counters().empty());
        REQUIRE(catalogue.publish("anna", torrent, start));
        REQUIRE(catalogue.save_counters({{"announces", 17}, {"bytes", largest}}, {{hash_of(torrent), 3}}));
        REQUIRE(catalogue.save_counters({{"announces", 18}}, {{hash_of(torrent), 2}, {info_hash{}, 9}}));
        CHECK(catalogue.counters().at("announces") == 18);
    }
    auto catalogue = hub::catalogue::open(file).value();
    CHECK_FALSE(catalogue.set_aside());
    CHECK(catalogue.counters() == hub::saved_counters{{"announces", 18}, {"bytes", largest}});
    CHECK(catalogue.size() == 1);
    auto const stored = catalogue.by_hash(hash_of(torrent)).value();
    REQUIRE(stored);
    CHECK(stored->entry.completed == 5);
    CHECK(stored->entry.owners.at(0).name == "anna");
    CHECK(found(catalogue, "large") == list{"real content"});
    CHECK(catalogue.publish("ben", torrent, start).value().is_new_owner);
}
