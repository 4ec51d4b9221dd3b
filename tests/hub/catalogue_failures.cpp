#include <fcntl.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "torrents.hpp"
using namespace torrents;
namespace fs = std::filesystem;

namespace {
std::string read_file(fs::path const& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
void write_file(fs::path const& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes.data(), std::ssize(bytes));
}

/// What somebody does to the file with other tools.
void run_sql(fs::path const& file, char const* script) {
    sqlite3* database = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
    CHECK(sqlite3_exec(database, script, nullptr, nullptr, nullptr) == SQLITE_OK);
    REQUIRE(sqlite3_close(database) == SQLITE_OK);
}

/// Runs `work` in a process of its own, which ends with what it returns.
template <class Work>
pid_t in_child(Work&& work) {
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(work());  // nothing of the test is to run twice
    return child;
}
int exit_status(pid_t child) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// A file with some contents, closed.
void fill(fs::path const& file, std::uint64_t count) {
    auto catalogue = hub::catalogue::open(file).value();
    for (std::uint64_t i = 0; i < count; ++i)
        REQUIRE(catalogue.publish("anna", single("content " + std::to_string(i), i), start));
    REQUIRE(catalogue.publish("anna", folder("folder", {"some/path", "some/other path"}), start));
    REQUIRE(catalogue.save_counters({{"announces", 17}}));
}

/// Every call on a file that may be damaged: any answer will do.
void use(hub::catalogue& catalogue) {
    static_cast<void>(catalogue.find("", 1000));
    static_cast<void>(catalogue.find("con", 1000));
    static_cast<void>(catalogue.find("*1", 1000));
    static_cast<void>(catalogue.near("contend 1", 5));
    for (std::uint64_t i = 0; i < 5; ++i) static_cast<void>(catalogue.by_hash(hash_of(single("content 1", i))));
    static_cast<void>(catalogue.publish("ben", single("content 1", 1), start));
    static_cast<void>(catalogue.publish("ben", single("new", 99), start));
    static_cast<void>(catalogue.unpublish("anna", hash_of(single("content 2", 2)), start));
    static_cast<void>(catalogue.touch("anna", start));
    static_cast<void>(catalogue.forget(start + 24h * 30));
    static_cast<void>(catalogue.save_counters({{"announces", 18}}));
}
}  // namespace

TEST_CASE("what was reported as published survives kill -9", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    std::vector<byte_vector> all;
    for (std::uint64_t i = 0; i < 2000; ++i) all.push_back(single("content " + std::to_string(i), i));
    std::mt19937 random(7);
    std::size_t reported = 0;
    for (int round = 0; round < 6; ++round) {
        INFO("round " << round);
        int channel[2];
        REQUIRE(::pipe(channel) == 0);
        auto const child = in_child([&] {
            auto catalogue = hub::catalogue::open(file);
            if (!catalogue) return 1;
            for (std::size_t i = reported; i < all.size(); ++i) {
                if (!catalogue.value().publish("anna", all[i], start)) return 2;
                if (!catalogue.value().save_counters({{"published", i + 1}})) return 3;
                if (::write(channel[1], "!", 1) != 1) return 4;
            }
            return 0;
        });
        ::close(channel[1]);
        auto const wanted = reported + 1 + random() % 30;
        char byte;
        while (reported < wanted && ::read(channel[0], &byte, 1) == 1) ++reported;
        ::usleep(static_cast<useconds_t>(random() % 3000));
        REQUIRE(::kill(child, SIGKILL) == 0);
        while (::read(channel[0], &byte, 1) == 1) ++reported;
        ::close(channel[0]);
        CHECK(exit_status(child) == -1);

        auto catalogue = hub::catalogue::open(file);
        REQUIRE(catalogue);
        CHECK_FALSE(catalogue.value().set_aside());
        CHECK(reported >= wanted);
        for (std::size_t i = 0; i < reported; ++i) {
            auto const stored = catalogue.value().by_hash(hash_of(all[i]));
            REQUIRE(stored);
            REQUIRE(stored.value());
        }
        CHECK(catalogue.value().counters().at("published") >= reported);
        CHECK(catalogue.value().size() <= reported + 2);
        CHECK(catalogue.value().find("content", 1000).value().entries.size() == catalogue.value().size());
    }
}

TEST_CASE("a damaged file is set aside, or read as far as it is sound", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    fill(file, 60);
    auto const sound = read_file(file);
    REQUIRE(sound.size() >= 20 * 4096);
    int set_aside = 0;
    int refused = 0;
    auto const try_with = [&](std::string const& bytes) {
        for (auto const& each : fs::directory_iterator(folder.path())) fs::remove(each.path());
        write_file(file, bytes);
        auto catalogue = hub::catalogue::open(file);
        if (!catalogue) {
            ++refused;
            CHECK((catalogue.error() == hub::errc::newer_schema || catalogue.error() == hub::errc::not_a_catalogue));
            CHECK(read_file(file) == bytes);
            return;
        }
        if (auto const& aside = catalogue.value().set_aside()) {
            ++set_aside;
            CHECK(aside->filename().string().starts_with("catalogue.db.bad-20"));
            CHECK(fs::exists(*aside));
            CHECK(catalogue.value().size() == 0);
            CHECK(catalogue.value().publish("anna", single("a"), start));
        }
        use(catalogue.value());
    };
    SECTION("by a changed byte of its header") {
        for (std::size_t at = 0; at < 100; ++at) {
            INFO("byte " << at);
            auto bytes = sound;
            bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
            try_with(bytes);
        }
        CHECK(set_aside >= 18);  // magic and versions
        CHECK(refused == 8);     // user_version and application_id
    }
    SECTION("by changed bytes anywhere") {
        std::mt19937 random(11);
        for (int round = 0; round < 60; ++round) {
            INFO("round " << round);
            auto bytes = sound;
            for (int i = 0; i < 20; ++i) bytes[100 + random() % (bytes.size() - 100)] = static_cast<char>(random());
            try_with(bytes);
        }
        CHECK(set_aside > 0);
    }
    SECTION("by pages of zeros") {
        for (std::size_t at = 0; at + 4096 <= sound.size(); at += 4096) {
            INFO("page " << at / 4096);
            auto bytes = sound;
            bytes.replace(at, 4096, std::string(4096, '\0'));
            try_with(bytes);
        }
        CHECK(set_aside > 0);
    }
    SECTION("by being cut") {
        int cuts = 0;
        for (std::size_t size :
             {std::size_t{1}, std::size_t{15}, std::size_t{50}, std::size_t{99}, std::size_t{100}, std::size_t{2000},
              std::size_t{4096}, std::size_t{4097}, sound.size() / 2, sound.size() - 4096}) {
            INFO(size << " bytes left");
            try_with(sound.substr(0, size));
            CHECK(set_aside == ++cuts);
        }
        try_with(sound.substr(0, sound.size() - 1));  // perhaps a byte that nobody needs
        CHECK(refused == 0);
    }
    SECTION("by being something else") {
        try_with("This is a text.\n");
        try_with(std::string(100'000, 'x'));
        CHECK(set_aside == 2);
    }
}

TEST_CASE("a second damaged file does not replace the first one that was set aside", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    std::vector<fs::path> asides;
    for (int i = 0; i < 3; ++i) {
        write_file(file, "damage " + std::to_string(i) + std::string(1000, '.'));
        ::timespec const times[2]{{1'800'000'000, 0}, {1'800'000'000, 0}};
        REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
        auto const catalogue = hub::catalogue::open(file);
        REQUIRE(catalogue);
        REQUIRE(catalogue.value().set_aside());
        asides.push_back(*catalogue.value().set_aside());
    }
    CHECK(asides[0].filename() == "catalogue.db.bad-2027-01-15T080000Z");
    CHECK(asides[1].filename() == "catalogue.db.bad-2027-01-15T080000Z-2");
    for (int i = 0; i < 3; ++i) CHECK(read_file(asides[static_cast<std::size_t>(i)])[7] == '0' + i);
}

TEST_CASE("a damaged index of words is made anew from the tables", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    fill(file, 20);
    auto const* const damage = GENERATE("DELETE FROM words_data WHERE id > 10", "DELETE FROM words_idx",
                                        "UPDATE words_data SET block = x'00ff00ff00ff00ff00ff'");
    INFO(damage);
    run_sql(file, damage);
    auto catalogue = hub::catalogue::open(file).value();
    if (!catalogue.set_aside()) {
        CHECK(found(catalogue, "content").size() == 20);
        CHECK(found(catalogue, "other path") == list{"folder"});
    }
    CHECK(catalogue.publish("ben", single("content 3", 3), start));
}

TEST_CASE("metainfo that changed on disk is not handed out, and repaired by who publishes it again", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    fill(file, 1);
    run_sql(file, "UPDATE metainfo SET torrent = CAST(torrent || x'00' AS BLOB)");
    auto catalogue = hub::catalogue::open(file).value();
    auto const torrent = single("content 0", 0);
    CHECK(catalogue.by_hash(hash_of(torrent)).error() == hub::errc::damaged);
    CHECK_FALSE(catalogue.publish("ben", torrent, start).value().is_new_content);
    CHECK(catalogue.by_hash(hash_of(torrent)).value());
}

TEST_CASE("a file of a later version or of another program is refused and stays as it is", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    hub::errc expected{};
    SECTION("later version") {
        fill(file, 1);
        run_sql(file, "PRAGMA user_version = 1000");
        expected = hub::errc::newer_schema;
    }
    SECTION("another program") {
        run_sql(file, "CREATE TABLE bookmarks(url TEXT); INSERT INTO bookmarks VALUES('a')");
        expected = hub::errc::not_a_catalogue;
    }
    auto const before = read_file(file);
    auto const refused = hub::catalogue::open(file);
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == expected);
    CHECK(is(refused.error(), condition::local_fault));
    CHECK(read_file(file) == before);
}

TEST_CASE("a full disk fails the call, and what was there before stays", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    auto const published_until_full = [&](hub::catalogue& catalogue, std::error_code& why) {
        for (std::uint64_t i = 0;; ++i) {
            auto const done =
                catalogue.publish("anna",
                                  torrents::folder("content " + std::to_string(i),
                                                   [&] {
                                                       list paths;
                                                       for (int path = 0; path < 50; ++path)
                                                           paths.push_back("path " + std::to_string(i * 100 + path));
                                                       return paths;
                                                   }()),
                                  start);
            if (done) continue;
            why = done.error();
            return i;
        }
    };
    SECTION("by the limit of the file") {
        std::error_code why;
        std::uint64_t count = 0;
        {
            auto catalogue =
                hub::catalogue::open(file, {.file_bytes_max = 500'000, .owner_kept = 1h, .orphan_kept = 0s}).value();
            count = published_until_full(catalogue, why);
            CHECK(why == hub::errc::no_space);
            CHECK(is(why, condition::local_fault));
            CHECK(count > 5);
            CHECK(catalogue.size() == count);
            CHECK(catalogue.find("content", 1000).value().entries.size() == count);
            CHECK(fs::file_size(file) <= 500'000);
        }
        auto catalogue =
            hub::catalogue::open(file, {.file_bytes_max = 500'000, .owner_kept = 1h, .orphan_kept = 0s}).value();
        CHECK(catalogue.size() == count);
        CHECK_FALSE(catalogue.set_aside());
        while (catalogue.forget(start + 1h).value() > 0) {}
        CHECK(catalogue.size() == 0);
        CHECK(catalogue.publish("anna", single("there is space again"), start + 1h));
    }
    SECTION("by the system") {
        int channel[2];
        REQUIRE(::pipe(channel) == 0);
        auto const child = in_child([&] {
            auto catalogue = hub::catalogue::open(file);
            if (!catalogue) return 1;
            std::signal(SIGXFSZ, SIG_IGN);
            ::rlimit const least{1'000'000, 1'000'000};  // of any file, the log too
            ::setrlimit(RLIMIT_FSIZE, &least);
            std::error_code why;
            auto const count = published_until_full(catalogue.value(), why);
            if (!is(why, condition::local_fault)) return 2;
            if (catalogue.value().size() != count) return 3;
            if (catalogue.value().find("content", 1000).value().entries.size() != count) return 4;
            if (::write(channel[1], &count, sizeof count) != sizeof count) return 5;
            return 0;
        });
        ::close(channel[1]);
        CHECK(exit_status(child) == 0);
        std::uint64_t count = 0;
        CHECK(::read(channel[0], &count, sizeof count) == sizeof count);
        ::close(channel[0]);
        auto catalogue = hub::catalogue::open(file).value();
        CHECK_FALSE(catalogue.set_aside());
        CHECK(count > 5);
        CHECK(catalogue.size() == count);
    }
}

TEST_CASE("a second tracker cannot open the catalogue", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    {
        auto const first = hub::catalogue::open(file);
        REQUIRE(first);
        CHECK(hub::catalogue::open(file).error() == hub::errc::in_use);
        auto const child = in_child([&] {
            auto const second = hub::catalogue::open(file);
            return !second && second.error() == hub::errc::in_use ? 0 : 1;
        });
        CHECK(exit_status(child) == 0);
    }
    CHECK(hub::catalogue::open(file));
}

TEST_CASE("what the system refuses comes as its error", "[hub]") {
    testing::temporary_folder const folder;
    write_file(folder.path() / "file", "");
    auto const in_file = hub::catalogue::open(folder.path() / "file" / "catalogue.db");
    REQUIRE_FALSE(in_file);
    CHECK(is(in_file.error(), condition::local_fault));
    fs::create_directory(folder.path() / "folder.db");
    auto const of_folder = hub::catalogue::open(folder.path() / "folder.db");
    REQUIRE_FALSE(of_folder);
    CHECK(is(of_folder.error(), condition::local_fault));
    CHECK(fs::is_directory(folder.path() / "folder.db"));
}

TEST_CASE("nobody else can read the catalogue", "[hub]") {
    testing::temporary_folder const folder;
    auto const file = folder.path() / "catalogue.db";
    auto catalogue = hub::catalogue::open(file).value();
    REQUIRE(catalogue.publish("anna", single("a"), start));
    for (auto const& each : fs::directory_iterator(folder.path())) {
        INFO(each.path());
        CHECK((each.status().permissions() & fs::perms::others_all) == fs::perms::none);
    }
}
