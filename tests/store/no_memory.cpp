#include <catch2/catch.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
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

TEST_CASE("a sync for which there is no memory forgets neither doubts nor what is to be recorded", "[store]") {
    auto const content = make_sample({{"a", 40'000}}, metainfo::format::v1, 16384);
    bool const is_doubted = GENERATE(false, true);
    std::size_t failures = 0;
    for (bool has_failed = true; has_failed; ++failures) {
        CAPTURE(is_doubted, failures);
        auto const disk = std::make_shared<store::simulated_disk>(1);
        auto const open = [&] {
            store::store_settings settings;
            settings.preallocate = false;
            return store::chunk_store::open(content.torrent, settings, std::make_shared<store::simulated_files>(disk))
                .value();
        };
        auto const into = open();
        REQUIRE(into->load());
        for (std::uint32_t piece = 0; piece < 2; ++piece) REQUIRE(receive(*into, content, piece).value());
        if (is_doubted) {
            disk->fail(1, EIO);
            REQUIRE_FALSE(into->sync());
        }
        failing_heap::fail(failures + 1);
        try {
            failing_heap::armed const while_here;
            (void)into->sync();
        } catch (std::bad_alloc const&) {  // as it should
        }
        has_failed = failing_heap::has_failed();
        failing_heap::fail(0);
        REQUIRE(into->sync());
        CHECK_FALSE(into->has_doubts());
        CHECK_FALSE(into->is_journal_behind());
        auto const lost = into->take_lost().size();
        CHECK(lost + into->held().count() == 2);
        CHECK(lost == (is_doubted ? 2 : 0));
        disk->crash();
        CHECK(open()->load().value().count() == 2 - lost);
    }
    CHECK(failures > 3);
}
