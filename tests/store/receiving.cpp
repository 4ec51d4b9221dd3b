#include <catch2/catch.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "fixture.hpp"
using namespace fixture;
using store::back_end;

TEST_CASE("a torrent received in any order is on disk byte for byte", "[store]") {
    auto const format = GENERATE(metainfo::format::v1, metainfo::format::v2, metainfo::format::hybrid);
    auto const kind = GENERATE(back_end::mapped, back_end::plain);
    auto const preallocate = GENERATE(true, false);
    auto const content = mixed_sample(format);
    temporary_folder folder;
    auto settings = settings_in(folder.path(), kind);
    settings.preallocate = preallocate;
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().none());

    std::vector<std::uint32_t> order(content.count());
    for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::mt19937 random(7);
    std::shuffle(order.begin(), order.end(), random);
    for (auto const piece : order) {
        CHECK_FALSE(disk->is_held(piece_index{piece}));
        auto const writer = disk->begin(piece_index{piece});
        auto blocks = blocks_of(content, piece_index{piece});
        std::shuffle(blocks.begin(), blocks.end(), random);
        for (auto const& block : blocks) REQUIRE(writer->write({&block, 1}));
        CHECK(writer->finish().value());
        CHECK(disk->is_held(piece_index{piece}));
    }
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
    for (std::uint32_t file = 0; file < content.torrent->content().files().size(); ++file)
        CHECK(disk->is_complete(file));
    REQUIRE(disk->close());
    // Nothing else was made, pad files least of all.
    std::size_t made = 0;
    for (auto const& entry : fs::recursive_directory_iterator(settings.directory)) made += entry.is_regular_file();
    CHECK(made == content.files.size());
}

TEST_CASE("blocks received in their windows need no write", "[store]") {
    auto const format = GENERATE(metainfo::format::v1, metainfo::format::hybrid);
    auto const content = mixed_sample(format);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const disk = open_store(content, settings);
    std::size_t in_place = 0;
    for (std::uint32_t number = 0; number < content.count(); ++number) {
        auto const piece = piece_index{number};
        CHECK(disk->prepare(piece).error() == store::errc::no_writer);
        auto const writer = disk->begin(piece);
        CHECK_FALSE(disk->window(content.torrent->pieces().block_at(piece, 0)));
        REQUIRE(disk->prepare(piece));
        REQUIRE(disk->prepare(piece));
        auto blocks = blocks_of(content, piece);
        for (auto& block : blocks) {
            auto const which = content.torrent->pieces().block_at(piece, block.begin / block_length);
            auto const window = disk->window(which);
            if (!window) continue;
            CHECK_FALSE(disk->window(which));  // lent once
            REQUIRE(window->size() == block.bytes.size());
            std::memcpy(window->data(), block.bytes.data(), block.bytes.size());
            block = {block.begin, *window, true};
            ++in_place;
        }
        REQUIRE(writer->write(blocks));
        CHECK_FALSE(disk->window(content.torrent->pieces().block_at(piece, 0)));
        CHECK(writer->finish().value());
    }
    CHECK(in_place > content.linear.size() / block_length / 2);
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("a lent window is reclaimed before its block comes another way", "[store]") {
    auto const content = make_sample({{"file", 65536}}, metainfo::format::v1, 65536, true);
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path()));
    auto const writer = disk->begin(piece_index{0});
    REQUIRE(disk->prepare(piece_index{0}));
    auto const block = content.torrent->pieces().block_at(piece_index{0}, 1);
    REQUIRE(disk->window(block));
    auto const blocks = blocks_of(content, piece_index{0});
    CHECK(writer->write(blocks).error() == store::errc::window_lent);
    disk->reclaim(block);
    CHECK(disk->is_journal_behind());  // somebody may have received into it
    REQUIRE(disk->window(block));
    disk->reclaim(block);
    REQUIRE(writer->write(blocks));
    CHECK(writer->finish().value());
}

TEST_CASE("a file truncated while it is received into gives an error and is mended", "[store]") {
    auto const content = make_sample({{"file", 200'000}}, metainfo::format::hybrid, 65536, true);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const disk = open_store(content, settings);
    auto const piece = piece_index{1};
    auto const block = content.torrent->pieces().block_at(piece, 0);
    {
        auto const writer = disk->begin(piece);
        REQUIRE(disk->prepare(piece));
        auto const window = disk->window(block);
        REQUIRE(window);
        fs::resize_file(settings.directory / "file.part", 0);
        CHECK_FALSE(store::guarded_copy(window->data(), content.block(block).data(), window->size()));
        store::block_data const arrived{0, *window, true};
        CHECK(writer->write({&arrived, 1}).error() == store::errc::dead_page);
    }
    auto const writer = disk->begin(piece);
    REQUIRE(disk->prepare(piece));
    CHECK(disk->window(block));
    disk->reclaim(block);
    REQUIRE(writer->write(blocks_of(content, piece)));
    CHECK(writer->finish().value());
    for (auto const number : {0U, 2U, 3U}) REQUIRE(receive(*disk, content, number).value());
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("after a page was dead the piece is hashed anew from its first byte", "[store]") {
    auto const content =
        make_sample({{"file", 200'000}}, GENERATE(metainfo::format::v1, metainfo::format::hybrid), 65536, true);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const disk = open_store(content, settings);
    auto const piece = piece_index{0};
    auto const blocks = blocks_of(content, piece);
    auto const writer = disk->begin(piece);
    REQUIRE(disk->prepare(piece));
    REQUIRE(writer->write(std::span{blocks}.first(1)));  // and hashed
    auto const window = disk->window(content.torrent->pieces().block_at(piece, 1));
    REQUIRE(window);
    fs::resize_file(settings.directory / "file.part", block_length);
    store::block_data const arrived{block_length, *window, true};
    REQUIRE(writer->write({&arrived, 1}).error() == store::errc::dead_page);
    write_file(settings.directory / "file.part", content.files.at("file"));  // its owner puts it back
    REQUIRE(writer->write(std::span{blocks}.subspan(2)));
    CHECK(writer->finish().value());
}

TEST_CASE("only blocks of the piece are written, and the first copy counts", "[store]") {
    auto const content = make_sample({{"x", 100'000}});
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path()));
    auto const last = piece_index{content.count() - 1};
    auto const writer = disk->begin(last);
    auto const blocks = blocks_of(content, last);
    auto const bad = [&](std::uint32_t begin, std::size_t size) {
        byte_vector const bytes(size);
        store::block_data const block{begin, bytes, false};
        return writer->write({&block, 1}).error() == store::errc::bad_block;
    };
    auto const size = static_cast<std::uint32_t>(content.piece(to_number(last)).size());
    auto const tail = size % block_length;
    REQUIRE(tail != 0);
    CHECK(bad(0, block_length - 1));
    CHECK(bad(0, block_length + 1));
    CHECK(bad(1, block_length));
    CHECK(bad(size - tail, tail - 1));
    CHECK(bad(size - tail, tail + 1));
    CHECK(bad(size - tail + block_length, 1));
    CHECK(bad(0xffffc000U, block_length));
    CHECK(writer->finish().error() == store::errc::piece_incomplete);

    REQUIRE(writer->write({blocks.data(), 1}));
    byte_vector const other(block_length, std::byte{9});
    store::block_data const late{0, other, false};
    REQUIRE(writer->write({&late, 1}));  // ignored
    REQUIRE(writer->write(std::span{blocks}.subspan(1)));
    CHECK(writer->finish().value());
    CHECK(writer->write(blocks).error() == store::errc::already_held);
    byte_vector kept(block_length);
    REQUIRE(disk->read({last, 0, block_length}, kept));
    CHECK(kept == byte_vector(blocks[0].bytes.begin(), blocks[0].bytes.end()));
}

TEST_CASE("a piece is incomplete while any block is missing, however often the others came", "[store]") {
    auto const content = make_sample({{"x", 100'000}});
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path()));
    auto const writer = disk->begin(piece_index{0});
    auto const blocks = blocks_of(content, piece_index{0});
    REQUIRE(blocks.size() > 2);
    auto const but_one = std::span{blocks}.first(blocks.size() - 1);
    REQUIRE(writer->write(but_one));
    CHECK(writer->finish().error() == store::errc::piece_incomplete);
    REQUIRE(writer->write(but_one));
    CHECK(writer->finish().error() == store::errc::piece_incomplete);
    REQUIRE(writer->write(std::span{blocks}.last(1)));
    CHECK(writer->finish().value());
}

TEST_CASE("nothing counts as received in place where no place was given", "[store]") {
    auto const content = make_sample({{"x", 100'000}});
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path()));
    auto const writer = disk->begin(piece_index{0});
    auto block = blocks_of(content, piece_index{0}).front();
    block.in_place = true;
    CHECK(writer->write({&block, 1}).error() == store::errc::bad_block);
}

TEST_CASE("a piece with a wrong byte is not held, and can be received again", "[store]") {
    auto const kind = GENERATE(back_end::mapped, back_end::plain);
    auto const content = mixed_sample(metainfo::format::hybrid);
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path(), kind));
    auto const writer = disk->begin(piece_index{1});
    auto blocks = blocks_of(content, piece_index{1});
    byte_vector spoilt(blocks[1].bytes.begin(), blocks[1].bytes.end());
    spoilt[77] ^= std::byte{1};
    auto const right = std::exchange(blocks[1].bytes, byte_view{spoilt});
    REQUIRE(writer->write(blocks));
    CHECK_FALSE(writer->finish().value());
    CHECK_FALSE(disk->is_held(piece_index{1}));
    CHECK(writer->finish().error() == store::errc::piece_incomplete);
    blocks[1].bytes = right;
    REQUIRE(writer->write(blocks));
    CHECK(writer->finish().value());
}

TEST_CASE("a file that is not wanted takes up no more than the piece that reaches into it", "[store]") {
    auto const content = make_sample({{"a", 10'000}, {"b", 1'000'000}});
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.wanted_files = {true, false};
    auto const disk = open_store(content, settings);
    REQUIRE(receive(*disk, content, 0).value());
    CHECK(fs::file_size(content.root(settings.directory) / "b.part") == 65'536 - 10'000);
}

TEST_CASE("a file carries .part until all its pieces are held, and modes leave out the umask", "[store]") {
    auto const content = mixed_sample();
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const disk = open_store(content, settings);
    auto const root = content.root(settings.directory);
    CHECK_FALSE(fs::exists(settings.directory));  // nothing before the first write

    REQUIRE(receive(*disk, content, 0).value());
    REQUIRE(disk->complete_files());
    CHECK(fs::exists(root / "a.part"));
    CHECK_FALSE(fs::exists(root / "a"));
    CHECK(fs::exists(root / "b/empty"));
    CHECK_FALSE(disk->is_complete(content.number_of("a")));
    REQUIRE(receive(*disk, content, 1).value());
    REQUIRE(disk->complete_files());
    CHECK(fs::exists(root / "a"));
    CHECK(disk->is_complete(content.number_of("a")));
    CHECK(disk->is_complete(content.number_of("b/small")));
    CHECK_FALSE(disk->is_complete(content.number_of("b/z")));

    auto const mask = umask(0);
    umask(mask);
    auto const mode = [&](fs::path const& path) { return static_cast<unsigned>(fs::status(path).permissions()); };
    CHECK(mode(root / "a") == (0644U & ~mask));
    CHECK(mode(root / "b/z.part") == (0644U & ~mask));
    CHECK(mode(root / "b") == (0755U & ~mask));
}

TEST_CASE("random layouts of files, blocks and orders come out exact", "[store]") {
    for (std::uint32_t seed = 0; seed < 30; ++seed) {
        std::mt19937 random(seed);
        std::vector<std::pair<std::string, std::size_t>> sizes;
        for (auto i = 1 + random() % 12; i > 0; --i)
            sizes.emplace_back("d" + std::to_string(random() % 3) + "/f" + std::to_string(i),
                               random() % 4 == 0 ? random() % 3 : random() % 100'000);
        sizes.emplace_back("last", 1 + random() % 70'000);
        auto const format = static_cast<metainfo::format>(random() % 3);
        auto const content = make_sample(sizes, format, 16384U << random() % 3);
        temporary_folder folder;
        auto const settings = settings_in(folder.path(), random() % 2 ? back_end::mapped : back_end::plain);
        auto const disk = open_store(content, settings);
        std::vector<std::uint32_t> order(content.count());
        for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
        std::shuffle(order.begin(), order.end(), random);
        INFO("seed " << seed);
        for (auto const number : order) {
            auto const piece = piece_index{number};
            auto const writer = disk->begin(piece);
            if (random() % 2) REQUIRE(disk->prepare(piece));
            auto blocks = blocks_of(content, piece);
            std::shuffle(blocks.begin(), blocks.end(), random);
            for (std::size_t at = 0; at < blocks.size();) {
                auto const count = std::min<std::size_t>(1 + random() % 4, blocks.size() - at);
                for (auto i = at; i < at + count; ++i) {
                    auto const which = content.torrent->pieces().block_at(piece, blocks[i].begin / block_length);
                    if (auto const window = disk->window(which)) {
                        std::memcpy(window->data(), blocks[i].bytes.data(), window->size());
                        blocks[i] = {blocks[i].begin, *window, true};
                    }
                }
                REQUIRE(writer->write({blocks.data() + at, count}));
                at += count;
            }
            REQUIRE(writer->finish().value());
            // Any range of what is held can be read, pad bytes as zeros.
            auto const size = static_cast<std::uint32_t>(content.piece(number).size());
            auto const begin = static_cast<std::uint32_t>(random() % size);
            block_ref const range{piece, begin, 1 + static_cast<std::uint32_t>(random() % (size - begin))};
            byte_vector read(range.length);
            REQUIRE(disk->read(range, read));
            CHECK(equal(read, content.block(range)));
        }
        REQUIRE(disk->complete_files());
        CHECK(content.is_in(settings.directory));
    }
}
