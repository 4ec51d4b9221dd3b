#include <catch2/catch.hpp>

#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "refused_calls.hpp"

#include "fixture.hpp"
using namespace fixture;

// File systems that refuse what the usual ones do.

TEST_CASE("a file system that can only be read is told as such, and written to when it is not any more", "[store]") {
    temporary_folder folder;
    auto const inner = folder.path() / "inner";
    fs::create_directory(inner);
    if (geteuid() != 0 || mount("tmpfs", inner.c_str(), "tmpfs", 0, "size=4m") != 0) {
        WARN("nothing can be mounted: this is not tested");
        return;
    }
    auto const content = make_sample({{"a", 131'072}});
    auto settings = settings_in(folder.path());
    settings.directory = inner;
    {
        auto const disk = open_store(content, settings);
        REQUIRE(mount("tmpfs", inner.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
        CHECK(receive(*disk, content, 0).error() == store::errc::read_only);
        REQUIRE(mount("tmpfs", inner.c_str(), nullptr, MS_REMOUNT, nullptr) == 0);
        receive_all(*disk, content);
        REQUIRE(disk->complete_files());
        CHECK(content.is_in(inner));
        REQUIRE(disk->close());
    }
    CHECK(umount(inner.c_str()) == 0);
}

TEST_CASE("a file gets its name where no rename can spare what stands there, and a stranger's is spared", "[store]") {
    auto const content = make_sample({{"a", 65'536}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const a = content.root(settings.directory) / "a";
    auto const disk = open_store(content, settings);
    REQUIRE(receive(*disk, content, 0).value());
    with_refused_call({SYS_renameat2, EINVAL}, [&] {
        auto const own = random_bytes(10, 1);
        write_file(a, own);
        CHECK(disk->complete_files().error() == store::errc::foreign_file);
        CHECK(read_file(a) == own);
        fs::remove(a);
        CHECK(disk->complete_files());
        CHECK(content.is_in(settings.directory));
        CHECK_FALSE(fs::exists(a.string() + ".part"));
    });
}

TEST_CASE("a file that cannot be renamed keeps its incomplete name, and the call says why", "[store]") {
    auto const content = make_sample({{"a", 65'536}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const disk = open_store(content, settings);
    REQUIRE(receive(*disk, content, 0).value());
    with_refused_call({SYS_renameat2, EIO}, [&] { CHECK(disk->complete_files().error() == std::errc::io_error); });
    CHECK(fs::exists(content.root(settings.directory) / "a.part"));
    CHECK(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("where folders cannot be locked all goes on without", "[store]") {
    auto const content = make_sample({{"a", 65'536}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    with_refused_call({SYS_flock, ENOLCK}, [&] { download(content, settings); });
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("a file that finds no descriptor takes that of another of its torrent, or says so", "[store]") {
    auto const content = make_sample({{"a", 65'536}, {"b", 65'536}});
    temporary_folder folder;
    auto settings = settings_in(folder.path(), store::back_end::plain);
    settings.writable = false;
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    REQUIRE(disk->check_piece(piece_index{0}).value());
    auto const of_b = content.torrent->pieces().block_at(piece_index{1}, 0);
    byte_vector place(of_b.length);
    with_refused_call({SYS_openat2, EMFILE},
                      [&] { CHECK(disk->read(of_b, place).error() == store::errc::too_many_files); });
    CHECK(disk->read(of_b, place));
}

TEST_CASE("a disk that does not take what was written says so, for one file and for many", "[store]") {
    auto const count = GENERATE(1, 40);
    auto const [error, expected] =
        GENERATE(std::pair{EIO, store::errc::sync_failed}, std::pair{EDQUOT, store::errc::no_space});
    std::vector<std::pair<std::string, std::size_t>> sizes;
    for (int i = 0; i < count; ++i) sizes.emplace_back("f" + std::to_string(100 + i), 1000);
    auto const content = make_sample(sizes);
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path()));
    REQUIRE(disk->load());
    receive_all(*disk, content);
    auto const call = static_cast<std::uint32_t>(count == 1 ? SYS_fsync : SYS_syncfs);
    bool const is_tried =
        with_refused_call({call, static_cast<std::uint32_t>(error)}, [&] { CHECK(disk->sync().error() == expected); });
    if (is_tried) CHECK(disk->has_doubts());
    REQUIRE(disk->sync());  // read again, and on disk now
    CHECK_FALSE(disk->has_doubts());
    CHECK(disk->held().all());
}

TEST_CASE("a file that cannot be cut to its size keeps its incomplete name", "[store]") {
    auto const content = make_sample({{"a", 65'536}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const part = content.root(settings.directory) / "a.part";
    auto longer = content.files.at("a");
    longer.resize(70'000);
    write_file(part, longer);
    auto const disk = open_store(content, settings);
    REQUIRE(disk->check_piece(piece_index{0}).value());
    with_refused_call({SYS_ftruncate, EIO}, [&] {
        CHECK(disk->complete_files().error() == std::errc::io_error);
        CHECK(read_file(part) == longer);
        CHECK_FALSE(disk->is_complete(0));
    });
    CHECK(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}
