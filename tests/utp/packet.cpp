#include <catch2/catch.hpp>
import shoal.utp;
TEST_CASE("x", "[utp]") {
    CHECK_FALSE(shoal::utp::is_packet({}));
}
