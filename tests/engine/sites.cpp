#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "fixture.hpp"

import shoal.wire;
using namespace fixture;

// Class M8: whoever has a /48 of IPv6 has 65,536 networks of a /64, and is one all the same.
namespace {
/// In network `n` of a /48.
ip_address in_site(std::uint8_t site, std::uint8_t n) {
    return ip_address::v6({0x20, 0x01, 0x0d, 0xb8, 0, site, 0, n, 0, 0, 0, 0, 0, 0, 0, 1});
}

/// Names a torrent that nobody has, and counts itself out when it is sent away.
net::task<void> ask_for_nothing(net::environment& outside, endpoint at, std::size_t& waiting) {
    auto const stream = (co_await outside.network.connect(at, std::nullopt)).value();
    ++waiting;
    wire::handshake hello;
    hello.hash.bytes.fill(std::byte{9});
    std::array<std::byte, 1> ignored{};
    if (co_await stream->write_all(wire::encode(hello))) (void)co_await stream->read_some(ignored);
    --waiting;
}
}  // namespace

TEST_CASE("strangers of one site wait at the door as four customers do, and leave room for others", "[engine]") {
    testing::simulation world{1};
    constexpr std::uint8_t networks = 20;
    for (std::uint8_t n = 1; n <= networks; ++n) world.place(n, in_site(1, n));
    world.place(networks + 1, in_site(2, 1));
    auto& here = world.host(0);
    engine::node ours{here, world.executor(), {.utp = false}};
    auto const at = ours.listen({world.address_of(0), 6881}).value();
    std::size_t waiting = 0, other = 0;
    for (std::uint8_t n = 1; n <= networks; ++n) world.spawn("stranger", ask_for_nothing(world.host(n), at, waiting));
    world.run_for(1s);
    CHECK(waiting == customers_of_site_max * engine::unnamed_per_address_max);
    world.spawn("another", ask_for_nothing(world.host(networks + 1), at, other));
    world.run_for(1s);
    CHECK(other == 1);
    CHECK(world.run_to_end(ours.stop(), 10s));
}

TEST_CASE("of a site that is heard of in a hundred networks four customers' shares are tried", "[engine]") {
    testing::simulation world{1};
    auto const content = testing::make_content({{"one", 65536}}, {.piece_length = 32768});
    testing::temporary_folder to;
    auto& inner = world.host(0);
    watched_network network{inner.network};
    net::environment seen{inner.clock, network, inner.random, inner.workers};
    engine::node leecher{seen, world.executor(), {.utp = false}};
    auto options = fetching(to.path(), {});
    for (std::uint8_t n = 1; n <= 100; ++n) options.hearsay.push_back({in_site(1, n), 6881});
    endpoint const other{in_site(2, 1), 6881};
    options.hearsay.push_back(other);
    auto const added = leecher.add(content.torrent, options);
    REQUIRE(added);
    world.run_for(5min);
    CHECK(network.tried.contains(other));
    CHECK(network.tried.size() == customers_of_site_max * engine::hearsay_per_address_max + 1);
    CHECK(world.run_to_end(leecher.stop(), 10s));
}
