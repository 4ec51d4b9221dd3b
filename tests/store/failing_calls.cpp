#include <catch2/catch.hpp>

#include <cerrno>
#include <functional>
#include <span>
#include <utility>

#include "simulated_run.hpp"
using namespace fixture;

TEST_CASE("what was read before a sync failed is read again before it counts", "[store]") {
    /// Lets something happen while a piece is read.
    struct busy_files : store::simulated_files {
        using simulated_files::simulated_files;
        result<void> read(store::file_number file, std::uint64_t offset, mutable_byte_view into) override {
            auto done = simulated_files::read(file, offset, into);
            if (meanwhile) std::exchange(meanwhile, nullptr)();
            return done;
        }
        std::function<void()> meanwhile;
    };
    auto const content = make_sample({{"a", 65536}}, metainfo::format::v1, 16384);
    auto const is_read_meanwhile = GENERATE(false, true);
    auto const disk = std::make_shared<store::simulated_disk>(1);
    {
        auto const into = open_on(disk, content);
        for (auto const piece : {0U, 1U}) REQUIRE(receive(*into, content, piece).value());
        // The process ends, and the system has not written anything yet.
    }
    auto const files = std::make_shared<busy_files>(disk);
    store::store_settings settings;
    settings.preallocate = false;
    auto const again = store::chunk_store::open(content.torrent, settings, files).value();
    REQUIRE(again->load());
    REQUIRE(again->check_piece(piece_index{0}).value());
    auto const fail_to_sync = [&] {
        disk->fail(1, EIO);
        CHECK(again->sync().error() == store::errc::sync_failed);
    };
    if (is_read_meanwhile)
        files->meanwhile = fail_to_sync;
    else
        fail_to_sync();
    CHECK_FALSE(again->check_piece(piece_index{1}).value());
}

TEST_CASE("one failing call costs at most the call, whichever it is and whatever it says", "[store]") {
    auto const content = small_sample();
    auto const measured = std::make_shared<store::simulated_disk>(0);
    REQUIRE(run(*open_on(measured, content), content));
    for (auto const error : {EIO, ENOSPC, EMFILE})
        for (std::uint64_t call = 1; call <= measured->calls(); ++call) {
            INFO("errno " << error << " call " << call);
            auto const disk = std::make_shared<store::simulated_disk>(1);
            disk->fail(call, error);
            // The same store goes on where it can; a new one does in the end.
            if (auto const into = open_on(disk, content))
                for (int attempt = 0; attempt < 3 && !run(*into, content);) ++attempt;
            REQUIRE(run(*open_on(disk, content), content));
            REQUIRE(is_on(*disk, content));
            // Nothing that is believed is missing on the disk itself.
            disk->crash();
            auto const after = open_on(disk, content);
            auto const claimed = after->load().value();
            CHECK(claimed.all());
            for (std::uint32_t piece = 0; piece < content.count(); ++piece)
                REQUIRE(after->check_piece(piece_index{piece}).value());
        }
}

TEST_CASE("a store that is closed before it knew its journal, or could not read it, leaves it as it is", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    REQUIRE(run(*open_on(disk, content), content));
    auto const journal = disk->content("journal");
    auto const how = GENERATE(store::closing::quick, store::closing::durable);
    REQUIRE(open_on(disk, content)->close(how));
    CHECK(disk->content("journal") == journal);
    for (std::uint64_t call = 1; call <= 3; ++call) {  // the journal, and each file that it claims
        INFO("call " << call);
        auto const into = open_on(disk, content);
        disk->fail(call, EIO);
        CHECK_FALSE(into->load());
        REQUIRE(into->close(how));
        CHECK(disk->content("journal") == journal);
    }
    auto const into = open_on(disk, content);
    disk->fail(2, EIO);
    CHECK_FALSE(into->load());
    CHECK(into->load().value().all());
}

TEST_CASE("when a sync fails the pieces are read again from the disk, and lost ones are given up", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    auto const into = open_on(disk, content);
    REQUIRE(into->load());
    REQUIRE(receive(*into, content, 0).value());
    REQUIRE(into->sync());
    REQUIRE(receive(*into, content, 1).value());
    disk->fail(1, EIO);
    CHECK(into->sync().error() == store::errc::sync_failed);
    CHECK(into->take_lost().empty());
    REQUIRE(into->sync());
    CHECK(into->take_lost() == std::vector{piece_index{1}});
    CHECK(into->is_held(piece_index{0}));
    CHECK_FALSE(into->is_held(piece_index{1}));
    REQUIRE(receive(*into, content, 1).value());
    REQUIRE(into->sync());
    disk->crash();
    auto const after = open_on(disk, content);
    CHECK(after->load().value().count() == 2);
    CHECK(after->check_piece(piece_index{1}).value());
}

TEST_CASE("what an earlier run could not sync is read from the disk, whatever the cache still shows", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    {
        auto const into = open_on(disk, content);
        REQUIRE(into->load());
        REQUIRE(receive(*into, content, 0).value());
        disk->fail(1, EIO);
        CHECK(into->sync().error() == store::errc::sync_failed);
    }
    auto const again = open_on(disk, content);
    REQUIRE(again->load().value().none());
    CHECK_FALSE(again->check_piece(piece_index{0}).value());
    REQUIRE(again->sync());
    disk->crash();
    CHECK(open_on(disk, content)->load().value().none());
}

TEST_CASE("a load that failed knows no more than the next one", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    REQUIRE(run(*open_on(disk, content), content));
    auto changed = content.files.at("a");
    disk->put("0", {changed.begin(), changed.end() - 1});
    auto const into = open_on(disk, content);
    disk->fail(4, EIO);  // reading the journal, a look at each file, and then it is written
    REQUIRE_FALSE(into->load());
    disk->put("2", content.files.at("c"));  // newer than the journal knows
    auto const known = into->load();
    REQUIRE(known);
    CHECK(known.value().none());
    CHECK(into->held().none());
}

TEST_CASE("nothing counts that was read while its cache could not be dropped", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    {
        auto const into = open_on(disk, content);
        REQUIRE(into->load());
        REQUIRE(receive(*into, content, 0).value());
        disk->fail(1, EIO);
        CHECK(into->sync().error() == store::errc::sync_failed);
    }
    auto const again = open_on(disk, content);
    REQUIRE(again->load().value().none());
    // The second call of a check: the first looks at the file.
    disk->fail(2, EMFILE);
    CHECK_FALSE(again->check_piece(piece_index{0}));
    CHECK_FALSE(again->is_held(piece_index{0}));
    CHECK_FALSE(again->check_piece(piece_index{0}).value());
}

TEST_CASE("when a sync fails nobody is given what may be lost, until it was read again", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    auto const into = open_on(disk, content);
    REQUIRE(into->load());
    REQUIRE(receive(*into, content, 0).value());
    REQUIRE(into->sync());
    REQUIRE(receive(*into, content, 1).value());
    auto const first = content.torrent->pieces().block_at(piece_index{0}, 0);
    auto const second = content.torrent->pieces().block_at(piece_index{1}, 0);
    byte_vector place(second.length);
    REQUIRE(into->read(second, place));
    disk->fail(1, EIO);
    CHECK_FALSE(into->sync());
    CHECK(into->is_held(piece_index{1}));
    CHECK(into->is_doubtful(piece_index{1}));
    CHECK_FALSE(into->view(second));
    CHECK(into->read(second, place).error() == store::errc::doubtful_piece);
    CHECK(is(into->read(second, place).error(), condition::transient));
    CHECK(into->read(first, mutable_byte_view{place}.first(first.length)));
    REQUIRE(into->sync());
    CHECK_FALSE(into->is_doubtful(piece_index{1}));
    REQUIRE(receive(*into, content, 1).value());
    CHECK(into->read(second, place));
}

TEST_CASE("pieces that were only checked and could not be synced are still to be recorded", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    REQUIRE(run(*open_on(disk, content), content));
    disk->remove("journal");
    auto const into = open_on(disk, content);
    REQUIRE(into->load().value().none());
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        REQUIRE(into->check_piece(piece_index{piece}).value());
    CHECK(into->unsynced_bytes() == 0);
    disk->fail(1, EIO);
    CHECK_FALSE(into->sync());
    CHECK(into->is_journal_behind());
    REQUIRE(into->sync());
    CHECK_FALSE(into->is_journal_behind());
    disk->crash();
    CHECK(open_on(disk, content)->load().value().all());
}

TEST_CASE("a piece under way while a sync fails counts as held only if the disk has kept it", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    auto const into = open_on(disk, content);
    REQUIRE(into->load());
    // Piece 2 lies in two files; its one block is written before the failure.
    auto const writer = into->begin(piece_index{2});
    REQUIRE(writer->write(blocks_of(content, piece_index{2})));
    disk->fail(1, EIO);
    CHECK_FALSE(into->sync());
    auto const finished = writer->finish();
    REQUIRE_FALSE(finished);
    CHECK(finished.error() == store::errc::doubtful_piece);  // nobody is to blame
    CHECK_FALSE(into->is_held(piece_index{2}));
    // The same blocks again, and the disk keeps them.
    REQUIRE(writer->write(blocks_of(content, piece_index{2})));
    REQUIRE(writer->finish().value());
    REQUIRE(into->sync());
    CHECK(into->take_lost().empty());
    CHECK(into->is_held(piece_index{2}));
}

TEST_CASE("what the disk lost of a piece under way makes its hash wrong, and nobody is to blame", "[store]") {
    auto const content = make_sample({{"a", 65'536}}, metainfo::format::v1, 65'536);
    auto const disk = std::make_shared<store::simulated_disk>(1);
    auto const into = open_on(disk, content, true);
    REQUIRE(into->load());
    auto const writer = into->begin(piece_index{0});
    auto const blocks = blocks_of(content, piece_index{0});
    REQUIRE(blocks.size() == 4);
    // The last ones come first: they are hashed when the gap is closed, from the disk.
    REQUIRE(writer->write(std::span{blocks}.last(2)));
    disk->fail(1, EIO);
    CHECK_FALSE(into->sync());
    REQUIRE(store::simulated_files{disk}.drop_cache(0));
    REQUIRE(writer->write(std::span{blocks}.first(2)));
    auto const finished = writer->finish();
    REQUIRE_FALSE(finished);
    CHECK(finished.error() == store::errc::doubtful_piece);
    REQUIRE(writer->write(blocks));
    CHECK(writer->finish().value());
}

TEST_CASE("a piece that is finished while a sync fails is read again before it counts as durable", "[store]") {
    /// Lets something happen while it syncs.
    struct busy_files : store::simulated_files {
        using simulated_files::simulated_files;
        result<void> sync(std::span<store::file_number const> files) override {
            if (meanwhile) std::exchange(meanwhile, nullptr)();
            return simulated_files::sync(files);
        }
        std::function<void()> meanwhile;
    };
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    auto const files = std::make_shared<busy_files>(disk);
    store::store_settings settings;
    settings.preallocate = false;
    auto const into = store::chunk_store::open(content.torrent, settings, files).value();
    REQUIRE(into->load());
    REQUIRE(receive(*into, content, 0).value());
    files->meanwhile = [&] {
        REQUIRE(receive(*into, content, 1).value());
        disk->fail(1, EIO);
    };
    CHECK_FALSE(into->sync());
    REQUIRE(into->sync());
    CHECK(into->take_lost().size() == 2);
    CHECK(into->held().none());
}

TEST_CASE("a disk that fails again and again gets no more data", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    auto const into = open_on(disk, content);
    REQUIRE(into->load());
    for (std::uint32_t piece = 0; piece < 3; ++piece) {
        REQUIRE(receive(*into, content, piece).value());
        disk->fail(1, EIO, 1);
        // The pieces doubted before are read first, and given up.
        while (into->sync()) disk->fail(2, EIO, 1);
    }
    CHECK(receive(*into, content, 4).error() == store::errc::disk_failing);
}

TEST_CASE("a simulated disk that is full says so and takes data again later", "[store]") {
    auto const content = small_sample();
    for (std::uint64_t capacity = 0; capacity < 131'000; capacity += 9'000) {
        INFO(capacity);
        auto const disk = std::make_shared<store::simulated_disk>(1, capacity);
        auto const into = open_on(disk, content);
        REQUIRE(into);
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            if (auto const right = receive(*into, content, piece); !right)
                REQUIRE(right.error() == store::errc::no_space);
        if (auto const synced = into->sync(); !synced) CHECK(synced.error() == store::errc::no_space);
        disk->set_capacity(UINT64_MAX);
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            if (!into->is_held(piece_index{piece})) REQUIRE(receive(*into, content, piece).value());
        REQUIRE(into->complete_files());
        REQUIRE(into->close());
        CHECK(is_on(*disk, content));
        disk->crash();
        CHECK(open_on(disk, content)->load().value().all());
    }
}
