#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import shoal.core;
import shoal.hash;

using namespace shoal;
using namespace std::string_view_literals;

namespace {
struct vector {
    std::string text;
    std::string_view sha1, sha256;
};

/// Source: FIPS 180-2, appendices A and B; the empty message from NIST's test suite.
std::array<vector, 4> const vectors{
    vector{"", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
           "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    vector{"abc", "a9993e364706816aba3e25717850c26c9cd0d89d",
           "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    vector{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    vector{std::string(1'000'000, 'a'), "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
           "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
}  // namespace

TEST_CASE("digests are those of the standard", "[hash]") {
    for (auto const& [text, sha1, sha256] : vectors) {
        CAPTURE(text.size());
        CHECK(to_hex(hash::sha1_of(as_bytes(text)).view()) == sha1);
        CHECK(to_hex(hash::sha256_of(as_bytes(text)).view()) == sha256);
    }
}

TEST_CASE("bytes that come in parts have the digest of the whole", "[hash]") {
    auto const text = vectors[3].text.substr(0, 1000);
    for (std::size_t const part : {1u, 2u, 63u, 64u, 65u, 999u, 1000u}) {
        hash::sha1_hasher sha1;
        hash::sha256_hasher sha256;
        for (std::size_t at = 0; at < text.size(); at += part) {
            sha1.update(as_bytes(text.substr(at, part)));
            sha1.update({});
            sha256.update(as_bytes(text.substr(at, part)));
        }
        CHECK(sha1.finish() == hash::sha1_of(as_bytes(text)));
        CHECK(sha256.finish() == hash::sha256_of(as_bytes(text)));
    }
}

TEST_CASE("a hasher is as new after finish and after restart", "[hash]") {
    hash::sha1_hasher hasher;
    hasher.update(as_bytes("something"sv));
    hasher.finish();
    CHECK(hasher.finish() == hash::sha1_of({}));
    hasher.update(as_bytes("cut off"sv));
    hasher.restart();
    hasher.update(as_bytes("abc"sv));
    CHECK(to_hex(hasher.finish().view()) == vectors[1].sha1);
}

TEST_CASE("a hasher that moves keeps what it hashed", "[hash]") {
    hash::sha256_hasher first;
    first.update(as_bytes("ab"sv));
    auto second = std::move(first);
    second.update(as_bytes("c"sv));
    CHECK(to_hex(second.finish().view()) == vectors[1].sha256);
    first = hash::sha256_hasher{};
    CHECK(first.finish() == hash::sha256_of({}));
}

TEST_CASE("threads hash side by side", "[hash]") {
    std::vector<std::jthread> threads;
    std::array<bool, 4> right{};
    for (auto& answer : right)
        threads.emplace_back([&answer] {
            answer = true;
            for (int i = 0; i < 200; ++i)
                for (auto const& [text, sha1, sha256] : {vectors[1], vectors[2]})
                    answer = answer && to_hex(hash::sha1_of(as_bytes(text)).view()) == sha1 &&
                             to_hex(hash::sha256_of(as_bytes(text)).view()) == sha256;
        });
    threads.clear();
    for (bool const answer : right) CHECK(answer);
}
