#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <thread>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

// Content that is only read, as by who shares it: any number may, each with one descriptor, and one journal among them.
namespace {
/// Content that is there, and who reads it.
struct shared_content {
    explicit shared_content(sample made) : content(std::move(made)) {
        settings.writable = false;
        content.place(settings.directory);
    }
    std::unique_ptr<store::chunk_store> read() const { return open_store(content, settings); }
    /// The same by somebody who may write.
    result<std::unique_ptr<store::chunk_store>> write() const {
        auto writing = settings;
        writing.writable = true;
        return store::chunk_store::open(content.torrent, writing);
    }
    fs::path file() const { return settings.directory / content.torrent->name(); }

    sample content;
    temporary_folder folder;
    store::store_settings settings = settings_in(folder.path());
};

sample one_file(std::size_t size = 65536) {
    return make_sample({{"file", size}}, metainfo::format::v1, 65536, true);
}

void check_all(store::chunk_store& with, sample const& content) {
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        REQUIRE(with.check_piece(piece_index{piece}).value());
}

std::ptrdiff_t open_descriptors() {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator{});
}

/// The disk has lost a bit, and nobody has changed the file.
void decay(fs::path const& path) {
    auto const time = fs::last_write_time(path);
    auto bytes = read_file(path);
    bytes[7] ^= std::byte{4};
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    fs::last_write_time(path, time);
}
}  // namespace

TEST_CASE("what one who reads has found lost is not claimed again by another", "[store]") {
    shared_content const here{one_file(131'072)};
    {
        auto const first = here.read();
        check_all(*first, here.content);
        REQUIRE(first->close());
    }
    auto const one = here.read(), two = here.read();
    REQUIRE(one->load().value().all());
    REQUIRE(two->load().value().all());
    decay(here.file());
    CHECK_FALSE(two->recheck(piece_index{0}).value());
    REQUIRE(two->sync());
    REQUIRE(one->close());  // it still holds the piece
    auto const claimed = here.read()->load().value();
    CHECK_FALSE(claimed.test(piece_index{0}));
    CHECK(claimed.test(piece_index{1}));
    REQUIRE(two->close());
    CHECK_FALSE(here.read()->load().value().test(piece_index{0}));
}

TEST_CASE("who read before there was content leaves the journal of who has fetched it since", "[store]") {
    auto const content = one_file(131'072);
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    auto reading = settings;
    reading.writable = false;
    auto const reader = open_store(content, reading);
    REQUIRE(reader->load().value().none());
    {
        auto const writer = open_store(content, settings);
        REQUIRE(receive(*writer, content, 1).value());
        REQUIRE(writer->close());
    }
    auto const written = read_file(settings.journal);
    REQUIRE(reader->close());
    CHECK(read_file(settings.journal) == written);
    CHECK(open_store(content, settings)->load().value().test(piece_index{1}));
}

TEST_CASE("who finds the journal with who writes leaves it, also when that one has ended", "[store]") {
    auto const content = one_file();
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    auto const writer = open_store(content, settings);
    auto elsewhere = settings;
    elsewhere.writable = false;
    elsewhere.directory = folder.path() / "elsewhere";
    content.place(elsewhere.directory);
    auto const reader = open_store(content, elsewhere);
    CHECK(reader->load().value().none());
    REQUIRE(reader->check_piece(piece_index{0}).value());
    CHECK(reader->sync());
    CHECK_FALSE(fs::exists(settings.journal));
    REQUIRE(receive(*writer, content, 0).value());
    REQUIRE(writer->close());
    auto const written = read_file(settings.journal);
    REQUIRE(reader->close());
    CHECK(read_file(settings.journal) == written);
}

TEST_CASE("who reads a content leaves the journal to who writes another of the same name", "[store]") {
    auto const content = one_file();
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    auto const writer = open_store(content, settings);
    auto elsewhere = settings;
    elsewhere.writable = false;
    elsewhere.directory = folder.path() / "elsewhere";
    content.place(elsewhere.directory);
    auto const reader = open_store(content, elsewhere);
    CHECK(reader->load().value().none());
    REQUIRE(reader->check_piece(piece_index{0}).value());
    REQUIRE(reader->close());
    CHECK_FALSE(fs::exists(settings.journal));
    REQUIRE(receive(*writer, content, 0).value());
    REQUIRE(writer->sync());
    auto const written = read_file(settings.journal);
    CHECK(open_store(content, elsewhere)->load().value().none());
    CHECK(read_file(settings.journal) == written);
}

TEST_CASE("who replaces a journal waits for another who does, but not for ever", "[store]") {
    shared_content const here{one_file()};
    auto const reader = here.read();
    REQUIRE(reader->check_piece(piece_index{0}).value());
    auto const lock = here.settings.journal.string() + ".lock";
    auto const held = ::open(lock.c_str(), O_RDWR | O_CREAT, 0600);
    REQUIRE(::flock(held, LOCK_EX) == 0);
    CHECK(reader->sync().error() == store::errc::in_use);
    CHECK_FALSE(fs::exists(here.settings.journal));
    ::close(held);
    CHECK(reader->sync());
    CHECK(here.read()->load().value().all());
}

TEST_CASE("of two who find the journal damaged one sets it aside, and neither fails", "[store]") {
    shared_content const here{one_file()};
    fs::create_directories(here.settings.journal.parent_path());
    write_file(here.settings.journal, as_bytes("no journal"));
    auto const one = here.read(), two = here.read();
    CHECK(one->load().value().none());
    CHECK(read_file(here.settings.journal.string() + ".bad").size() == 10);
    CHECK(two->load().value().none());
}

TEST_CASE("who reads writes the journal anew that somebody has removed", "[store]") {
    shared_content const here{one_file()};
    auto const disk = here.read();
    REQUIRE(disk->load());
    check_all(*disk, here.content);
    REQUIRE(disk->sync());
    fs::remove(here.settings.journal);
    REQUIRE(disk->close());
    CHECK(here.read()->load().value().all());
}

TEST_CASE("content that is shared and that nobody asks for takes one descriptor", "[store]") {
    auto const single = GENERATE(true, false);
    shared_content const here{
        single ? one_file() : make_sample({{"a", 65536}, {"b", 65536}, {"c", 65536}}, metainfo::format::v1, 65536)};
    auto const before = open_descriptors();
    auto const disk = here.read();
    REQUIRE(disk->load());
    check_all(*disk, here.content);
    REQUIRE(disk->sync());
    REQUIRE(disk->check_files());
    disk->rest();
    CHECK(open_descriptors() == before + 1);
    CHECK(disk->check_piece(piece_index{0}).value());
    CHECK(here.write().error() == store::errc::in_use);
    disk->rest();
    CHECK(open_descriptors() == before + 1);
}

TEST_CASE("the lock of a shared file goes on to the one that took its place", "[store]") {
    shared_content const here{one_file()};
    auto const before = open_descriptors();
    auto const disk = here.read();
    REQUIRE(disk->check_piece(piece_index{0}).value());
    bool const are_many = GENERATE(false, true);
    if (are_many) {  // who open it anew at once share what one of them has opened
        std::vector<std::thread> readers;
        for (int i = 0; i < 4; ++i)
            readers.emplace_back([&] {
                for (int n = 0; n < 500; ++n) disk->reopen(piece_index{0});
            });
        for (auto& each : readers) each.join();
        disk->rest();
        CHECK(open_descriptors() == before + 1);
    }
    fs::rename(here.file(), here.folder.path() / "old");
    here.content.place(here.settings.directory);
    disk->reopen(piece_index{0});
    REQUIRE(disk->check_piece(piece_index{0}).value());
    CHECK(here.write().error() == store::errc::in_use);
    CHECK(open_descriptors() == before + 1);
}
