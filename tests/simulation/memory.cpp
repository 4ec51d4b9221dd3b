#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <variant>

#include "support/counted_heap.hpp"
#include "support/failing_heap.hpp"

#include "world.hpp"

using namespace simulated_world;
namespace heap = counted_heap;

TEST_CASE("five hundred peers that ask and never read keep nobody from a seeder", "[simulation]") {
    auto const content = content_of(4'000'000);
    world here{content};
    here.disk->put("0", content.files[0]);
    here.is_writable = false;
    here.start({});
    here.sim.run_for(1s);
    byte_vector requests;
    for (std::uint32_t i = 0; i < 500; ++i)
        byte_writer{requests}
            .be(std::uint32_t{13})
            .be(std::uint8_t{6})
            .be(i % 100)
            .be(std::uint32_t{0})
            .be(std::uint32_t{block_length});
    auto const ask = [](world& in, std::size_t host, std::uint32_t mark, byte_view what) -> net::task<void> {
        stranger self{in.sim.host(host), in.content};
        auto stream = (co_await in.sim.host(host).network.connect(in.at(0), std::nullopt)).value();
        co_await self.greet(std::move(stream), in.content.torrent->swarm_hash(), mark);
        for (;;) {
            co_await self.send(what);  // again: what was asked while choked is refused
            co_await in.sim.host(host).clock.sleep(5s);
        }
    };
    heap::mark();
    auto const before = heap::in_use();
    for (std::uint32_t i = 0; i < 500; ++i) here.sim.spawn("ask", ask(here, 20 + i % 50, i + 1, requests));
    here.sim.run_for(1min);
    leecher const honest{here, 1, {here.at(0)}};
    CHECK(here.sim.run_until([&] { return honest.is_complete(); }, 1min));
    // What lies in the simulated sockets is none of the node's memory.
    constexpr auto in_sockets = engine::peers_max_default * 256 * 1024;
    CHECK(heap::peak() - before < in_sockets + engine::send_budget + (32u << 20));
}

TEST_CASE("whatever there is no memory for, a piece that was refused and is right now is had", "[simulation]") {
    // One piece of two blocks: a liar gives one of them wrong, and others give the rest.
    auto const content = testing::make_content({{"one", 2 * block_length}},
                                               {.format = metainfo::format::v1, .piece_length = 2 * block_length});
    auto const has = [](world const& in, auto const& is_it) { return std::ranges::any_of(in.events, is_it); };
    bool has_failed = true;
    for (std::size_t n = 1; has_failed; ++n) {
        INFO("allocation " << n);
        world here{content};
        bool has_lied = false;
        here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
            self.is_liar = true;
            co_await self.meet(at, here.everything());
            while (self.asked.empty())
                if (!co_await self.hear()) co_return;
            co_await self.answer();
            has_lied = true;
            co_await here.sim.host(1).clock.sleep(24h);
        });
        for (std::size_t const host : {2, 3}) {
            auto& outside = here.sim.host(host);
            testing::lie const none{.seed = host, .right_first = UINT32_MAX};
            here.sim.spawn("give",
                           testing::serve_lies(outside, outside.network.listen(here.at(host)).value(), content, none));
        }
        here.start({here.at(1)});
        REQUIRE(here.sim.run_until([&] { return has_lied; }, 1min));
        here.transfer->connect({here.at(2), here.at(3)});
        REQUIRE(here.sim.run_until(
            [&] {
                return has(
                    here, [](auto const& each) { return std::holds_alternative<engine::event::piece_rejected>(each); });
            },
            1min));
        failing_heap::fail(n);
        bool is_complete = false;
        for (int tries = 0; tries < 2 && !is_complete; ++tries) {
            try {
                is_complete = here.completes(10min);
            } catch (std::bad_alloc const&) {}  // of one of those who give
        }
        has_failed = failing_heap::has_failed();
        failing_heap::fail(0);
        CHECK(is_complete);
        if (!has_failed)
            CHECK(has(here, [](auto const& each) { return std::holds_alternative<engine::event::peer_banned>(each); }));
    }
}
