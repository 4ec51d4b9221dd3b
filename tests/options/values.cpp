#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

import shoal.core;
import shoal.options;

using namespace shoal;
using namespace std::chrono_literals;

TEST_CASE("sizes are bytes or have a unit of 1024 or of 1000", "[options]") {
    using options::parse_size;
    CHECK(parse_size("0") == 0U);
    CHECK(parse_size("512") == 512U);
    CHECK(parse_size("16KiB") == 16384U);
    CHECK(parse_size("1MiB") == 1048576U);
    CHECK(parse_size("2GiB") == 2147483648U);
    CHECK(parse_size("1TiB") == 1099511627776U);
    CHECK(parse_size("5kB") == 5000U);
    CHECK(parse_size("5MB") == 5'000'000U);
    CHECK(parse_size("5GB") == 5'000'000'000U);
    CHECK(parse_size("5TB") == 5'000'000'000'000U);
    CHECK(parse_size("9223372036854775807") == 9223372036854775807U);
    for (std::string_view const wrong : {"", "KiB", "-1", "+1", "1kib", "1 MiB", "1K", "1.5MiB", "0x10", "1MiBs", " 1",
                                         "9223372036854775808", "9007199254740992KiB", "99999999999999999999TB"}) {
        INFO(wrong);
        CHECK_FALSE(parse_size(wrong));
    }
    CHECK(options::parse_rate("2MiB/s") == 2097152U);
    CHECK(options::parse_rate("2MiB") == 2097152U);
    CHECK_FALSE(options::parse_rate("/s"));
}

TEST_CASE("durations have a unit", "[options]") {
    using options::parse_duration;
    CHECK(parse_duration("500ms") == 500ms);
    CHECK(parse_duration("30s") == 30s);
    CHECK(parse_duration("5m") == 5min);
    CHECK(parse_duration("2h") == 2h);
    CHECK(parse_duration("0s") == 0s);
    for (std::string_view const wrong :
         {"", "5", "s", "-1s", "1.5h", "1 s", "1d", "1h30m", "99999999999999999999s", "9999999h"}) {
        INFO(wrong);
        CHECK_FALSE(parse_duration(wrong));
    }
}

TEST_CASE("addresses have a port", "[options]") {
    CHECK(options::parse_address("0.0.0.0:6969") == endpoint{ip_address::v4({0, 0, 0, 0}), 6969});
    CHECK(options::parse_address("[::]:0")->port == 0);
    CHECK_FALSE(options::parse_address("6969"));
    CHECK_FALSE(options::parse_address("::1:80"));
    CHECK_FALSE(options::parse_address("1.2.3.4:65536"));
}
