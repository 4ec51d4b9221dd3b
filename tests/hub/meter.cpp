#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>

import shoal.core;
import shoal.hub;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
ip_address v4(std::uint32_t number) {
    return ip_address::v4({10, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                           static_cast<std::uint8_t>(number)});
}
}  // namespace

TEST_CASE("an address may ask at its rate and ten seconds' worth at once", "[hub]") {
    hub::meter limit{5, {1, 2}};
    auto now = time_point{} + 1h;
    for (int i = 0; i < 50; ++i) CHECK(limit.admit(v4(1), now));
    CHECK_FALSE(limit.admit(v4(1), now));
    CHECK(limit.admit(v4(2), now));
    now += 1s;
    int admitted = 0;
    for (int i = 0; i < 20; ++i) admitted += limit.admit(v4(1), now) ? 1 : 0;
    CHECK(admitted == 5);
    now += 100h;
    for (int i = 0; i < 50; ++i) CHECK(limit.admit(v4(1), now));
    CHECK_FALSE(limit.admit(v4(1), now));
}

TEST_CASE("a slow rate is not lost in rounding", "[hub]") {
    hub::meter limit{1, {1, 2}};
    auto now = time_point{} + 1h;
    while (limit.admit(v4(1), now)) {}
    int admitted = 0;
    for (int i = 0; i < 10'000; ++i) admitted += limit.admit(v4(1), now += 1ms) ? 1 : 0;
    CHECK(admitted >= 9);
    CHECK(admitted <= 11);
}

TEST_CASE("the addresses of an IPv6 customer count as one", "[hub]") {
    hub::meter limit{1, {1, 2}};
    for (int i = 0; i < 10; ++i) CHECK(limit.admit(*ip_address::parse("2001:db8::1"), time_point{}));
    CHECK_FALSE(limit.admit(*ip_address::parse("2001:db8::2"), time_point{}));
    CHECK(limit.admit(*ip_address::parse("2001:db8:0:1::2"), time_point{}));
}

TEST_CASE("an IPv6 site has as much as four of its customers", "[hub]") {
    hub::meter limit{1, {1, 2}};
    auto const customer = [](unsigned n, unsigned site = 8) {
        return *ip_address::parse("2001:db8:" + std::to_string(site) + ":" + std::to_string(n) + "::1");
    };
    int admitted = 0;
    for (unsigned n = 0; n < 1000; ++n) admitted += limit.admit(customer(n), time_point{}) ? 1 : 0;
    CHECK(admitted == 40);  // ten seconds' worth of each
    CHECK(limit.admit(customer(0, 9), time_point{}));
    CHECK(limit.admit(customer(2000), time_point{1s}));
}

TEST_CASE("busy addresses hardly ever hold up others", "[hub]") {
    hub::meter limit{1, {1, 2}};
    for (std::uint32_t i = 0; i < 1000; ++i)
        for (int request = 0; request < 100; ++request) limit.admit(v4(i), time_point{});
    int refused = 0;
    for (std::uint32_t i = 2000; i < 12'000; ++i) refused += limit.admit(v4(i), time_point{}) ? 0 : 1;
    CHECK(refused < 30);  // (2000 / 65536)^2 of 10 000 are 10
}

TEST_CASE("without a rate everything passes", "[hub]") {
    hub::meter limit{0, {1, 2}};
    for (int i = 0; i < 1000; ++i) CHECK(limit.admit(v4(1), time_point{}));
}
