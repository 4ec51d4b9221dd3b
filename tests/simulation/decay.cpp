#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>

#include "support/failing_heap.hpp"

#include "troubled_files.hpp"
#include "world.hpp"

using namespace simulated_world;
using simulated_swarm::disk_troubles;
using simulated_swarm::troubled_files;

TEST_CASE("what a disk has lost of a finished file is fetched again when somebody asks for it", "[simulation]") {
    auto const unreadable_for = GENERATE(1U, 2U, 5U);  // calls
    auto const content = content_of(400'000);
    world seed{content};
    seed.disk->put("0", content.files[0]);
    seed.is_writable = false;
    seed.start({});
    auto const disk = std::make_shared<store::simulated_disk>(3);
    auto const troubles = std::make_shared<disk_troubles>();
    engine::node node{seed.sim.host(1), seed.sim.executor(), {}};
    (void)node.listen(seed.at(1)).value();
    engine::transfer_options options;
    options.files = std::make_shared<troubled_files>(disk, troubles, [](auto, auto, auto) {});
    options.connect = {seed.at(0)};
    auto const finished = node.add(content.torrent, std::move(options)).value();
    auto const is_complete = [&] { return finished->status().state == engine::transfer_state::seeding; };
    CHECK(seed.sim.run_until(is_complete, 1min));
    seed.sim.run_for(1min);
    troubles->mark = std::byte{1};
    troubles->rotten.emplace(0, 100);
    troubles->failing_reads = unreadable_for;
    {
        leecher const newcomer{seed, 2, {seed.at(1)}};
        CHECK(seed.sim.run_until([&] { return newcomer.is_complete(); }, 30min));
    }
    CHECK(troubles->rotten.empty());
    CHECK(seed.sim.run_until(is_complete, 1min));
    CHECK(seed.sim.run_to_end(node.stop(), 1min));
}

TEST_CASE("a transfer that ran out of memory while its disk failed goes on when the disk does", "[simulation]") {
    auto const content = content_of(400'000);
    auto const n = GENERATE(range(1, 60));
    world here{content};
    here.disk->put("0", content.files[0]);
    here.is_writable = false;
    here.start({});
    auto const disk = std::make_shared<store::simulated_disk>(3);
    engine::node node{here.sim.host(1), here.sim.executor(), {}};
    engine::transfer_options options;
    options.files = std::make_shared<troubled_files>(disk, std::make_shared<disk_troubles>(), [](auto, auto, auto) {});
    options.connect = {here.at(0)};
    auto const fetched = node.add(content.torrent, std::move(options)).value();
    auto const is = [&](engine::transfer_state state) { return fetched->status().state == state; };
    CHECK(here.sim.run_until([&] { return fetched->status().pieces_have > 0; }, 1min));
    disk->fail(1, EIO, 3);
    (void)here.sim.run_until([&] { return is(engine::transfer_state::failed); }, 1min);
    failing_heap::fail(static_cast<std::size_t>(n));
    CHECK(here.sim.run_until([&] { return is(engine::transfer_state::seeding); }, 10min));
    failing_heap::fail(0);
    CHECK(here.sim.run_to_end(node.stop(), 1min));
}
