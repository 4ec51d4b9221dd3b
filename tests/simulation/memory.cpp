#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "support/counted_heap.hpp"

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
