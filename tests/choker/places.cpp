#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

import shoal.choker;
import shoal.core;

using namespace shoal;
using namespace shoal::choker;
using namespace std::chrono_literals;

namespace {
ip_address network(std::uint8_t number) {
    return ip_address::v4({198, 51, number, 0});
}

/// All places of something, given to whoever comes.
class house {
public:
    explicit house(std::size_t places) : places_(places) {}
    bool enters(share_holder const& from, bool is_useful = false) {
        if (taken.size() >= places_) {
            auto const leaving = gives_way(taken, from);
            if (!leaving) return false;
            std::erase_if(taken, [&](place const& each) { return each.id == *leaving; });
        }
        taken.push_back({.id = next_++, .network = from, .is_useful = is_useful, .since = time_point{} + next_ * 1s});
        return true;
    }
    std::size_t of(share_holder const& who) const {
        return static_cast<std::size_t>(std::ranges::count(taken, who, &place::network));
    }
    std::vector<place> taken;

private:
    std::size_t places_;
    std::uint32_t next_ = 1;
};
}  // namespace

TEST_CASE("a newcomer gets the place of the network that has most", "[choker]") {
    house all{200};
    for (std::uint8_t i = 0; i < 13; ++i)
        for (int n = 0; n < 16; ++n) (void)all.enters(network(i));
    REQUIRE(all.taken.size() == 200);
    for (std::uint8_t i = 100; i < 187; ++i) CHECK(all.enters(network(i)));
    for (std::uint8_t i = 100; i < 187; ++i) CHECK(all.of(network(i)) == 1);
}

TEST_CASE("who is alone of his network keeps his place, however often others come", "[choker]") {
    house all{50};
    for (std::uint8_t i = 100; i < 120; ++i) REQUIRE(all.enters(network(i)));
    for (int n = 0; n < 1000; ++n) (void)all.enters(network(static_cast<std::uint8_t>(n % 10)));
    for (std::uint8_t i = 100; i < 120; ++i) CHECK(all.of(network(i)) == 1);
    for (std::uint8_t i = 0; i < 10; ++i) CHECK(all.of(network(i)) == 3);
    // Equal shares are not fought about.
    for (std::uint8_t i = 0; i < 10; ++i) CHECK_FALSE(all.enters(network(i)));
    CHECK_FALSE(gives_way(all.taken, network(0)));
    CHECK(gives_way(all.taken, network(200)));
}

TEST_CASE("where each network has one place, a newcomer is turned away", "[choker]") {
    house all{20};
    for (std::uint8_t i = 0; i < 20; ++i) REQUIRE(all.enters(network(i)));
    CHECK_FALSE(all.enters(network(77)));
}

TEST_CASE("the least useful of a network gives way, and a few useful ones never do", "[choker]") {
    house all{10};
    for (int n = 0; n < 4; ++n) REQUIRE(all.enters(network(1), true));
    for (int n = 0; n < 6; ++n) REQUIRE(all.enters(network(1)));
    all.taken[4].moved = 5;
    CHECK(gives_way(all.taken, network(2)) == all.taken[9].id);  // of equals the youngest
    for (auto i = std::uint8_t{2}; i < 8; ++i) CHECK(all.enters(network(i)));
    CHECK(all.of(network(1)) == useful_places_kept);
    CHECK_FALSE(all.enters(network(9)));
    all.taken[0].is_useful = false;
    CHECK(all.enters(network(9)));
}

TEST_CASE("more useful places than a few are shared out like others", "[choker]") {
    house all{10};
    for (int n = 0; n < 10; ++n) REQUIRE(all.enters(network(1), true));
    for (std::uint8_t i = 2; i < 8; ++i) CHECK(all.enters(network(i)));
    CHECK(all.of(network(1)) == useful_places_kept);
}

TEST_CASE("who stands alone neither gives way nor is counted with others", "[choker]") {
    house all{10};
    for (int n = 0; n < 10; ++n) REQUIRE(all.enters(std::nullopt));
    CHECK_FALSE(all.enters(network(1)));
    CHECK_FALSE(all.enters(std::nullopt));
    house mixed{10};
    for (int n = 0; n < 10; ++n) REQUIRE(mixed.enters(network(1)));
    CHECK(mixed.enters(std::nullopt));
}
