#include <catch2/catch.hpp>
#include <chrono>

import shoal.core;

using namespace shoal;
using namespace std::chrono_literals;

TEST_CASE("a budget allows its burst at once, and then its rate", "[core]") {
    budget left{{.burst = 5, .per_second = 10}};
    time_point now{1h};
    for (int i = 0; i < 5; ++i) CHECK(left.take(now));
    CHECK_FALSE(left.take(now));
    CHECK_FALSE(left.take(now + 99ms));
    CHECK(left.take(now + 100ms));
    CHECK_FALSE(left.take(now + 199ms));
    CHECK(left.take(now + 200ms));
}

TEST_CASE("a budget saves no more than its burst", "[core]") {
    budget left{{.burst = 5, .per_second = 10}};
    time_point const now{1h};
    CHECK(left.take(now, 5));
    CHECK_FALSE(left.is_full(now + 499ms));
    CHECK(left.is_full(now + 500ms));
    CHECK_FALSE(left.take(now + 10h, 6));
    CHECK(left.take(now + 10h, 5));
}

TEST_CASE("a budget that has too little gives nothing and keeps what it has", "[core]") {
    budget left{{.burst = 5, .per_second = 10}};
    time_point const now{1h};
    CHECK(left.take(now, 3));
    CHECK(left.has(now, 2));
    CHECK_FALSE(left.has(now, 3));
    CHECK_FALSE(left.take(now, 3));
    CHECK(left.take(now, 2));
}
