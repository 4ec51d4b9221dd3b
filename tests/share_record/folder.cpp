#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "made.hpp"

using namespace shoal;
using namespace shoal::share_record;

namespace {
namespace fs = std::filesystem;

struct kept_folder {
    testing::temporary_folder around;
    fs::path path = around.path() / "shared";
    record_folder records{path};

    void age(fs::path const& file, std::chrono::hours by) {
        fs::last_write_time(file, fs::file_time_type::clock::now() - by);
    }
    fs::path only() {
        auto const names = records.names();
        REQUIRE(names.size() == 1);
        return path / names[0];
    }
};
constexpr auto long_ago = record_folder::kept_for + std::chrono::hours{1};
}  // namespace

TEST_CASE("each path has one record, the last one", "[share_record]") {
    kept_folder in;
    CHECK(in.records.names().empty());
    auto const first = made_record("/a/music"), other = made_record("/b/music");
    auto second = first;
    second.hub = "http://other";
    for (auto const& each : {first, other, second}) REQUIRE(in.records.write(each));
    CHECK(in.records.names().size() == 2);
    for (auto const& name : in.records.names()) {
        auto const read = in.records.read(name);
        REQUIRE(read);
        check_same(*read, read->path == second.path ? second : other);
    }
    in.records.remove("/a/music");
    CHECK(in.records.read(in.only().filename())->path == "/b/music");
    struct stat facts{};
    REQUIRE(stat(in.path.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0700);
}

TEST_CASE("what is no record, or that of another path, is not read", "[share_record]") {
    kept_folder in;
    REQUIRE(in.records.write(made_record()));
    auto const file = in.only();
    fs::copy_file(file, in.path / "copy");
    CHECK_FALSE(in.records.read("copy"));
    CHECK_FALSE(in.records.read("nothing"));
    fs::create_symlink(file, in.path / "link");
    CHECK_FALSE(in.records.read("link"));
    REQUIRE(mkfifo((in.path / "fifo").c_str(), 0600) == 0);
    CHECK_FALSE(in.records.read("fifo"));
    fs::create_directory(in.path / "folder");
    CHECK_FALSE(in.records.read("folder"));
    fs::resize_file(file, record_bytes_max + 1);
    CHECK_FALSE(in.records.read(file.filename()));
    fs::resize_file(file, 0);
    CHECK_FALSE(in.records.read(file.filename()));
}

TEST_CASE("what a run that was ended left half written is in nobody's way", "[share_record]") {
    kept_folder in;
    REQUIRE(in.records.write(made_record()));
    auto half = in.only();
    half += "." + std::to_string(getpid()) + ".tmp";
    std::ofstream(half) << "half";
    CHECK(in.records.names().size() == 1);
    REQUIRE(in.records.write(made_record()));
    CHECK(in.records.read(in.only().filename()));
    CHECK_FALSE(fs::exists(half));
}

TEST_CASE("a record that nobody has used for half a year is removed, with what else is as old", "[share_record]") {
    kept_folder in;
    REQUIRE(in.records.write(made_record()));
    auto const file = in.only();
    auto const left_over = in.path / "x.1.tmp";
    std::ofstream(left_over) << "x";
    in.age(left_over, long_ago);
    in.age(file, long_ago);
    in.records.mark_used(file.filename());
    CHECK(in.records.names().size() == 1);
    CHECK_FALSE(fs::exists(left_over));
    in.age(file, long_ago);
    CHECK(in.records.names().empty());
    CHECK_FALSE(fs::exists(file));
}

TEST_CASE("why a record cannot be written is told, and nothing is left of it", "[share_record]") {
    kept_folder in;
    std::ofstream(in.path) << "no folder";
    CHECK(in.records.write(made_record()).error() == std::errc::not_a_directory);
    CHECK(in.records.names().empty());
    record_folder const nowhere{in.around.path() / "not there" / "shared"};
    CHECK(nowhere.write(made_record()).error() == std::errc::no_such_file_or_directory);
}
