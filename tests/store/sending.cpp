#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>

#include "fixture.hpp"
using namespace fixture;
using store::back_end;

namespace {
store::store_settings seeding(fs::path const& folder, back_end kind = back_end::mapped) {
    auto settings = settings_in(folder, kind);
    settings.writable = false;
    return settings;
}
void check_all(store::chunk_store& disk, sample const& content) {
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        REQUIRE(disk.check_piece(piece_index{piece}).value());
}
}  // namespace

TEST_CASE("a seeder proves its pieces and serves every block", "[store]") {
    auto const format = GENERATE(metainfo::format::v1, metainfo::format::v2, metainfo::format::hybrid);
    auto const kind = GENERATE(back_end::mapped, back_end::plain);
    auto const content = mixed_sample(format);
    temporary_folder folder;
    auto const settings = seeding(folder.path(), kind);
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    check_all(*disk, content);
    CHECK(disk->held().all());
    CHECK(disk->is_complete(content.number_of("a")));
    std::size_t viewed = 0;
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        for (std::uint32_t n = 0; n < content.torrent->pieces().block_count(piece_index{piece}); ++n) {
            auto const block = content.torrent->pieces().block_at(piece_index{piece}, n);
            byte_vector read(block.length);
            REQUIRE(disk->read(block, read));
            CHECK(equal(read, content.block(block)));
            auto const view = disk->view(block);
            if (!view) continue;
            CHECK(equal(view->bytes, content.block(block)));
            ++viewed;
        }
    CHECK((viewed > 0) == (kind == back_end::mapped));
    CHECK(disk->complete_files());  // nothing to do
    CHECK(disk->begin(piece_index{0})->write({}).error() == store::errc::read_only);
}

TEST_CASE("a piece that is not held is not shown", "[store]") {
    auto const content = mixed_sample();
    temporary_folder folder;
    auto const settings = seeding(folder.path());
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    block_ref const block{piece_index{0}, 0, block_length};
    byte_vector bytes(block_length);
    REQUIRE(disk->read(block, bytes));
    CHECK_FALSE(disk->view(block));
    check_all(*disk, content);
    REQUIRE(disk->read(block, bytes));
    CHECK(disk->view(block));
    disk->lost(piece_index{0});
    CHECK_FALSE(disk->view(block));
}

TEST_CASE("a check finds exactly the pieces that are wrong, missing or cut", "[store]") {
    auto const content = mixed_sample();
    temporary_folder folder;
    auto const settings = seeding(folder.path());
    content.place(settings.directory);
    auto const root = content.root(settings.directory);
    auto spoilt = content.files.at("b/z");
    spoilt.back() ^= std::byte{1};
    write_file(root / "b/z", spoilt);
    fs::resize_file(root / "a", 65'536);
    auto const disk = open_store(content, settings);
    auto const& all = content.torrent->content();
    auto const in = [](metainfo::piece_span span, std::uint32_t piece) {
        return piece >= span.first && piece < span.first + span.count;
    };
    auto const z = all.pieces_of(content.number_of("b/z"));
    for (std::uint32_t piece = 0; piece < content.count(); ++piece) {
        auto const right = !(piece == 1) && !(piece == z.first + z.count - 1);
        INFO(piece);
        CHECK(disk->check_piece(piece_index{piece}).value() == right);
        CHECK(disk->is_held(piece_index{piece}) == right);
        if (in(all.pieces_of(content.number_of("a")), piece)) CHECK(disk->may_have(piece_index{piece}) == (piece == 0));
    }
    fs::remove_all(root);
    auto const empty = open_store(content, settings_in(folder.path() / "other"));
    CHECK_FALSE(empty->may_have(piece_index{0}));
    CHECK_FALSE(empty->check_piece(piece_index{0}).value());
}

TEST_CASE("many threads check pieces at once", "[store]") {
    auto const content = make_sample({{"file", 3'000'000}}, metainfo::format::hybrid, 16384, true);
    temporary_folder folder;
    auto const settings = seeding(folder.path());
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    std::atomic<std::uint32_t> next{0};
    std::atomic<std::uint32_t> right{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                for (auto piece = next++; piece < content.count(); piece = next++)
                    if (auto const checked = disk->check_piece(piece_index{piece}); checked && checked.value()) ++right;
            });
    }
    CHECK(right == content.count());
    CHECK(disk->held().all());
}

TEST_CASE("a file truncated under a seeder gives errors and no signal", "[store]") {
    auto const kind = GENERATE(back_end::mapped, back_end::plain);
    auto const content = make_sample({{"file", 4'000'000}}, metainfo::format::v1, 65536, true);
    temporary_folder folder;
    auto const settings = seeding(folder.path(), kind);
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    check_all(*disk, content);
    auto const block = content.torrent->pieces().block_at(piece_index{20}, 1);
    byte_vector bytes(block.length);
    REQUIRE(disk->read(block, bytes));
    auto const view = disk->view(block);
    REQUIRE(view.has_value() == (kind == back_end::mapped));

    fs::resize_file(settings.directory / "file", 8192);
    CHECK(disk->read(block, bytes).error() == store::errc::truncated_file);
    CHECK(disk->last_failed_path() == (settings.directory / "file").string());
    CHECK_FALSE(disk->check_piece(piece_index{20}).value());
    if (view) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        CHECK(send(ends[0], view->bytes.data(), view->bytes.size(), MSG_NOSIGNAL) == -1);
        CHECK(errno == EFAULT);
        close(ends[0]);
        close(ends[1]);
        CHECK_FALSE(store::guarded_copy(bytes.data(), view->bytes.data(), view->bytes.size()));
    }
    // The rest is served on.
    block_ref const start{piece_index{0}, 0, 4096};
    CHECK(disk->read(start, mutable_byte_view{bytes}.first(4096)));

    // It is given up as soon as somebody looks, and comes back when the file does.
    REQUIRE(disk->sync());
    CHECK(disk->take_lost().size() == content.count());
    CHECK(disk->held().none());
    content.place(settings.directory);
    check_all(*disk, content);
    REQUIRE(disk->read(block, bytes));
    CHECK(equal(bytes, content.block(block)));
}

TEST_CASE("the guard catches dead pages in any thread and leaves other copies alone", "[store]") {
    auto const content = make_sample({{"file", 1'000'000}}, metainfo::format::v1, 65536, true);
    temporary_folder folder;
    auto const settings = seeding(folder.path());
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    check_all(*disk, content);
    auto const block = content.torrent->pieces().block_at(piece_index{10}, 0);
    byte_vector bytes(block.length);
    REQUIRE(disk->read(block, bytes));
    auto const view = disk->view(block);
    REQUIRE(view);
    CHECK(store::guarded_copy(bytes.data(), view->bytes.data(), view->bytes.size()));
    CHECK(equal(bytes, content.block(block)));
    fs::resize_file(settings.directory / "file", 0);
    std::atomic<int> caught{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                byte_vector own(block.length);
                for (int n = 0; n < 100; ++n)
                    if (!store::guarded_copy(own.data(), view->bytes.data(), own.size())) ++caught;
            });
    }
    CHECK(caught == 400);
    byte_vector other(block.length);
    CHECK(store::guarded_copy(other.data(), bytes.data(), other.size()));
}

TEST_CASE("buffers are lent within their budget and used again", "[store]") {
    store::block_pool pool(3 * block_length + 1);
    auto a = pool.take();
    auto b = pool.take();
    auto c = pool.take();
    REQUIRE(a);
    REQUIRE(c);
    CHECK(a.bytes().size() == block_length);
    CHECK(reinterpret_cast<std::uintptr_t>(a.bytes().data()) % 4096 == 0);
    CHECK_FALSE(pool.take());
    CHECK(pool.take().bytes().empty());
    CHECK(pool.lent_bytes() == 3 * block_length);
    auto const* const memory = b.bytes().data();
    pool.give(std::move(b));
    pool.give({});
    CHECK(pool.lent_bytes() == 2 * block_length);
    CHECK(pool.take().bytes().data() == memory);
}

TEST_CASE("the guarded copy moves ranges that overlap, both ways", "[store]") {
    store::install_bus_guard();
    byte_vector bytes(100);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    auto const original = bytes;
    REQUIRE(store::guarded_copy(bytes.data(), bytes.data() + 7, 90));
    CHECK(equal(byte_view{bytes}.first(90), byte_view{original}.subspan(7, 90)));
    bytes = original;
    REQUIRE(store::guarded_copy(bytes.data() + 7, bytes.data(), 90));
    CHECK(equal(byte_view{bytes}.subspan(7, 90), byte_view{original}.first(90)));
}

TEST_CASE("what is only read comes from the whole file, though a stranger's incomplete one lies beside it", "[store]") {
    auto const kind = GENERATE(store::back_end::mapped, store::back_end::plain);
    auto const content = make_sample({{"a", 60'000}});
    temporary_folder folder;
    auto const settings = seeding(folder.path(), kind);
    content.place(settings.directory);
    write_file(content.root(settings.directory) / "a.part", byte_vector(60'000, std::byte{1}));
    auto const disk = open_store(content, settings);
    REQUIRE(disk->check_piece(piece_index{0}).value());
    byte_vector got(block_length);
    REQUIRE(disk->read({piece_index{0}, 0, block_length}, got));
    CHECK(std::ranges::equal(got, content.block({piece_index{0}, 0, block_length})));
}
