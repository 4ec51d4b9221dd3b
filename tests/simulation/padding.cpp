#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <variant>
#include <vector>

#include "world.hpp"

using namespace simulated_world;

namespace {
/// A hybrid of two files. The first piece has a block of content, one of content and padding, and two of padding.
testing::content with_padding() {
    return testing::make_content({{"first", 20'000}, {"second", 100'000}},
                                 {.format = metainfo::format::hybrid, .piece_length = 4 * block_length});
}

/// A stranger gives all that it is asked for, and keeps it in mind.
void note_what_is_asked(world& here, std::vector<block_ref>& asked) {
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything());
        while (co_await self.hear()) {
            asked.insert(asked.end(), self.asked.begin(), self.asked.end());
            while (!self.asked.empty()) co_await self.answer();
            co_await self.send();
        }
    });
}
}  // namespace

TEST_CASE("what a peer sends in place of padding counts for nothing", "[simulation]") {
    auto const content = with_padding();
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

TEST_CASE("padding is not asked for", "[simulation]") {
    auto const content = with_padding();
    world here{content};
    std::vector<block_ref> asked;
    note_what_is_asked(here, asked);
    here.start({here.at(1)});
    CHECK(here.transfer->status().bytes_total == 120'000);
    CHECK(here.completes(1min));
    here.end();
    CHECK(asked.size() == 2 + 100'000 / block_length + 1);
    CHECK(std::ranges::none_of(
        asked, [](auto const& each) { return each.piece == piece_index{0} && each.begin >= 2 * block_length; }));
}

TEST_CASE("whoever alone sent a wrong piece with padding behind it is banned at once", "[simulation]") {
    auto const content = with_padding();
    world here{content};
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        self.is_liar = true;
        bitfield first{here.everything().size()};
        first.set(piece_index{0});
        co_await self.meet(at, first);
        co_await self.serve();
    });
    here.start({here.at(1)});
    auto const is_banned = [&] {
        return std::ranges::any_of(
            here.events, [](auto const& each) { return std::holds_alternative<engine::event::peer_banned>(each); });
    };
    CHECK(here.sim.run_until(is_banned, 1min));
    CHECK(std::ranges::count_if(here.events, [](auto const& each) {
              return std::holds_alternative<engine::event::piece_rejected>(each);
          }) == 1);
    here.end();
}

TEST_CASE("padding of more than 16 MiB behind a piece is asked for", "[simulation]") {
    constexpr std::uint32_t piece_length = 32 << 20;
    auto const content = testing::make_content({{"first", 1000}, {"second", 1000}},
                                               {.format = metainfo::format::hybrid, .piece_length = piece_length});
    world here{content};
    std::vector<block_ref> asked;
    note_what_is_asked(here, asked);
    here.start({here.at(1)});
    CHECK(here.completes(10min));
    here.end();
    CHECK(asked.size() == piece_length / block_length + 1);
}
