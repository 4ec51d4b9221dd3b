#include <catch2/catch.hpp>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "fixture.hpp"
using namespace fixture;
using store::back_end;

namespace {
/// What a new store believes, with each claim checked against the disk.
bitfield proven(sample const& content, store::store_settings const& settings) {
    auto const disk = open_store(content, settings);
    auto const claimed = disk->load().value();
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        if (claimed.test(piece_index{piece})) CHECK(disk->check_piece(piece_index{piece}).value());
    return claimed;
}

/// A run that receives everything, names the files, and ends so.
void receive_all(sample const& content, store::store_settings const& settings, store::closing how) {
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load());
    for (std::uint32_t piece = 0; piece < content.count(); ++piece) REQUIRE(receive(*disk, content, piece).value());
    REQUIRE(disk->sync());
    REQUIRE(disk->complete_files());
    REQUIRE(disk->close(how));
}

/// Somebody writes to a file of the content; its size stays.
void change_later(sample const& content, store::store_settings const& settings, char const* name) {
    auto const path = content.root(settings.directory) / name;
    auto const time = fs::last_write_time(path);
    auto changed = content.files.at(name);
    changed[5] ^= std::byte{1};
    write_file(path, changed);
    fs::last_write_time(path, time + std::chrono::seconds{5});
}
}  // namespace

TEST_CASE("after a clean stop the journal proves what was there, without reading it", "[store]") {
    auto const kind = GENERATE(back_end::mapped, back_end::plain);
    auto const content = mixed_sample();
    temporary_folder folder;
    auto const settings = settings_in(folder.path(), kind);
    {
        auto const disk = open_store(content, settings);
        REQUIRE(receive(*disk, content, 0).value());
        REQUIRE(receive(*disk, content, 3).value());
        REQUIRE(disk->close());
        CHECK(disk->sync().error() == store::errc::closed);
    }
    {
        auto const disk = open_store(content, settings);
        auto const held = disk->load().value();
        CHECK(held.count() == 2);
        CHECK(held.test(piece_index{3}));
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            if (!held.test(piece_index{piece})) REQUIRE(receive(*disk, content, piece).value());
        REQUIRE(disk->complete_files());
        REQUIRE(disk->close());
    }
    CHECK(content.is_in(settings.directory));
    CHECK(proven(content, settings).all());
    CHECK(proven(content, settings).all());
}

TEST_CASE("a store in which nothing happened does not write its journal anew", "[store]") {
    auto const content = mixed_sample();
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const number_of_journal = [&] {  // which each replacement changes
        struct stat facts{};
        REQUIRE(::stat(settings.journal.c_str(), &facts) == 0);
        return facts.st_ino;
    };
    {
        auto const disk = open_store(content, settings);
        REQUIRE(disk->load());
        for (std::uint32_t piece = 1; piece < content.count(); ++piece) REQUIRE(receive(*disk, content, piece).value());
        REQUIRE(disk->close());
    }
    auto const before = number_of_journal();
    {
        auto const disk = open_store(content, settings);
        CHECK(disk->load().value().count() == content.count() - 1);
        REQUIRE(disk->close());
    }
    CHECK(number_of_journal() == before);
    {
        auto const disk = open_store(content, settings);
        REQUIRE(disk->load());
        REQUIRE(receive(*disk, content, 0).value());
        REQUIRE(disk->close());
    }
    CHECK(number_of_journal() != before);
    CHECK(proven(content, settings).all());
}

TEST_CASE("where no file of a piece is there, it need not be looked at", "[store]") {
    auto const content =
        make_sample({{"a", 100'000}, {"b", 50'000}}, metainfo::format::v1, 16384);  // 6.1 and 3.05 pieces
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    CHECK(open_store(content, settings)->absent_pieces().all());
    write_file(content.root(settings.directory) / "a", random_bytes(10, 1));
    auto const absent = open_store(content, settings)->absent_pieces();
    for (std::uint32_t i = 0; i < content.count(); ++i) CHECK(absent.test(piece_index{i}) == (i > 6));
}

TEST_CASE("what was not synced is not believed after a stop without close", "[store]") {
    auto const content = mixed_sample();
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    {
        auto const disk = open_store(content, settings);
        REQUIRE(receive(*disk, content, 0).value());
        CHECK(disk->unsynced_bytes() == 65536);
        REQUIRE(disk->sync());
        CHECK(disk->unsynced_bytes() == 0);
        REQUIRE(receive(*disk, content, 1).value());
    }
    auto const held = proven(content, settings);
    CHECK(held.count() == 1);
    CHECK(held.test(piece_index{0}));
    {
        auto const disk = open_store(content, settings);
        REQUIRE(disk->load());
        REQUIRE(receive(*disk, content, 2).value());
        REQUIRE(disk->close(store::closing::quick));
    }
    CHECK(proven(content, settings).count() == 1);
}

TEST_CASE("a store killed while receiving resumes with every synced piece and no wrong one", "[store]") {
    auto const content = make_sample({{"a", 1'000'000}, {"b", 900'000}}, metainfo::format::v1, 16384);
    for (std::uint32_t round = 0; round < 4; ++round) {
        temporary_folder folder;
        auto const settings = settings_in(folder.path(), round % 2 ? back_end::mapped : back_end::plain);
        bitfield before(content.count());
        for (std::uint32_t run = 0; run < 3; ++run) {
            int ready[2];
            REQUIRE(pipe(ready) == 0);
            auto const child = fork();
            if (child == 0) {
                auto const disk = open_store(content, settings);
                auto const have = disk->load().value();
                std::uint32_t received = 0;
                for (std::uint32_t piece = 0; piece < content.count(); ++piece) {
                    if (have.test(piece_index{piece})) continue;
                    if (!receive(*disk, content, piece).value()) _exit(1);
                    if (++received % 10 == 0 && !disk->sync()) _exit(2);
                    if (received == 25 + run) break;
                }
                (void)!write(ready[1], "x", 1);
                // Half a piece more, until the end comes.
                auto const writer = disk->begin(piece_index{content.count() - 1});
                for (;;) pause();
            }
            char byte;
            REQUIRE(read(ready[0], &byte, 1) == 1);
            kill(child, SIGKILL);
            int status;
            waitpid(child, &status, 0);
            REQUIRE(WIFSIGNALED(status));
            close(ready[0]);
            close(ready[1]);
            auto const held = proven(content, settings);
            INFO("round " << round << " run " << run);
            CHECK(held.count() >= before.count() + 20);
            CHECK_FALSE(before.has_beyond(held));
            before = held;
        }
        auto const disk = open_store(content, settings);
        auto const have = disk->load().value();
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            if (!have.test(piece_index{piece})) REQUIRE(receive(*disk, content, piece).value());
        REQUIRE(disk->complete_files());
        CHECK(content.is_in(settings.directory));
    }
}

TEST_CASE("a file that differs in size or time from what was recorded is checked again", "[store]") {
    auto const content = make_sample({{"a", 131'072}, {"b", 131'072}});
    auto const what = GENERATE(0, 1, 2, 3, 4, 5, 6);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    download(content, settings);
    auto const a = content.root(settings.directory) / "a";
    auto const time = fs::last_write_time(a);
    using namespace std::chrono_literals;
    switch (what) {
        case 0:
            break;  // nothing: all believed
        case 1:
            fs::last_write_time(a, time + 1s);
            break;  // touched
        case 2:
            fs::last_write_time(a, time - 1h);
            break;  // an older copy
        case 3:
            fs::resize_file(a, 131'071);
            break;  // cut
        case 4:
            fs::remove(a);
            break;  // gone
        case 5:     // cut, with its time put back
            fs::resize_file(a, 131'071);
            fs::last_write_time(a, time);
            break;
        case 6:  // longer, with its time put back
            fs::resize_file(a, 131'073);
            fs::last_write_time(a, time);
            break;
    }
    INFO(what);
    auto const disk = open_store(content, settings);
    auto const held = disk->load().value();
    CHECK(held.count() == (what == 0 ? 4 : 2));
    CHECK(held.test(piece_index{2}));
    CHECK(held.test(piece_index{3}));
    // What does not look right is asked of the disk, which knows.
    bool const first_right = what != 4;
    CHECK(disk->check_piece(piece_index{0}).value() == first_right);
}

TEST_CASE("while a file grows only a change by the store itself is believed", "[store]") {
    auto const content = make_sample({{"a", 1'000'000}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    {
        auto const disk = open_store(content, settings);
        REQUIRE(receive(*disk, content, 0).value());
        REQUIRE(disk->sync());
        REQUIRE(receive(*disk, content, 1).value());
    }
    auto const part = content.root(settings.directory) / "a.part";
    using namespace std::chrono_literals;
    auto const time = fs::last_write_time(part);
    fs::last_write_time(part, time + 50s);  // written to after the sync
    CHECK(proven(content, settings).count() == 1);
    fs::last_write_time(part, time + 10min);  // long after the store was gone
    CHECK(proven(content, settings).none());
    // Once disbelieved, it stays so.
    fs::last_write_time(part, time);
    CHECK(proven(content, settings).none());
}

TEST_CASE("a damaged journal is kept aside and nothing of it is believed", "[store]") {
    auto const content = mixed_sample();
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    download(content, settings);
    auto bytes = read_file(settings.journal);
    bytes[bytes.size() - 3] ^= std::byte{4};
    write_file(settings.journal, bytes);
    CHECK(proven(content, settings).none());
    CHECK(read_file(settings.journal.string() + ".bad") == bytes);

    auto const disk = open_store(content, settings);
    CHECK(disk->load().value().none());
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        REQUIRE(disk->check_piece(piece_index{piece}).value());
    REQUIRE(disk->close());
    CHECK(fs::exists(settings.journal));
}

TEST_CASE("a second user of journal or content is told so", "[store]") {
    auto const single = GENERATE(true, false);
    auto const content = make_sample({{"file", 65536}}, metainfo::format::v1, 65536, single);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto first = open_store(content, settings);
    CHECK(store::chunk_store::open(content.torrent, settings).error() == store::errc::in_use);
    REQUIRE(receive(*first, content, 0).value());
    REQUIRE(first->complete_files());

    auto elsewhere = settings;
    elsewhere.journal = folder.path() / "other/journal";
    CHECK(store::chunk_store::open(content.torrent, elsewhere).error() == store::errc::in_use);
    auto const child = fork();
    if (child == 0) {
        auto const opened = store::chunk_store::open(content.torrent, settings);
        _exit(!opened && opened.error() == store::errc::in_use ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(status == 0);

    REQUIRE(first->close());
    elsewhere.writable = false;
    auto reader = elsewhere;
    reader.journal.clear();
    auto const one = open_store(content, elsewhere);
    auto const two = open_store(content, reader);  // any number may read
    auto const three = open_store(content, elsewhere);
    CHECK(three->load().value().none());
    CHECK(three->check_piece(piece_index{0}).value());
    CHECK(three->close());
    CHECK(one->load().value().all());  // whoever reads shares the journal
    CHECK(store::chunk_store::open(content.torrent, settings).error() == store::errc::in_use);
}

TEST_CASE("a file that an earlier run named, and did not live to say so, is watched once it is synced", "[store]") {
    auto const content = make_sample({{"a", 131'072}, {"b", 131'072}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    receive_all(content, settings, store::closing::quick);
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().all());
    CHECK(disk->is_journal_behind());
    REQUIRE(disk->sync());
    CHECK_FALSE(disk->is_journal_behind());
    change_later(content, settings, "a");
    REQUIRE(disk->check_files());
    CHECK(disk->take_lost().size() == 2);
}

TEST_CASE("a finished file that is changed while the rest is read is given up at the next sync", "[store]") {
    auto const content = make_sample({{"a", 131'072}, {"b", 131'072}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    receive_all(content, settings, store::closing::durable);
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().all());
    change_later(content, settings, "a");
    REQUIRE(disk->complete_files());
    REQUIRE(disk->sync());
    REQUIRE(disk->check_files());
    CHECK(disk->take_lost().size() == 2);
}

TEST_CASE("a finished file that has grown since an earlier run named it is read again", "[store]") {
    auto const content = make_sample({{"a", 131'072}, {"b", 131'072}});
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    receive_all(content, settings, store::closing::quick);
    fs::resize_file(content.root(settings.directory) / "a", 131'073);
    settings.writable = false;
    CHECK(open_store(content, settings)->load().value().count() == 2);
}

TEST_CASE("a seeder's journal saves it from hashing again, and changes are noticed", "[store]") {
    auto const content = make_sample({{"a", 131'072}, {"b", 131'072}});
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.writable = false;
    content.place(settings.directory);
    {
        auto const disk = open_store(content, settings);
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            REQUIRE(disk->check_piece(piece_index{piece}).value());
        REQUIRE(disk->close());
    }
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().all());
    REQUIRE(disk->check_files());
    CHECK(disk->held().all());
    auto changed = content.files.at("a");
    changed[5] ^= std::byte{1};
    write_file(content.root(settings.directory) / "a", changed);
    REQUIRE(disk->check_files());
    CHECK(disk->take_lost().size() == 2);
    CHECK(disk->take_lost().empty());
    CHECK_FALSE(disk->check_piece(piece_index{0}).value());
    CHECK(disk->check_piece(piece_index{1}).value());
    REQUIRE(disk->close());
    auto const held = proven(content, settings);
    CHECK(held.count() == 3);
}

TEST_CASE("a file that is replaced by another is judged by the one that stands there now", "[store]") {
    auto const content = make_sample({{"a", 131'072}});
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.writable = false;
    content.place(settings.directory);
    auto const a = content.root(settings.directory) / "a";
    auto const replace_by = [&](byte_view bytes) {
        write_file(folder.path() / "other", bytes);
        fs::rename(folder.path() / "other", a);
    };
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load());
    for (std::uint32_t piece = 0; piece < 2; ++piece) REQUIRE(disk->check_piece(piece_index{piece}).value());
    REQUIRE(disk->sync());
    replace_by(random_bytes(131'072, 77));
    REQUIRE(disk->check_files());
    CHECK(disk->take_lost().size() == 2);
    CHECK_FALSE(disk->check_piece(piece_index{0}).value());
    // And as it was again.
    replace_by(content.files.at("a"));
    disk->reopen(piece_index{0});
    CHECK(disk->check_piece(piece_index{0}).value());
}

TEST_CASE("a change between check and record is not recorded", "[store]") {
    auto const content = make_sample({{"a", 131'072}});
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.writable = false;
    content.place(settings.directory);
    {
        auto const disk = open_store(content, settings);
        REQUIRE(disk->check_piece(piece_index{0}).value());
        auto changed = content.files.at("a");
        changed[5] ^= std::byte{1};
        auto const a = content.root(settings.directory) / "a";
        auto const time = fs::last_write_time(a);
        write_file(a, changed);
        fs::last_write_time(a, time + std::chrono::seconds(1));
        REQUIRE(disk->close());
    }
    CHECK(proven(content, settings).none());
}

TEST_CASE("a piece that is checked twice counts once", "[store]") {
    auto const content = make_sample({{"a", 2 * 65536}}, metainfo::format::v1, 65536);
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.writable = false;
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    for (int time = 0; time < 2; ++time) REQUIRE(disk->check_piece(piece_index{0}).value());
    CHECK_FALSE(disk->is_complete(0));
    REQUIRE(disk->trust_piece(piece_index{0}).value());
    CHECK_FALSE(disk->is_complete(0));
    REQUIRE(disk->check_piece(piece_index{1}).value());
    CHECK(disk->is_complete(0));
    disk->lost(piece_index{1});
    disk->lost(piece_index{1});
    REQUIRE(disk->check_piece(piece_index{1}).value());
    CHECK(disk->is_complete(0));
}

TEST_CASE("all is durable once a sync has recorded it, and not before", "[store]") {
    auto const content = make_sample({{"a", 2 * 65536}}, metainfo::format::v1, 65536);
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.writable = false;
    content.place(settings.directory);
    auto disk = open_store(content, settings);
    REQUIRE(disk->trust_piece(piece_index{0}).value());
    REQUIRE(disk->sync());
    CHECK_FALSE(disk->is_durable());
    REQUIRE(disk->trust_piece(piece_index{1}).value());
    CHECK_FALSE(disk->is_durable());
    REQUIRE(disk->sync());
    CHECK(disk->is_durable());
    REQUIRE(disk->close());
    disk = open_store(content, settings);
    CHECK_FALSE(disk->is_durable());
    REQUIRE(disk->load());
    CHECK(disk->is_durable());
    disk->lost(piece_index{1});
    CHECK_FALSE(disk->is_durable());
}

TEST_CASE("a piece that was lost is not claimed after a start, though its file looks as it did", "[store]") {
    auto const content = make_sample({{"a", 3 * 65536}}, metainfo::format::v1, 65536);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    download(content, settings);
    {
        auto const disk = open_store(content, settings);
        REQUIRE(disk->load().value().all());
        disk->lost(piece_index{1});
        CHECK(disk->is_journal_behind());
        REQUIRE(disk->sync());
    }  // as by a crash
    auto const disk = open_store(content, settings);
    auto const claimed = disk->load().value();
    CHECK(claimed.count() == 2);
    CHECK_FALSE(claimed.test(piece_index{1}));
}

TEST_CASE("the only piece of a finished file that the disk has lost is received anew", "[store]") {
    auto const content = make_sample({{"a", 1000}}, metainfo::format::v1, 65536, true);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    download(content, settings);
    auto const path = settings.directory / "a";
    auto const written = fs::last_write_time(path);
    auto rotten = content.files.at("a");
    rotten[500] ^= std::byte{1};
    write_file(path, rotten);
    fs::last_write_time(path, written);
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().all());
    CHECK_FALSE(disk->recheck(piece_index{0}).value());
    CHECK(receive(*disk, content, 0).value());
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("a piece that ends with the first byte of the next file is checked", "[store]") {
    auto const content = make_sample({{"a", 65535}, {"b", 65537}}, metainfo::format::v1, 65536);
    temporary_folder folder;
    auto const settings = settings_in(folder.path(), GENERATE(back_end::mapped, back_end::plain));
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        CHECK(disk->check_piece(piece_index{piece}).value());
}
