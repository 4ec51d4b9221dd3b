#include <catch2/catch.hpp>
#include <string>
#include <tuple>

#include "network.hpp"

namespace {
using namespace shoal;

dht::node_id id_of(std::string const& hex) {
    return *dht::node_id::from(*from_hex(hex));
}
}  // namespace

TEST_CASE("ids are tied to addresses as the vectors of BEP 42 say", "[dht]") {
    auto const [address, hex] = GENERATE(table<std::string, std::string>({
        {"124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"},
        {"21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"},
        {"65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"},
        {"84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"},
        {"43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"},
    }));
    auto const where = *ip_address::parse(address);
    CHECK(dht::is_tied(id_of(hex), where));
    auto other = id_of(hex);
    other.bytes[1] ^= std::byte{1};
    CHECK_FALSE(dht::is_tied(other, where));
    dht::tie_to(other, where);
    CHECK(dht::is_tied(other, where));
    CHECK(dht::is_tied(id_of(hex), *ip_address::parse("10.1.2.3")));  // anybody's on a local network
}

TEST_CASE("an id tied to an IPv6 address depends on its first 64 bits alone", "[dht]") {
    auto id = id_of("0000000000000000000000000000000000000005");
    dht::tie_to(id, *ip_address::parse("2001:db8:1:2::1"));
    CHECK(dht::is_tied(id, *ip_address::parse("2001:db8:1:2:ffff::9")));
    CHECK_FALSE(dht::is_tied(id, *ip_address::parse("2001:db8:1:3::1")));
}

TEST_CASE("distance is exclusive or, the most significant bit first", "[dht]") {
    auto const target = id_of("8000000000000000000000000000000000000000");
    auto const near = id_of("8000000000000000000000000000000000000001");
    auto const far = id_of("0000000000000000000000000000000000000000");
    CHECK(dht::is_nearer(target, near, far));
    CHECK_FALSE(dht::is_nearer(target, far, near));
    CHECK_FALSE(dht::is_nearer(target, near, near));
    CHECK(dht::common_prefix(target, near) == 159);
    CHECK(dht::common_prefix(target, far) == 0);
    CHECK(dht::common_prefix(target, target) == 160);
}

TEST_CASE("no node and no peer is at an address that nobody can have", "[dht]") {
    for (auto const* text : {"1.2.3.4:0", "0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "240.0.0.1:9",
                             "[ff02::1]:5", "[::]:5"})
        CHECK_FALSE(dht::is_usable(*endpoint::parse(text)));
    for (auto const* text : {"1.2.3.4:1", "127.0.0.1:1", "192.168.0.1:80", "[2001:db8::1]:5"})
        CHECK(dht::is_usable(*endpoint::parse(text)));
}
