#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "world.hpp"

// Many connections that want nothing but places, and who gets in all the same (classes C5, C6, C12, C14).
using namespace simulated_world;

namespace {
/// Shakes hands, says that it wants something, and reads what comes. Comes again at once when it is sent away.
net::task<void> sit(world& in, std::size_t host, std::uint32_t mark) {
    auto& outside = in.sim.host(host);
    for (;;) {
        stranger self{outside, in.content};
        auto stream = (co_await outside.network.connect(in.at(0), std::nullopt)).value();
        co_await self.greet(std::move(stream), in.content.torrent->swarm_hash(), mark);
        while (co_await self.hear());
        co_await outside.clock.sleep(500ms);
    }
}

/// Thirteen addresses with sixteen connections each want all the places of a transfer.
void fill_places(world& in) {
    for (std::uint32_t i = 0; i < 13 * engine::peers_per_address_max; ++i)
        in.sim.spawn("sit", sit(in, 20 + i / engine::peers_per_address_max, i + 1));
    in.sim.run_for(5s);
    REQUIRE(in.transfer->status().peers == engine::peers_max_default);
}

void start_seeding(world& here, engine::node_settings settings = {}) {
    here.disk->put("0", here.content.files[0]);
    here.is_writable = false;
    here.start({}, std::move(settings));
    here.sim.run_for(1s);
}
}  // namespace

TEST_CASE("a few addresses that fill all places of a seeder keep nobody from it", "[simulation]") {
    auto const content = content_of(2'000'000);
    world here{content};
    here.is_public = false;  // each has to get it from the seeder
    start_seeding(here);
    fill_places(here);
    std::vector<std::unique_ptr<leecher>> honest;
    for (std::size_t i = 1; i <= 5; ++i) honest.push_back(std::make_unique<leecher>(here, i, std::vector{here.at(0)}));
    CHECK(here.sim.run_until(
        [&] { return std::ranges::all_of(honest, [](auto const& each) { return each->is_complete(); }); }, 30s));
    CHECK(here.transfer->status().peers <= engine::peers_max_default);
}

TEST_CASE("a few addresses that fill all places of a leecher keep it from nobody", "[simulation]") {
    auto const content = content_of(1'000'000);
    world here{content};
    here.start({});
    here.sim.run_for(1s);
    fill_places(here);
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything());
        co_await self.serve();
    });
    here.transfer->connect({here.at(1)});
    CHECK(here.completes(30s));
}

TEST_CASE("a full transfer calls others, but nobody who would get no place", "[simulation]") {
    auto const content = content_of(1'000'000);
    world here{content};
    here.start({});
    here.sim.run_for(1s);
    constexpr auto most = static_cast<std::uint32_t>(engine::peers_max_default);
    for (std::uint32_t i = 0; i < most; ++i) here.sim.spawn("sit", sit(here, 20 + i / 2, i + 1));
    here.sim.run_for(5s);
    REQUIRE(here.transfer->status().peers == most);
    auto const count_calls = [](world& in, endpoint at, std::size_t host, std::size_t& count) -> net::task<void> {
        auto const listener = in.sim.host(host).network.listen(at).value();
        while (co_await listener->accept()) ++count;
    };
    std::size_t futile = 0, useful = 0;
    endpoint const beside{here.sim.address_of(20), 7000}, elsewhere{here.sim.address_of(1), 7000};
    here.sim.spawn("count", count_calls(here, beside, 20, futile));
    here.sim.spawn("count", count_calls(here, elsewhere, 1, useful));
    here.transfer->connect({beside, elsewhere});
    here.sim.run_for(1min);
    CHECK(futile == 0);
    CHECK(useful > 0);
}

TEST_CASE("of one address sixteen get in, and others still do", "[simulation]") {
    auto const content = content_of(1'000'000);
    world here{content};
    start_seeding(here);
    for (std::uint32_t i = 0; i < 2 * engine::peers_per_address_max; ++i) here.sim.spawn("sit", sit(here, 20, i + 1));
    here.sim.run_for(20s);
    CHECK(here.transfer->status().peers == engine::peers_per_address_max);
    leecher const honest{here, 1, {here.at(0)}};
    CHECK(here.sim.run_until([&] { return honest.is_complete(); }, 30s));
}

TEST_CASE("two peers that connect to each other at once keep one connection", "[simulation]") {
    auto const content = content_of(1'000'000);
    for (auto const latency : {1ms, 7ms, 40ms, 150ms}) {
        world here{content};
        here.sim.connect_by(0, {.latency = latency});
        here.disk->put("0", content.files[0]);
        here.is_writable = false;
        leecher other{here, 1, {here.at(0)}};
        other.listening();
        here.start({here.at(1)});
        CHECK(here.sim.run_until([&] { return other.is_complete(); }, 30s));
        here.sim.run_for(1min);
        std::size_t joined = 0;
        for (auto const& each : here.events) joined += std::holds_alternative<engine::event::peer_joined>(each);
        CHECK(joined <= 2);
    }
}

TEST_CASE("an address with sixteen sessions gets no more of a seed's limited upload than one with one session",
          "[simulation]") {
    auto const content = content_of(4'000'000);
    world here{content};
    here.is_public = false;
    start_seeding(here, {.upload_limit = 400'000});
    std::vector<std::unique_ptr<leecher>> thieves;
    for (std::size_t i = 0; i < 16; ++i) thieves.push_back(std::make_unique<leecher>(here, 2, std::vector{here.at(0)}));
    here.sim.run_for(15s);
    REQUIRE(here.transfer->status().peers == 16);
    leecher const honest{here, 1, {here.at(0)}};
    CHECK(here.sim.run_until([&] { return honest.is_complete(); }, 30s));  // 10 s alone, 170 s as one of seventeen
}

TEST_CASE("ten thousand connections that say nothing keep nobody from shaking hands", "[simulation]") {
    auto const content = content_of(100'000);
    world here{content};
    here.start({});
    std::size_t opened = 0;
    auto const hold = [](world& in, std::size_t host, std::size_t& count) -> net::task<void> {
        std::vector<std::unique_ptr<net::stream>> held;
        for (int i = 0; i < 200; ++i, ++count)
            held.push_back((co_await in.sim.host(host).network.connect(in.at(0), std::nullopt)).value());
        co_await in.sim.host(host).clock.sleep(1h);
    };
    for (std::size_t i = 0; i < 50; ++i) here.sim.spawn("hold", hold(here, 20 + i, opened));
    REQUIRE(here.sim.run_until([&] { return opened == 10'000; }, 8s));  // less than `handshake_timeout`
    bool is_heard = false;
    here.sim.spawn("greet", shake_hands(here, 1, is_heard));
    CHECK(here.sim.run_until([&] { return is_heard; }, 1s));
}
