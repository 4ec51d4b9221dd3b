#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "world.hpp"

using namespace simulated_world;

namespace {
/// Our node is to ask the DHT node on host 1, whose name is `router.test`.
struct world_with_router {
    explicit world_with_router(testing::content const& content) : here(content), router(start(1)) {
        with_dht.dht = true;
        with_dht.dht_routers = {{"router.test", port}};
    }
    std::unique_ptr<engine::node> start(std::size_t host) {
        engine::node_settings settings;
        settings.dht = true;
        auto started = std::make_unique<engine::node>(here.sim.host(host), here.sim.executor(), settings);
        (void)started->listen(here.at(host)).value();
        return started;
    }
    void end(engine::node& other) { CHECK(here.sim.run_to_end(other.stop(), 1min)); }

    world here;
    engine::node_settings with_dht;
    std::unique_ptr<engine::node> router;
};
}  // namespace

TEST_CASE("a router of the DHT whose name was answered wrongly at first is found later", "[simulation]") {
    auto const content = content_of(100'000);
    world_with_router all{content};
    auto& here = all.here;
    here.sim.name("router.test", here.sim.address_of(1));
    here.sim.spoil_names(GENERATE(testing::name_fault::is_wrong, testing::name_fault::fails));
    here.start({}, all.with_dht);
    here.sim.run_for(1min);
    CHECK(here.node->dht_nodes() == 0);
    here.sim.spoil_names(testing::name_fault::none);
    CHECK(here.sim.run_until([&] { return here.node->dht_nodes() > 0; }, 10min));
    here.end();
    all.end(*all.router);
}

TEST_CASE("a router of the DHT whose name led to a lonely node at first is found later", "[simulation]") {
    auto const content = content_of(100'000);
    world_with_router all{content};
    auto& here = all.here;
    auto const lonely = all.start(2);
    here.sim.name("router.test", here.sim.address_of(2));
    here.start({}, all.with_dht);
    CHECK(here.sim.run_until([&] { return here.node->dht_nodes() == 1; }, 1min));
    here.sim.name("router.test", here.sim.address_of(1));
    CHECK(here.sim.run_until([&] { return all.router->dht_nodes() > 0; }, 20min));
    here.end();
    all.end(*all.router);
    all.end(*lonely);
}
