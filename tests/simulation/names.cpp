#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "world.hpp"

using namespace simulated_world;

TEST_CASE("a router of the DHT whose name was answered wrongly at first is found later", "[simulation]") {
    auto const content = content_of(100'000);
    world here{content};
    engine::node_settings with_dht;
    with_dht.dht = true;
    engine::node router{here.sim.host(1), here.sim.executor(), with_dht};
    (void)router.listen(here.at(1)).value();
    here.sim.name("router.test", here.sim.address_of(1));
    here.sim.spoil_names(GENERATE(testing::name_fault::is_wrong, testing::name_fault::fails));
    with_dht.dht_routers = {{"router.test", port}};
    here.start({}, with_dht);
    here.sim.run_for(1min);
    CHECK(here.node->dht_nodes() == 0);
    here.sim.spoil_names(testing::name_fault::none);
    CHECK(here.sim.run_until([&] { return here.node->dht_nodes() > 0; }, 10min));
    here.end();
    CHECK(here.sim.run_to_end(router.stop(), 1min));
}

TEST_CASE("a router of the DHT whose name led to a lonely node at first is found later", "[simulation]") {
    auto const content = content_of(100'000);
    world here{content};
    engine::node_settings with_dht;
    with_dht.dht = true;
    engine::node router{here.sim.host(1), here.sim.executor(), with_dht};
    (void)router.listen(here.at(1)).value();
    engine::node lonely{here.sim.host(2), here.sim.executor(), with_dht};
    (void)lonely.listen(here.at(2)).value();
    here.sim.name("router.test", here.sim.address_of(2));
    with_dht.dht_routers = {{"router.test", port}};
    here.start({}, with_dht);
    CHECK(here.sim.run_until([&] { return here.node->dht_nodes() == 1; }, 1min));
    here.sim.name("router.test", here.sim.address_of(1));
    CHECK(here.sim.run_until([&] { return router.dht_nodes() > 0; }, 20min));
    here.end();
    CHECK(here.sim.run_to_end(router.stop(), 1min));
    CHECK(here.sim.run_to_end(lonely.stop(), 1min));
}
