#include <catch2/catch.hpp>

#include <algorithm>
#include <optional>

#include "fixture.hpp"

import shoal.hash;
using namespace fixture;
namespace journal = store::journal;

namespace {
std::vector<piece_index> pieces(std::initializer_list<std::uint32_t> numbers) {
    std::vector<piece_index> list;
    for (auto const number : numbers) list.push_back(piece_index{number});
    return list;
}
bool claims_only(journal::claims const& claims, bitfield const& allowed) {
    return !claims.held.has_beyond(allowed);
}

struct written {
    sample content = make_sample({{"a", 40'000}, {"b", 200'000}}, metainfo::format::v1, 16384);
    bitfield recorded{content.count()};
    std::vector<std::optional<journal::stamp>> stamps{2};
    journal::checksum last;
    byte_vector bytes;

    written() {
        for (auto const number : {0U, 2U, 9U}) recorded.set(piece_index{number});
        stamps[0] = journal::stamp{40'000, 12'345, 12'345};
        bytes = journal::compose(*content.torrent, recorded, stamps, last);
        add({}, {{1, {200'000, 20, 90}}});
        add({3, 4}, {{1, {200'000, 50, 120}}});
        add({5}, {});
    }
    void add(std::initializer_list<std::uint32_t> held, std::vector<journal::file_stamp> const& seen) {
        journal::append_stamps(bytes, last, seen);
        journal::append_held(bytes, last, pieces(held));
        for (auto const piece : pieces(held)) recorded.set(piece);
        for (auto const& [file, stamp] : seen) stamps[file] = stamp;
    }
};
}  // namespace

TEST_CASE("a journal says what was recorded", "[store]") {
    written const made;
    auto const read = journal::parse(made.bytes, *made.content.torrent);
    REQUIRE(read);
    CHECK(read.value().held == made.recorded);
    CHECK(read.value().stamps == made.stamps);
    CHECK(read.value().last == made.last);
    CHECK_FALSE(read.value().torn);
}

TEST_CASE("a journal cut anywhere claims only what was recorded before", "[store]") {
    written const made;
    std::uint32_t claimed_before = 0;
    for (std::size_t length = 0; length < made.bytes.size(); ++length) {
        INFO(length);
        auto const cut = byte_view{made.bytes}.first(length);
        auto const read = journal::parse(cut, *made.content.torrent);
        // As after a power cut that had the length written, but not the bytes.
        byte_vector padded(cut.begin(), cut.end());
        padded.resize(made.bytes.size());
        auto const zeroed = journal::parse(padded, *made.content.torrent);
        if (zeroed) CHECK(claims_only(zeroed.value(), made.recorded));
        if (!read) continue;
        CHECK(claims_only(read.value(), made.recorded));
        CHECK(read.value().held.count() >= claimed_before);
        claimed_before = read.value().held.count();
        CHECK(read.value().held.count() <= made.recorded.count());
    }
    CHECK(claimed_before == 5);  // without the last record
}

TEST_CASE("of a journal that a power cut left with zeros at its end all before them counts", "[store]") {
    written const made;
    for (std::size_t const zeros : {1u, 4u, 12u, 13u, 4096u}) {
        INFO(zeros);
        auto bytes = made.bytes;
        bytes.resize(bytes.size() + zeros);
        auto const read = journal::parse(bytes, *made.content.torrent);
        REQUIRE(read);
        CHECK(read.value().torn);
        CHECK(read.value().held == made.recorded);
    }
}

TEST_CASE("a journal with any bit flipped never claims a piece that was not recorded", "[store]") {
    written const made;
    for (std::size_t bit = 0; bit < made.bytes.size() * 8; ++bit) {
        auto bytes = made.bytes;
        bytes[bit / 8] ^= std::byte{1} << (bit % 8);
        auto const read = journal::parse(bytes, *made.content.torrent);
        if (!read) continue;
        INFO(bit);
        CHECK(read.value().torn);  // a length that leads past the end
        CHECK(claims_only(read.value(), made.recorded));
    }
}

TEST_CASE("a journal of another torrent, or with trailing bytes, is refused", "[store]") {
    written const made;
    auto const other = make_sample({{"a", 40'001}, {"b", 200'000}}, metainfo::format::v1, 16384);
    CHECK(journal::parse(made.bytes, *other.torrent).error() == store::errc::bad_journal);
    CHECK(journal::parse({}, *made.content.torrent).error() == store::errc::bad_journal);
    auto longer = made.bytes;
    for (int i = 0; i < 40; ++i) longer.push_back(std::byte{0x01});
    auto const read = journal::parse(longer, *made.content.torrent);
    if (read) CHECK(read.value().torn);
    auto swapped = made.bytes;  // the last record's piece number, most significant byte last
    std::reverse(swapped.end() - 12, swapped.end() - 8);
    CHECK(journal::parse(swapped, *made.content.torrent).error() == store::errc::bad_journal);
}

TEST_CASE("a journal with right checksums that says what it cannot is refused", "[store]") {
    written const made;
    auto const refuses = [&](byte_view bytes) {
        auto const read = journal::parse(bytes, *made.content.torrent);
        return !read && read.error() == store::errc::bad_journal;
    };
    journal::checksum last;
    CHECK(refuses(journal::compose(*made.content.torrent, bitfield(made.content.count() + 8), made.stamps, last)));
    auto const with_record = [&](std::uint8_t kind, byte_view payload) {
        byte_vector record;
        byte_writer{record}.be(static_cast<std::uint32_t>(payload.size())).be(kind).bytes(payload);
        hash::sha1_hasher hasher;
        hasher.update(made.last.view());
        hasher.update(record);
        auto bytes = made.bytes;
        byte_writer{bytes}.bytes(record).bytes(byte_view{hasher.finish().bytes}.first(journal::checksum::size()));
        return bytes;
    };
    byte_vector const piece_1{{}, {}, {}, std::byte{1}};
    auto const last_piece = static_cast<std::byte>(made.content.count() - 1);
    byte_vector const piece_last{{}, {}, {}, last_piece}, piece_after{{}, {}, {}, std::byte(int(last_piece) + 1)};
    CHECK_FALSE(refuses(with_record(1, piece_1)));
    CHECK_FALSE(refuses(with_record(1, piece_last)));
    CHECK(refuses(with_record(1, piece_after)));
    CHECK(refuses(with_record(1, byte_view{piece_1}.first(3))));
    CHECK(refuses(with_record(2, piece_1)));
    auto const stamp_of = [](std::size_t file) {
        byte_vector stamp(28);
        stamp[3] = static_cast<std::byte>(file);
        return stamp;
    };
    auto const files = made.content.torrent->content().files().size();
    CHECK_FALSE(refuses(with_record(2, stamp_of(files - 1))));
    CHECK(refuses(with_record(2, stamp_of(files))));
    CHECK(refuses(with_record(4, piece_1)));  // a kind that nobody knows
}

TEST_CASE("a stamp covers exactly the file it was made of, or its growth for a while", "[store]") {
    journal::stamp const settled{100, 50, 50};
    CHECK(settled.covers(100, 50));
    CHECK_FALSE(settled.covers(100, 49));
    CHECK_FALSE(settled.covers(100, 51));
    CHECK_FALSE(settled.covers(99, 50));
    CHECK_FALSE(settled.covers(101, 50));
    journal::stamp const growing{100, 50, 60};
    CHECK(growing.covers(100, 50));
    CHECK(growing.covers(200, 60));
    CHECK_FALSE(growing.covers(200, 61));
    CHECK_FALSE(growing.covers(200, 49));
    CHECK_FALSE(growing.covers(99, 55));
}
