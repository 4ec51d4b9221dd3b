#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <set>
#include <vector>

import shoal.picker;

using namespace shoal::picker;

TEST_CASE("listed pieces stand in order of availability after any changes", "[picker]") {
    constexpr std::uint32_t count = 40;
    rarity_order order{count, 3};
    std::vector<std::uint32_t> expected(count);
    std::set<std::uint32_t> listed;
    random_sequence random{9};
    for (int step = 0; step < 20'000; ++step) {
        auto const piece = random.below(count);
        switch (random.below(4)) {
            case 0:
                if (expected[piece] < 30) order.increase(piece), ++expected[piece];
                break;
            case 1:
                if (expected[piece] > 0) order.decrease(piece), --expected[piece];
                break;
            case 2:
                order.list(piece), listed.insert(piece);
                break;
            default:
                order.unlist(piece), listed.erase(piece);
                break;
        }
        auto const now = order.rarest_first();
        REQUIRE(std::set<std::uint32_t>(now.begin(), now.end()) == listed);
        REQUIRE(now.size() == listed.size());
        REQUIRE(std::ranges::is_sorted(now, {}, [&](auto p) { return expected[p]; }));
        REQUIRE(order.unavailable_count() ==
                static_cast<std::uint32_t>(std::ranges::count_if(now, [&](auto p) { return expected[p] == 0; })));
        REQUIRE(order.is_listed(piece) == listed.contains(piece));
        REQUIRE(order.availability(piece) == expected[piece]);
    }
}
