#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

// Class L6: what the kernel is told of pages changes no byte.
TEST_CASE("no hint to the system changes a byte, in whatever order and wherever it is given", "[store]") {
    constexpr std::uint32_t size = 600'001;  // no whole number of pages
    temporary_folder here;
    auto const content = make_sample({{"a", size}}, metainfo::format::v1, 16384);
    store::disk_settings settings;
    settings.directory = here.path();
    auto const files = store::open_disk_files(content.torrent, settings).value();
    REQUIRE(files->lock());
    REQUIRE(files->open_for_writing(0, store::adopting::nothing, std::nullopt));
    byte_vector expected(size);
    REQUIRE(files->write(0, 0, std::vector<byte_view>{expected}));
    std::mt19937_64 random(11);
    auto const below = [&](std::uint64_t bound) { return random() % bound; };
    std::vector<store::mapped_bytes> windows;
    byte_vector got(size);
    for (int step = 0; step < 300; ++step) {
        auto const begin = below(size);
        auto const length = 1 + below(std::min<std::uint64_t>(size - begin, 100'000));
        auto const part = mutable_byte_view{expected}.subspan(begin, length);
        switch (below(6)) {
            case 0: {  // written, and not on disk yet
                auto const fresh = random_bytes(length, random());
                std::ranges::copy(fresh, part.begin());
                REQUIRE(files->write(0, begin, std::vector<byte_view>{fresh}));
                break;
            }
            case 1: {  // received into a window
                auto window = files->prepare(0, begin, length).value();
                REQUIRE(window);
                auto const fresh = random_bytes(window->bytes.size(), random());
                std::ranges::copy(fresh, window->bytes.begin());
                std::ranges::copy(fresh, part.begin());
                windows.push_back(std::move(*window));
                break;
            }
            case 2:
                files->map_for_reading(0, begin, length);
                break;
            case 3:
                if (auto const seen = files->resident(0, begin, length)) CHECK(std::ranges::equal(seen->bytes, part));
                break;
            case 4:
                REQUIRE(files->drop_cache(0));
                REQUIRE(files->open_for_writing(0, store::adopting::incomplete, std::nullopt));
                break;
            default:
                windows.clear();
        }
        REQUIRE(files->read(0, 0, got));
        REQUIRE(got == expected);
    }
}

TEST_CASE("what is cached of a file that cannot be opened may stay, and the caller is told", "[store]") {
    temporary_folder here;
    auto const content = make_sample({{"a", 20'000}});
    store::disk_settings settings;
    settings.directory = here.path();
    settings.writable = false;
    auto const files = store::open_disk_files(content.torrent, settings).value();
    CHECK(files->drop_cache(0));  // there is none
    content.place(here.path());
    CHECK(files->drop_cache(0));
    auto const path = content.root(here.path()) / "a";
    fs::remove(path);
    fs::create_symlink("b", path);
    CHECK(files->drop_cache(0).error() == store::errc::symbolic_link);
}
