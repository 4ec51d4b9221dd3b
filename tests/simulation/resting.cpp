#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <vector>

#include "world.hpp"

// Torrents that nobody asks for, of which a node may have thousands.
using namespace simulated_world;

TEST_CASE("a seeder that nobody asks does next to nothing, and serves whoever comes at once", "[simulation]") {
    auto const content = content_of(1'000'000);
    std::size_t wakes = 0;
    world here{content};
    here.is_public = false;  // neither the DHT nor the local network
    here.disk->put("0", content.files[0]);
    here.is_writable = false;
    here.start({});
    here.sim.run_for(1min);

    here.sim.after_each_handler([&] { ++wakes; });
    here.sim.run_for(1h);
    INFO("steps: " << wakes);
    CHECK(wakes < 3600);  // a look at the files each 5 s takes some

    leecher newcomer{here, 1, std::vector{here.at(0)}};
    CHECK(here.sim.run_until([&] { return newcomer.is_complete(); }, 5s));
}
