#include <catch2/catch.hpp>

#include <cstdint>
#include <string>

#include "fixture.hpp"
using namespace fixture;

// What is held and not right any more, and what stands there in its place.
namespace {
void change_byte(fs::path const& path, std::size_t at) {
    auto bytes = read_file(path);
    bytes[at] ^= std::byte{1};
    write_file(path, bytes);
}
}  // namespace

TEST_CASE("a held piece that is read again and wrong is given up, and is not written over where somebody changed it",
          "[store]") {
    auto const content = make_sample({{"a", 131'072}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const a = content.root(settings.directory) / "a";
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load());
    receive_all(*disk, content);
    REQUIRE(disk->complete_files());
    REQUIRE(disk->sync());
    CHECK(disk->recheck(piece_index{0}).value());
    auto const time = fs::last_write_time(a);
    SECTION("nobody changed the file: the disk has lost it") {
        change_byte(a, 0);
        fs::last_write_time(a, time);
        CHECK_FALSE(disk->recheck(piece_index{0}).value());
        CHECK_FALSE(disk->is_held(piece_index{0}));
        CHECK(disk->is_held(piece_index{1}));
        CHECK(disk->may_receive(piece_index{0}));
        REQUIRE(receive(*disk, content, 0).value());
        REQUIRE(disk->complete_files());
        CHECK(content.is_in(settings.directory));
    }
    SECTION("somebody did: all of it is his") {
        change_byte(a, 0);
        fs::last_write_time(a, time + std::chrono::seconds{5});
        CHECK(disk->recheck(piece_index{0}).value());  // not ours to mend
        CHECK(disk->held().none());
        CHECK(disk->take_lost().size() == 2);
        CHECK_FALSE(disk->may_receive(piece_index{0}));
    }
}

TEST_CASE("who has hashed a piece himself is believed, where its file is there", "[store]") {
    auto const content = make_sample({{"a", 131'072}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const disk = open_store(content, settings);
    CHECK_FALSE(disk->trust_piece(piece_index{1}).value());
    content.place(settings.directory);
    CHECK(disk->trust_piece(piece_index{1}).value());
    CHECK(disk->is_held(piece_index{1}));
    CHECK_FALSE(disk->is_held(piece_index{0}));
    REQUIRE(disk->close());
    CHECK(disk->trust_piece(piece_index{0}).error() == store::errc::closed);
}

TEST_CASE("a file with a wrong piece that looks otherwise is told once for each change", "[store]") {
    auto const content = make_sample({{"a", 65'536}, {"b", 65'536}});
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.writable = false;
    content.place(settings.directory);
    auto const a = content.root(settings.directory) / "a";
    change_byte(a, 0);
    auto const disk = open_store(content, settings);
    CHECK_FALSE(disk->check_piece(piece_index{0}).value());
    CHECK(disk->check_piece(piece_index{1}).value());
    CHECK_FALSE(disk->have_wrong_files_changed());
    change_byte(a, 0);
    fs::last_write_time(a, fs::last_write_time(a) + std::chrono::seconds{5});
    CHECK(disk->have_wrong_files_changed());
    CHECK_FALSE(disk->have_wrong_files_changed());
    CHECK(disk->check_piece(piece_index{0}).value());
}

TEST_CASE("one file gets its final name, and the others keep theirs", "[store]") {
    auto const content = make_sample({{"a", 65'536}, {"b", 65'536}, {"c", 65'536}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const root = content.root(settings.directory);
    auto const disk = open_store(content, settings);
    for (std::uint32_t piece = 0; piece < 2; ++piece) REQUIRE(receive(*disk, content, piece).value());
    REQUIRE(disk->complete_file(0));
    REQUIRE(disk->complete_file(2));  // not complete yet
    CHECK(disk->is_complete(0));
    CHECK(fs::exists(root / "a"));
    CHECK(fs::exists(root / "b.part"));
    CHECK_FALSE(fs::exists(root / "c"));
    REQUIRE(disk->close());
    CHECK(disk->complete_file(1).error() == store::errc::closed);
}

TEST_CASE("a finished file that somebody changed is not written to", "[store]") {
    bool const looks_at_names = GENERATE(true, false);
    auto const content = make_sample({{"a", 100'000}}, metainfo::format::v1, 65536, true);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    download(content, settings);
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().all());
    if (looks_at_names) {
        REQUIRE(disk->complete_files());
        REQUIRE(disk->sync());
    }
    auto const theirs = random_bytes(100'001, 7);
    write_file(settings.directory / "a", theirs);
    REQUIRE(disk->check_files());
    CHECK(disk->take_lost().size() == 2);
    CHECK_FALSE(disk->may_receive(piece_index{0}));
    CHECK(receive(*disk, content, 0).error() == store::errc::changed_file);
    REQUIRE(disk->complete_files());
    CHECK((read_file(settings.directory / "a") == theirs));
}

TEST_CASE("an incomplete file of this run is gone on with after one of its pieces was given up", "[store]") {
    auto const content = make_sample({{"a", 100'000}}, metainfo::format::v1, 65536, true);
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path()));
    auto const blocks = blocks_of(content, piece_index{0});
    auto const writer = disk->begin(piece_index{0});
    REQUIRE(writer->write({&blocks[0], 1}));
    disk->lost(piece_index{1});
    REQUIRE(writer->write(blocks));
    CHECK(writer->finish().value());
}
