#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "fixture.hpp"
using namespace fixture;

namespace {
constexpr std::uint32_t piece_length = 32 * 1024;
constexpr auto interval = 1h;  // one scrub

/// One bit falls over, and the file system knows nothing of it.
void lose_a_bit(fs::path const& path, std::uint32_t piece) {
    auto const time = fs::last_write_time(path);
    {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(piece * piece_length + 5);
        auto const was = static_cast<char>(file.get());
        file.seekp(piece * piece_length + 5);
        file.put(static_cast<char>(was ^ 1));
    }
    fs::last_write_time(path, time);
}

/// Two nodes of which one has all of it; `decays` is where a bit is lost, and `other` has it all too where it is asked
/// to.
struct party {
    testing::simulation world{3};
    testing::temporary_folder first, second;
    testing::content const content =
        testing::make_content({{"one", 20 * piece_length}}, {.piece_length = piece_length});
    happenings events;
    engine::node decaying{world.host(0), world.executor(), {.scrub_interval = interval}};
    engine::node other{world.host(1), world.executor(), {.scrub_interval = 0s}};

    std::shared_ptr<engine::transfer> start(bool is_writable) {
        content.place(first.path());
        transfer_options options = is_writable ? fetching(first.path()) : giving(first.path());
        options.storage.journal = second.path() / "journal";  // so that it is noticed who changes files
        options.on_event = events.keep();
        auto made = decaying.add(content.torrent, std::move(options)).value();
        CHECK(world.run_until([&] { return made->status().pieces_have == 20; }, 1min));
        world.run_for(1min);  // recorded, and under its own name
        return made;
    }
    void end() {
        CHECK(world.run_to_end(decaying.stop(), 10s));
        CHECK(world.run_to_end(other.stop(), 10s));
    }
};
}  // namespace

TEST_CASE("a bit that the disk loses is noticed within one scrub, and the piece fetched again", "[engine][scrub]") {
    party here;
    auto const fetched = here.start(true);
    here.content.place(here.second.path());
    auto const at = here.other.listen({here.world.address_of(1), 6881}).value();
    (void)here.other.add(here.content.torrent, giving(here.second.path())).value();
    lose_a_bit(here.content.path_of(here.first.path(), 0), 7);
    CHECK_FALSE(here.content.is_in(here.first.path()));
    fetched->connect({at});
    CHECK(here.world.run_until([&] { return !here.events.all<engine::event::piece_decayed>().empty(); },
                               interval + 1min));
    CHECK(here.world.run_until([&] { return fetched->status().pieces_have == 20; }, 5min));
    here.world.run_for(1min);
    CHECK(here.content.is_in(here.first.path()));
    CHECK(fetched->status().state == engine::transfer_state::seeding);
    REQUIRE(here.events.all<engine::event::piece_decayed>().size() == 1);
    CHECK(to_number(here.events.all<engine::event::piece_decayed>().front().piece) == 7);
    here.end();
}

TEST_CASE("who only gives away offers a decayed piece no longer, and leaves the file alone", "[engine][scrub]") {
    party here;
    auto const given = here.start(false);
    auto const file = here.content.path_of(here.first.path(), 0);
    lose_a_bit(file, 3);
    CHECK(here.world.run_until([&] { return given->status().pieces_have == 19; }, interval + 1min));
    CHECK(given->status().error == store::errc::decayed);
    lose_a_bit(file, 3);  // it is as it was: somebody put a copy there
    fs::last_write_time(file, fs::last_write_time(file) + 1s);
    CHECK(here.world.run_until([&] { return given->status().pieces_have == 20; }, 5min));
    here.end();
}

TEST_CASE("a file that somebody changes between two looks is not taken for one that decayed", "[engine][scrub]") {
    party here;
    auto const given = here.start(false);
    auto const file = here.content.path_of(here.first.path(), 0);
    for (std::uint32_t piece = 0; piece < 20; ++piece) lose_a_bit(file, piece);
    fs::last_write_time(file, fs::last_write_time(file) + 1s);
    CHECK(here.world.run_until([&] { return given->status().pieces_have == 0; }, interval));
    CHECK(here.events.all<engine::event::piece_decayed>().empty());
    CHECK(given->status().error == store::errc::changed_file);
    here.end();
}

TEST_CASE("all that is right stays, and without an interval nothing is read", "[engine][scrub]") {
    party here;
    auto const fetched = here.start(true);
    here.content.place(here.second.path());
    auto const left_alone = here.other.add(here.content.torrent, giving(here.second.path())).value();
    here.world.run_for(1min);
    lose_a_bit(here.content.path_of(here.second.path(), 0), 0);
    here.world.run_for(3 * interval);
    CHECK(here.events.all<engine::event::piece_decayed>().empty());
    CHECK(fetched->status().pieces_have == 20);
    CHECK(left_alone->status().pieces_have == 20);
    here.end();
}
