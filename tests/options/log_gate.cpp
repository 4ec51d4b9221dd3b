#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>

import shoal.core;
import shoal.options;

using namespace shoal;
using namespace std::chrono_literals;

TEST_CASE("of a flood of log lines some pass, and the next that does tells how many did not", "[options]") {
    options::log_gate gate{{.burst = 3, .per_second = 2}};
    time_point now{1h};
    for (int line = 0; line < 3; ++line) CHECK(gate.admit(now) == std::uint64_t{0});
    for (int line = 0; line < 1000; ++line) CHECK_FALSE(gate.admit(now));
    CHECK(gate.left_out() == 1000);
    now += 500ms;
    CHECK(gate.admit(now) == std::uint64_t{1000});
    CHECK(gate.left_out() == 0);
    CHECK_FALSE(gate.admit(now));
    now += 10s;
    CHECK(gate.admit(now) == std::uint64_t{1});
    CHECK(gate.admit(now) == std::uint64_t{0});
}

TEST_CASE("what was left out is said in a sentence", "[options]") {
    CHECK(options::left_out_line(1) == "1 line was left out here: too many at once");
    CHECK(options::left_out_line(20) == "20 lines were left out here: too many at once");
}
