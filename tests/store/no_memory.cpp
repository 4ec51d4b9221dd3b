#include <catch2/catch.hpp>

#include <cstddef>
#include <memory>
#include <new>

#include "support/counted_heap.hpp"
#include "support/failing_heap.hpp"

#include "fixture.hpp"
using namespace fixture;

TEST_CASE("a store for which there is no memory leaves its files unlocked, and no memory taken", "[store]") {
    auto const content = make_sample({{"a", 40'000}}, metainfo::format::v1, 16384);
    auto const disk = std::make_shared<store::simulated_disk>(1);
    auto const files = std::make_shared<store::simulated_files>(disk);  // outlives the attempts
    std::size_t failures = 0;
    for (;; ++failures) {
        auto const before = counted_heap::in_use();
        failing_heap::fail(failures + 1);
        try {
            failing_heap::armed const while_here;
            (void)store::chunk_store::open(content.torrent, {}, files);
        } catch (std::bad_alloc const&) {  // as it should
        }
        bool const has_failed = failing_heap::has_failed();
        failing_heap::fail(0);
        auto const after = counted_heap::in_use();
        CHECK(after == before);
        if (!has_failed) break;
        CHECK(store::chunk_store::open(content.torrent, {}, std::make_shared<store::simulated_files>(disk)));
    }
    CHECK(failures > 3);
}
