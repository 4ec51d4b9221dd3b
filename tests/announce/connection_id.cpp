#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>

import shoal.core;
import shoal.announce;

using namespace shoal;
using namespace shoal::announce;
using namespace std::chrono_literals;

TEST_CASE("a connection id holds for its address, its port and two minutes", "[announce]") {
    connection_ids const ids{{1, 2}};
    for (auto const text : {"192.0.2.1:1000", "[2001:db8::1]:1000"}) {
        auto const client = *endpoint::parse(text);
        auto const now = time_point{} + 100h;
        auto const id = ids.make(client, now);
        CHECK(ids.accepts(id, client, now));
        CHECK(ids.accepts(id, client, now + 119s));
        CHECK(ids.accepts(id, client, now + 120s));
        CHECK_FALSE(ids.accepts(id, client, now + 121s));
        CHECK_FALSE(ids.accepts(id, client, now + 10h));
        CHECK_FALSE(ids.accepts(id, client, now - 1s));  // made in the future
        CHECK_FALSE(ids.accepts(id, {client.address, 1001}, now));
        CHECK_FALSE(ids.accepts(id, {ip_address::v4({192, 0, 2, 2}), 1000}, now));
        for (int bit = 0; bit < 64; ++bit) CHECK_FALSE(ids.accepts(id ^ std::uint64_t{1} << bit, client, now));
        CHECK_FALSE(connection_ids{{1, 3}}.accepts(id, client, now));
        CHECK_FALSE(ids.accepts(0, client, now));
        CHECK_FALSE(ids.accepts(udp_protocol_id, client, now));
    }
}

TEST_CASE("a connection id holds across the end of its clock's ring", "[announce]") {
    connection_ids const ids{{1, 2}};
    auto const client = *endpoint::parse("192.0.2.1:1000");
    auto const before = time_point{} + 65'530s;
    CHECK(ids.accepts(ids.make(client, before), client, before + 100s));
    CHECK_FALSE(ids.accepts(ids.make(client, before), client, before + 121s));
}
