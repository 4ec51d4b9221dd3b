#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>

import shoal.core;

using namespace shoal;

TEST_CASE("siphash gives the values of its paper and reference code", "[core]") {
    siphash_key const key{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
    byte_vector message;
    for (int i = 0; i < 15; ++i) message.push_back(static_cast<std::byte>(i));
    CHECK(siphash(key, message) == 0xa129ca6149be45e5U);  // appendix A of the paper
    CHECK(siphash(key, {}) == 0x726fdb47dd0e0e31U);
    CHECK(siphash(key, byte_view{message}.first(8)) == 0x93f5f5799a932462U);
}
