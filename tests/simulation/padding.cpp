#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <variant>

#include "world.hpp"

using namespace simulated_world;

TEST_CASE("what a peer sends in place of padding counts for nothing", "[simulation]") {
    auto const content = testing::make_content({{"first", 20'000}, {"second", 100'000}},
                                               {.format = metainfo::format::hybrid, .piece_length = 2 * block_length});
    world here{content};
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        self.spoils_padding = true;
        co_await self.meet(at, here.everything());
        co_await self.serve();
    });
    here.start({here.at(1)});
    CHECK(here.completes(1min));
    CHECK(std::ranges::none_of(here.events, [](auto const& each) {
        return std::holds_alternative<engine::event::piece_rejected>(each) ||
               std::holds_alternative<engine::event::peer_banned>(each);
    }));
    here.end();
}
