#include <catch2/catch.hpp>

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

// What the store makes of odd moments, on a simulated disk.
namespace {
/// Fails a sync as where pages stay dirty, and lets something happen before the next read.
struct odd_files : store::simulated_files {
    using simulated_files::simulated_files;
    result<void> sync(std::span<store::file_number const> files) override {
        if (before_sync) std::exchange(before_sync, nullptr)();
        if (std::exchange(sync_fails, false)) return store::errc::sync_failed;
        return simulated_files::sync(files);
    }
    result<void> read(store::file_number file, std::uint64_t offset, mutable_byte_view into) override {
        if (before_read) std::exchange(before_read, nullptr)();
        return simulated_files::read(file, offset, into);
    }
    result<std::optional<store::file_status>> status(store::file_number file) override {
        if (has_no_descriptor) return store::errc::too_many_files;
        return simulated_files::status(file);
    }
    std::optional<store::mapped_bytes> resident(store::file_number, std::uint64_t, std::size_t size) override {
        if (!has_all_in_memory) return std::nullopt;
        memory.resize(size);
        return store::mapped_bytes{memory, nullptr};
    }
    bool sync_fails = false;
    bool has_no_descriptor = false;
    bool has_all_in_memory = false;
    byte_vector memory;
    std::function<void()> before_read, before_sync;
};

/// A torrent and its store.
struct held_up {
    std::shared_ptr<store::simulated_disk> disk = std::make_shared<store::simulated_disk>(1);
    std::shared_ptr<odd_files> files = std::make_shared<odd_files>(disk);
    sample content;
    std::unique_ptr<store::chunk_store> into;

    explicit held_up(sample what = make_sample({{"a", 60'000}}, metainfo::format::v1, 16384))
        : content(std::move(what)), into(open()) {}
    std::unique_ptr<store::chunk_store> open() {
        store::store_settings settings;
        settings.preallocate = false;
        return store::chunk_store::open(content.torrent, settings, files).value();
    }
    /// Whether the store shows the first block of the piece, where all is in memory.
    bool view(std::uint32_t piece) {
        files->has_all_in_memory = true;
        bool const is_seen = into->view({piece_index{piece}, 0, 16384}).has_value();
        files->has_all_in_memory = false;
        return is_seen;
    }
    /// Closed, and opened again with what the journal says.
    bitfield again() {
        CHECK(into->close());
        into.reset();
        files = std::make_shared<odd_files>(disk);
        into = open();
        return into->load().value();
    }
};
}  // namespace

TEST_CASE("a piece whose doubt could not be settled for a failing disk is finished later", "[store]") {
    held_up with;
    REQUIRE(with.into->load());
    auto writer = with.into->begin(piece_index{0});
    REQUIRE(writer->write(blocks_of(with.content, piece_index{0})));
    with.files->sync_fails = true;
    CHECK_FALSE(with.into->sync());
    with.disk->fail(1, EIO);
    CHECK(writer->finish().error() == std::errc::io_error);
    CHECK_FALSE(with.into->is_held(piece_index{0}));
    CHECK(writer->finish().value());  // still in doubt, read again, and right
    CHECK(with.into->is_held(piece_index{0}));
    REQUIRE(with.into->sync());
    writer.reset();
    with.disk->crash();
    with.into.reset();
    with.files = std::make_shared<odd_files>(with.disk);
    with.into = with.open();
    CHECK(with.into->load().value().test(piece_index{0}));
}

TEST_CASE("a sync that fails while a piece is read again leaves it in doubt", "[store]") {
    held_up with;
    REQUIRE(with.into->load());
    auto const writer = with.into->begin(piece_index{0});
    REQUIRE(writer->write(blocks_of(with.content, piece_index{0})));
    with.files->sync_fails = true;
    CHECK_FALSE(with.into->sync());
    with.files->before_read = [&] {
        with.files->sync_fails = true;
        CHECK(with.into->sync().error() == store::errc::sync_failed);
    };
    CHECK(writer->finish().value());
    CHECK(with.into->is_held(piece_index{0}));
    CHECK(with.into->is_doubtful(piece_index{0}));
    byte_vector place(16384);
    bool is_read = false;
    with.files->before_read = [&] { is_read = true; };
    CHECK(with.into->read({piece_index{0}, 0, 16384}, place).error() == store::errc::doubtful_piece);
    CHECK_FALSE(is_read);
    CHECK_FALSE(with.view(0));
    REQUIRE(with.into->sync());
    CHECK_FALSE(with.into->is_doubtful(piece_index{0}));
    CHECK(with.view(0));
    CHECK(with.into->take_lost().empty());
}

TEST_CASE("what lies in memory is seen a block at a time, and of one file only", "[store]") {
    held_up with{make_sample({{"a", 60'000}, {"b", 60'000}}, metainfo::format::v1, 16384)};
    REQUIRE(with.into->load());
    CHECK_FALSE(with.view(3));
    receive_all(*with.into, with.content);
    CHECK(with.view(2));
    CHECK_FALSE(with.view(3));  // it begins in one file and ends in the other
    CHECK(with.view(4));
}

TEST_CASE("nothing is durable while a sync is under way, nor after one that failed", "[store]") {
    held_up with;
    REQUIRE(with.into->load());
    for (std::uint32_t piece = 0; piece < with.content.torrent->pieces().piece_count(); ++piece)
        REQUIRE(receive(*with.into, with.content, piece).value());
    REQUIRE(with.into->complete_files());
    with.files->sync_fails = true;
    CHECK_FALSE(with.into->sync());
    CHECK_FALSE(with.into->is_durable());
    bool was_durable = true;
    with.files->before_sync = [&] { was_durable = with.into->is_durable(); };
    REQUIRE(with.into->sync());
    CHECK_FALSE(was_durable);
    CHECK(with.into->is_durable());
}

TEST_CASE("a file that somebody changed since the start loses its pieces when it is written to", "[store]") {
    held_up with;
    REQUIRE(with.into->load());
    for (std::uint32_t piece = 0; piece < 2; ++piece) REQUIRE(receive(*with.into, with.content, piece).value());
    REQUIRE(with.again().count() == 2);
    with.disk->put("0.part", random_bytes(40'000, 9));
    REQUIRE(receive(*with.into, with.content, 2).value());
    CHECK_FALSE(with.into->is_held(piece_index{0}));
    CHECK(with.into->take_lost().size() == 2);
    CHECK(with.again().count() == 1);  // nor does the journal claim them
}

TEST_CASE("a back end that does not map lends no windows, and takes buffers", "[store]") {
    held_up with;
    auto const writer = with.into->begin(piece_index{0});
    REQUIRE(with.into->prepare(piece_index{0}));
    CHECK_FALSE(with.into->window({piece_index{0}, 0, 16384}));
    CHECK_FALSE(with.into->window({piece_index{0}, 16384, 16384}));  // no block of the piece
    CHECK_FALSE(with.into->window({piece_index{0}, 0, 100}));
    CHECK(with.into->last_failed_path().empty());
    REQUIRE(writer->write(blocks_of(with.content, piece_index{0})));
    CHECK(writer->finish().value());
}

TEST_CASE("on a simulated disk too a damaged journal is set aside", "[store]") {
    held_up with;
    REQUIRE(with.into->load());
    REQUIRE(receive(*with.into, with.content, 0).value());
    REQUIRE(with.into->close());
    auto const damaged = random_bytes(100, 3);
    with.disk->put("journal", damaged);
    with.into.reset();
    with.files = std::make_shared<odd_files>(with.disk);
    with.into = with.open();
    CHECK(with.into->load().value().none());
    CHECK(with.disk->content("journal.bad") == damaged);
    CHECK_FALSE(with.disk->content("journal"));
}

TEST_CASE("on a simulated disk too an incomplete file that is longer than the torrent says is cut", "[store]") {
    held_up with;
    auto longer = with.content.linear;
    longer.resize(70'000);
    with.disk->put("0.part", longer);
    for (std::uint32_t piece = 0; piece < with.content.count(); ++piece)
        REQUIRE(with.into->check_piece(piece_index{piece}).value());
    REQUIRE(with.into->complete_files());
    CHECK(with.disk->content("0") == with.content.linear);
    REQUIRE(with.into->sync());
    with.disk->crash();
    CHECK(with.disk->content("0") == with.content.linear);
}

TEST_CASE("doubts are settled without a sync when somebody asks, and what the disk lost is told", "[store]") {
    held_up with;
    REQUIRE(with.into->load());
    for (std::uint32_t piece = 0; piece < 2; ++piece) REQUIRE(receive(*with.into, with.content, piece).value());
    with.files->sync_fails = true;
    CHECK_FALSE(with.into->sync());
    CHECK(with.into->has_doubts());
    with.disk->fail(1, EIO);
    CHECK_FALSE(with.into->settle_doubts());
    CHECK(with.into->has_doubts());  // as before
    auto spoilt = *with.disk->content("0.part");
    spoilt[0] ^= std::byte{1};
    with.disk->put("0.part", spoilt);
    REQUIRE(with.into->settle_doubts());
    CHECK_FALSE(with.into->has_doubts());
    CHECK(with.into->take_lost() == std::vector{piece_index{0}});
    CHECK(with.into->is_held(piece_index{1}));
    REQUIRE(with.into->close());
    CHECK(with.into->settle_doubts().error() == store::errc::closed);
}

TEST_CASE("a file that cannot be looked at for a while is no file that somebody changed", "[store]") {
    held_up with;
    REQUIRE(with.into->load());
    receive_all(*with.into, with.content);
    REQUIRE(with.into->complete_files());
    SECTION("when it is looked at again") {
        REQUIRE(with.into->sync());
        with.files->has_no_descriptor = true;
        REQUIRE(with.into->check_files());
    }
    SECTION("when it was synced") {
        with.files->has_no_descriptor = true;
        REQUIRE(with.into->sync());
    }
    CHECK(with.into->held().all());
    CHECK(with.into->take_lost().empty());
    with.files->has_no_descriptor = false;
    REQUIRE(with.into->sync());
    REQUIRE(with.into->check_files());
    CHECK(with.into->held().all());
    CHECK(with.again().all());
}
