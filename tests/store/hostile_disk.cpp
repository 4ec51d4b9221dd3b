#include <catch2/catch.hpp>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "fixture.hpp"
using namespace fixture;
using store::back_end;

static store::disk_settings in_folder(fs::path const& folder) {
    store::disk_settings settings;
    settings.directory = folder;
    return settings;
}

TEST_CASE("a user's own file is never overwritten", "[store]") {
    auto const content = make_sample({{"a", 131'072}, {"b", 65'536}});
    auto const size = GENERATE(std::size_t{5}, std::size_t{131'072}, std::size_t{200'000});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const own = random_bytes(size, 99);
    auto const a = content.root(settings.directory) / "a";
    write_file(a, own);
    for (int run = 0; run < 3; ++run) {  // nor by a run that comes later, and reads what the earlier ones wrote down
        auto const disk = open_store(content, settings);
        REQUIRE(disk->load().value().none());
        CHECK_FALSE(disk->check_piece(piece_index{0}).value());
        CHECK(receive(*disk, content, 0).error() == store::errc::foreign_file);
        CHECK(disk->close());
        CHECK(read_file(a) == own);
    }
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load());
    CHECK_FALSE(disk->check_piece(piece_index{0}).value());
    CHECK(receive(*disk, content, 0).error() == store::errc::foreign_file);
    CHECK(disk->last_failed_path() == a.string());
    auto const writer = disk->begin(piece_index{1});
    CHECK(disk->prepare(piece_index{1}).error() == store::errc::foreign_file);
    CHECK(read_file(a) == own);
    CHECK_FALSE(fs::exists(a.string() + ".part"));
    // Out of the way, the download goes on.
    fs::rename(a, folder.path() / "kept");
    CHECK(receive(*disk, content, 0).value());
}

TEST_CASE("a user's own file with the name of an incomplete one is never overwritten or cut", "[store]") {
    auto const kind = GENERATE(back_end::mapped, back_end::plain);
    auto const preallocate = GENERATE(true, false);
    auto const content = make_sample({{"a", 131'072}, {"b", 65'536}, {"empty", 0}});
    auto const size = GENERATE(std::size_t{5}, std::size_t{131'072}, std::size_t{200'000});
    temporary_folder folder;
    auto settings = settings_in(folder.path(), kind);
    settings.preallocate = preallocate;
    auto const own = random_bytes(size, 99);
    auto const part = content.root(settings.directory) / "a.part";
    auto const empty = content.root(settings.directory) / "empty.part";
    write_file(part, own);
    write_file(empty, own);
    auto const time = fs::last_write_time(part);
    {
        auto const disk = open_store(content, settings);
        REQUIRE(disk->load().value().none());
        CHECK_FALSE(disk->check_piece(piece_index{0}).value());
        for (int again = 0; again < 2; ++again) {
            CHECK(receive(*disk, content, 0).error() == store::errc::foreign_file);
            CHECK(disk->last_failed_path() == part.string());
        }
        auto const writer = disk->begin(piece_index{1});
        CHECK(disk->prepare(piece_index{1}).error() == store::errc::foreign_file);
        CHECK(receive(*disk, content, 2).value());  // the other file is not concerned
        CHECK(disk->complete_files().error() == store::errc::foreign_file);
        CHECK(disk->last_failed_path() == empty.string());
        REQUIRE(disk->close());
    }
    CHECK(read_file(part) == own);
    CHECK(read_file(empty) == own);
    CHECK(fs::last_write_time(part) == time);
    // Out of the way, the download goes on.
    fs::rename(part, folder.path() / "kept");
    fs::rename(empty, folder.path() / "kept too");
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().count() == 1);
    REQUIRE(receive(*disk, content, 0).value());
    REQUIRE(receive(*disk, content, 1).value());
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("an incomplete file is the torrent's own when the journal, a right piece or nothing in it says so",
          "[store]") {
    auto const content = make_sample({{"a", 262'144}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const part = content.root(settings.directory) / "a.part";
    auto const receive_half = [&] {
        auto const disk = open_store(content, settings);
        REQUIRE(disk->load());
        auto const writer = disk->begin(piece_index{1});
        auto blocks = blocks_of(content, piece_index{1});
        blocks.resize(2);
        REQUIRE(writer->write(blocks));
    };  // and gone without a word
    auto const can_go_on = [&] {
        auto const disk = open_store(content, settings);
        auto const held = disk->load().value();
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            if (!held.test(piece_index{piece})) (void)disk->check_piece(piece_index{piece});
        auto const received = receive(*disk, content, 1);
        if (!received) CHECK(received.error() == store::errc::foreign_file);
        return received.has_value();
    };
    SECTION("begun a moment ago: the journal has not heard of it, but it is there") {
        receive_half();
        CHECK(can_go_on());
    }
    SECTION("recorded") {
        {
            auto const disk = open_store(content, settings);
            REQUIRE(receive(*disk, content, 0).value());
            REQUIRE(disk->close());
        }
        CHECK(can_go_on());
    }
    SECTION("recorded, and then replaced by something else") {
        {
            auto const disk = open_store(content, settings);
            REQUIRE(receive(*disk, content, 0).value());
            REQUIRE(disk->close());
        }
        auto const own = random_bytes(262'144, 7);
        write_file(part, own);
        fs::last_write_time(part, fs::last_write_time(part) + std::chrono::seconds{5});
        for (int run = 0; run < 3; ++run) {  // nor does a later run forget what an earlier one has seen
            CHECK_FALSE(can_go_on());
            CHECK((read_file(part) == own));
        }
        fs::rename(part, folder.path() / "kept");
        receive_half();  // and ends at once
        CHECK(can_go_on());
    }
    SECTION("the journal is lost, and one piece is right") {
        {
            auto const disk = open_store(content, settings);
            REQUIRE(receive(*disk, content, 0).value());
            REQUIRE(disk->close());
        }
        fs::remove(settings.journal);
        CHECK(can_go_on());
    }
    SECTION("the journal is lost, and no piece is right: nobody can tell whose it is") {
        receive_half();
        fs::remove(settings.journal);
        CHECK_FALSE(can_go_on());
    }
    SECTION("no journal, and nothing was ever written") {
        write_file(part, {});
        CHECK(can_go_on());
    }
    SECTION("no journal, and space was reserved only") {
        write_file(part, {});
        fs::resize_file(part, 262'144);
        CHECK(can_go_on());
    }
}

TEST_CASE("a file that appears under the final name meanwhile is not replaced", "[store]") {
    auto const content = make_sample({{"a", 65'536}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const disk = open_store(content, settings);
    REQUIRE(receive(*disk, content, 0).value());
    auto const a = content.root(settings.directory) / "a";
    write_file(a, random_bytes(10, 1));
    CHECK(disk->complete_files().error() == store::errc::foreign_file);
    CHECK(read_file(a) == random_bytes(10, 1));
    CHECK_FALSE(disk->is_complete(0));
    fs::remove(a);
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("an existing file is adopted by its hashes, and mended under .part", "[store]") {
    auto const content = make_sample({{"a", 262'144}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    content.place(settings.directory);
    auto const a = content.root(settings.directory) / "a";
    auto spoilt = content.files.at("a");
    spoilt[70'000] ^= std::byte{1};
    write_file(a, spoilt);
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load().value().none());
    for (std::uint32_t piece = 0; piece < 4; ++piece)
        CHECK(disk->check_piece(piece_index{piece}).value() == (piece != 1));
    CHECK_FALSE(disk->is_complete(0));
    REQUIRE(receive(*disk, content, 1).value());
    CHECK(fs::exists(a.string() + ".part"));
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
    REQUIRE(disk->close());
    CHECK(open_store(content, settings)->load().value().all());
}

TEST_CASE("a complete download that is longer than the torrent says stays as it is", "[store]") {
    auto const content = make_sample({{"a", 65'536}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto longer = content.files.at("a");
    longer.resize(70'000);
    auto const a = content.root(settings.directory) / "a";
    write_file(a, longer);
    {
        auto const disk = open_store(content, settings);
        CHECK(disk->check_piece(piece_index{0}).value());
        CHECK(disk->complete_files().error() == store::errc::foreign_file);
        CHECK(read_file(a) == longer);
    }
    // A .part is the store's own, and is cut to its size.
    fs::rename(a, a.string() + ".part");
    auto const disk = open_store(content, settings);
    CHECK(disk->check_piece(piece_index{0}).value());
    REQUIRE(disk->complete_files());
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("no symbolic link is followed and no odd file opened", "[store]") {
    auto const content = make_sample({{"d/a", 65'536}});
    auto const what = GENERATE(0, 1, 2, 3, 4, 5, 6, 7);
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const root = content.root(settings.directory);
    auto const outside = folder.path() / "outside";
    write_file(outside / "a", random_bytes(65'536, 3));
    write_file(outside / "a.part", random_bytes(65'536, 3));
    fs::create_directories(root);
    switch (what) {
        case 0:  // the file's folder leads out
            fs::create_directory_symlink(outside, root / "d");
            break;
        case 1:  // the file itself
            fs::create_directory(root / "d");
            fs::create_symlink(outside / "a", root / "d/a");
            break;
        case 2:  // the incomplete file
            fs::create_directory(root / "d");
            fs::create_symlink(outside / "a.part", root / "d/a.part");
            break;
        case 3:  // the torrent's folder
            fs::remove(root);
            fs::create_directories(outside / "d");
            fs::create_directory_symlink(outside, root);
            break;
        case 4:
            write_file(root / "d", random_bytes(5, 1));
            break;  // a file where a folder should be
        case 5:
            fs::create_directories(root / "d/a.part");
            break;  // a folder where the file should be
        case 6:     // a pipe
            fs::create_directory(root / "d");
            REQUIRE(mkfifo((root / "d/a.part").c_str(), 0600) == 0);
            break;
        case 7:  // the file's folder leads to another one of the torrent
            fs::create_directory(root / "e");
            fs::create_directory_symlink("e", root / "d");
            break;
    }
    INFO(what);
    auto const expected = what < 4 || what == 7 ? store::errc::symbolic_link : store::errc::not_a_file;
    auto opened = store::chunk_store::open(content.torrent, settings);
    if (what == 3) {
        CHECK(opened.error() == expected);
    } else {
        auto const disk = std::move(opened.value());
        CHECK(receive(*disk, content, 0).error() == expected);
        auto const checked = disk->check_piece(piece_index{0});
        CHECK((!checked && checked.error() == expected));
    }
    CHECK(read_file(outside / "a") == random_bytes(65'536, 3));
    CHECK(read_file(outside / "a.part") == random_bytes(65'536, 3));
    CHECK(std::distance(fs::directory_iterator(outside), {}) == (what == 3 ? 3 : 2));
}

TEST_CASE("a store with more files than descriptors works on", "[store]") {
    std::vector<std::pair<std::string, std::size_t>> sizes;
    for (int i = 0; i < 60; ++i) sizes.emplace_back("f" + std::to_string(100 + i), 3'000);
    auto const content = make_sample(sizes, metainfo::format::v1, 16384);
    auto const budget = GENERATE(std::size_t{1}, std::size_t{4}, std::size_t{128});
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.open_files_max = budget;
    rlimit limit;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    auto const before = limit;
    limit.rlim_cur = static_cast<rlim_t>(std::distance(fs::directory_iterator("/proc/self/fd"), {})) + 20;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    download(content, settings);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(content.is_in(settings.directory));
}

TEST_CASE("a file that is deleted while it is received is made anew", "[store]") {
    auto const content = make_sample({{"a", 131'072}});
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    auto const part = content.root(settings.directory) / "a.part";
    auto const disk = open_store(content, settings);
    REQUIRE(disk->load());
    REQUIRE(receive(*disk, content, 0).value());
    fs::remove(part);
    disk->reopen(piece_index{0});
    disk->lost(piece_index{0});
    for (std::uint32_t piece = 0; piece < 2; ++piece) REQUIRE(receive(*disk, content, piece).value());
    REQUIRE(disk->complete_files());
    CHECK(read_file(content.root(settings.directory) / "a") == content.files.at("a"));
}

TEST_CASE("a full disk refuses pieces, loses nothing, and works on when there is space", "[store]") {
    auto const kind = GENERATE(back_end::mapped, back_end::plain);
    auto const preallocate = GENERATE(true, false);
    temporary_folder folder;
    auto const small = folder.path() / "small";
    fs::create_directory(small);
    if (geteuid() != 0 || mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m") != 0) {
        WARN("no tmpfs: the simulated disk alone covers this");
        return;
    }
    auto const content = make_sample({{"a", 400'000}, {"b", 400'000}});
    auto settings = settings_in(folder.path(), kind);
    settings.preallocate = preallocate;
    settings.directory = small / "downloads";
    auto const filler = small / "filler";
    write_file(filler, byte_vector(600'000));
    {
        auto const disk = open_store(content, settings);
        std::uint32_t refused = 0;
        for (std::uint32_t number = 0; number < content.count(); ++number) {
            auto const piece = piece_index{number};
            auto const writer = disk->begin(piece);
            auto const prepared = disk->prepare(piece);
            CHECK((prepared || prepared.error() == store::errc::no_space));
            auto const blocks = blocks_of(content, piece);
            auto const written = writer->write(blocks);
            CHECK((written || written.error() == store::errc::no_space));
            if (written)
                CHECK(writer->finish().value());
            else
                ++refused;
        }
        CHECK(refused > 0);
        CHECK(refused < content.count());
        REQUIRE(disk->sync());
        auto const held = disk->held();
        fs::remove(filler);
        for (std::uint32_t number = 0; number < content.count(); ++number)
            if (!held.test(piece_index{number})) CHECK(receive(*disk, content, number).value());
        REQUIRE(disk->complete_files());
        CHECK(content.is_in(settings.directory));
        REQUIRE(disk->close());
    }
    CHECK(umount(small.c_str()) == 0);
}

TEST_CASE("a file under its own name is written to only where all that stands there is taken over", "[store]") {
    auto const content = make_sample({{"a", 60'000}});
    temporary_folder folder;
    auto const path = content.root(folder.path()) / "a";
    content.place(folder.path());
    auto const files = store::open_disk_files(content.torrent, in_folder(folder.path())).value();
    REQUIRE(files->lock());
    for (auto const adopt : {store::adopting::nothing, store::adopting::incomplete}) {
        CHECK(files->open_for_writing(0, adopt, std::nullopt).error() == store::errc::foreign_file);
        CHECK(fs::exists(path));
    }
    REQUIRE(files->open_for_writing(0, store::adopting::all, std::nullopt));
    CHECK_FALSE(fs::exists(path));
    CHECK(fs::exists(path.string() + ".part"));
}

TEST_CASE("an incomplete file that was cut does not get its name", "[store]") {
    auto const content = make_sample({{"a", 60'000}});
    temporary_folder folder;
    auto const path = content.root(folder.path()) / "a";
    auto const part = path.string() + ".part";
    write_file(part, byte_view{content.files.at("a")}.first(59'999));
    auto const files = store::open_disk_files(content.torrent, in_folder(folder.path())).value();
    REQUIRE(files->lock());
    CHECK(files->complete(0, 60'000).error() == store::errc::truncated_file);
    CHECK_FALSE(fs::exists(path));
    write_file(part, content.files.at("a"));
    REQUIRE(files->complete(0, 60'000));
    CHECK(content.is_in(folder.path()));
}

TEST_CASE("new files are for others to read at most, and folders to enter", "[store]") {
    auto const content = make_sample({{"folder/a", 60'000}});
    temporary_folder folder;
    auto const before = ::umask(0);
    auto const files = store::open_disk_files(content.torrent, in_folder(folder.path() / "new")).value();
    bool const is_open = files->lock() && files->open_for_writing(0, store::adopting::nothing, std::nullopt);
    ::umask(before);
    REQUIRE(is_open);
    auto const made = content.root(folder.path() / "new") / "folder";
    CHECK(fs::status(made / "a.part").permissions() == fs::perms{0644});
    CHECK(fs::status(made).permissions() == fs::perms{0755});
}
