#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

import shoal.core;

using namespace shoal;

namespace {
constexpr siphash_key paper_key{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};

/// The message of the paper's test vectors: 0, 1, 2...
byte_vector counting(std::size_t length) {
    byte_vector message;
    for (std::size_t i = 0; i < length; ++i) message.push_back(static_cast<std::byte>(i));
    return message;
}
}  // namespace

TEST_CASE("siphash gives the value of its paper", "[core]") {
    CHECK(siphash(paper_key, counting(15)) == 0xa129ca6149be45e5U);  // appendix A
}

TEST_CASE("siphash agrees with OpenSSL's at every length around its words", "[core]") {
    // openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:8 SIPHASH, bytes in order
    std::vector<std::uint64_t> const expected{
        0x310e0edd47db6f72, 0xfd67dc93c539f874, 0x5a4fa9d909806c0d, 0x2d7efbd796666785, 0xb7877127e09427cf,
        0x8da699cd64557618, 0xcee3fe586e46c9cb, 0x37d1018bf50002ab, 0x6224939a79f5f593, 0xb0e4a90bdf82009e,
        0xf3b9dd94c5bb5d7a, 0xa7ad6b22462fb3f4, 0xfbe50e86bc8f1e75, 0x903d84c02756ea14, 0xeef27a8e90ca23f7,
        0xe545be4961ca29a1, 0xdb9bc2577fcc2a3f, 0x9447be2cf5e99a69};
    for (std::size_t length = 0; length < expected.size(); ++length) {
        CAPTURE(length);
        CHECK(siphash(paper_key, counting(length)) == __builtin_bswap64(expected[length]));
    }
}

TEST_CASE("siphash tells runs of zeros apart by their length, and keys by either half", "[core]") {
    std::set<std::uint64_t> values;
    for (std::size_t length = 0; length < 32; ++length) values.insert(siphash(paper_key, byte_vector(length)));
    CHECK(values.size() == 32);
    auto const message = counting(20);
    CHECK(siphash({1, 2}, message) != siphash({1, 3}, message));
    CHECK(siphash({1, 2}, message) != siphash({0, 2}, message));
    CHECK(siphash({1, 2}, message) != siphash({2, 1}, message));
}
