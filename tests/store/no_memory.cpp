#include <catch2/catch.hpp>

#include <cstddef>
#include <memory>
#include <new>

#include "support/failing_heap.hpp"

#include "fixture.hpp"
using namespace fixture;

TEST_CASE("a store for which there is no memory leaves its files unlocked", "[store]") {
    auto const content = make_sample({{"a", 40'000}}, metainfo::format::v1, 16384);
    auto const disk = std::make_shared<store::simulated_disk>(1);
    std::size_t failures = 0;
    for (std::size_t n = 1;; ++n) {
        auto const files = std::make_shared<store::simulated_files>(disk);  // outlives the attempt
        failing_heap::fail(n);
        try {
            failing_heap::armed const while_here;
            (void)store::chunk_store::open(content.torrent, {}, files);
        } catch (std::bad_alloc const&) {
            ++failures;
        }
        if (!failing_heap::has_failed()) break;
        failing_heap::fail(0);
        INFO(n);
        CHECK(store::chunk_store::open(content.torrent, {}, std::make_shared<store::simulated_files>(disk)));
    }
    failing_heap::fail(0);
    CHECK(failures > 3);
}
