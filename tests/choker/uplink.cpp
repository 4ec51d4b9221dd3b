#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

import shoal.choker;
import shoal.core;

using namespace shoal::choker;
using shoal::ip_address;

namespace {
constexpr std::size_t block = 16 * 1024;
}

TEST_CASE("the uplink goes to the peer that has least", "[choker]") {
    uplink line;
    std::vector<waiting_peer> const waiting{
        {.id = 1, .progress = 30}, {.id = 2, .progress = 10}, {.id = 3, .progress = 20}};
    CHECK(line.next(waiting, false) == 2U);
    CHECK(line.next({}, false) == std::nullopt);
}

TEST_CASE("a run is finished before another peer has its turn", "[choker]") {
    uplink line;
    std::vector<waiting_peer> waiting{{.id = 1, .progress = 10}, {.id = 2, .progress = 10}};
    CHECK(line.next(waiting, false) == 1U);
    line.sent(block);
    waiting[0].progress = 99;
    waiting[0].is_in_run = true;
    CHECK(line.next(waiting, false) == 1U);
    waiting[0].is_in_run = false;
    CHECK(line.next(waiting, false) == 2U);
}

TEST_CASE("a run ends for others when its peer asks no more", "[choker]") {
    uplink line;
    std::vector<waiting_peer> const both{{.id = 1}, {.id = 2, .is_in_run = true}};
    CHECK(line.next(both, false) == 1U);
    std::vector<waiting_peer> const other{both[1]};
    CHECK(line.next(other, false) == 2U);
    CHECK(line.next(both, false) == 2U);
}

TEST_CASE("equals take turns", "[choker]") {
    uplink line;
    std::vector<waiting_peer> const waiting{{.id = 7}, {.id = 3}, {.id = 5}};
    std::vector<std::uint32_t> served;
    for (int i = 0; i < 6; ++i) served.push_back(*line.next(waiting, false));
    CHECK(served == std::vector<std::uint32_t>{3, 5, 7, 3, 5, 7});
}

TEST_CASE("a run is cut at its limit", "[choker]") {
    for (auto const [sent, goes_on] : {std::pair{run_max - 1, true}, {run_max, false}, {run_max + 1, false}}) {
        uplink line;
        std::vector<waiting_peer> waiting{{.id = 1}, {.id = 2}};
        REQUIRE(line.next(waiting, false) == 1U);
        line.sent(sent);
        waiting[0].is_in_run = true;
        CHECK((line.next(waiting, false) == 1U) == goes_on);
    }
}

TEST_CASE("a peer that hides what it has is not served before others once it was given as much", "[choker]") {
    uplink line;
    std::uint64_t given = 0;
    std::uint32_t turns = 0;
    for (std::uint64_t honest = 0; honest < 50 * block; honest += block) {
        while (line.next(std::vector<waiting_peer>{{.id = 1, .progress = given}, {.id = 2, .progress = honest}},
                         false) == 1U) {
            given += block;
            ++turns;
        }
    }
    CHECK(turns <= 51);
}

TEST_CASE("a seed serves in turn, whatever the peers say they have", "[choker]") {
    uplink line;
    std::vector<waiting_peer> const waiting{{.id = 1, .progress = 500}, {.id = 2}, {.id = 3, .progress = 900}};
    std::vector<std::uint32_t> served;
    for (int i = 0; i < 6; ++i) served.push_back(*line.next(waiting, true));
    CHECK(served == std::vector<std::uint32_t>{1, 2, 3, 1, 2, 3});
}

TEST_CASE("a seed's uplink goes round by networks, and in each to the one that has least", "[choker]") {
    uplink line;
    std::vector<waiting_peer> waiting;
    for (std::uint32_t i = 0; i < 10; ++i)
        waiting.push_back({.id = i, .network = ip_address::v4({198, 51, static_cast<std::uint8_t>(i < 8 ? 0 : i), 0})});
    waiting.push_back({.id = 10});  // alone
    std::vector<std::uint64_t> got(waiting.size());
    for (int i = 0; i < 320; ++i) {
        auto const next = *line.next(waiting, true);
        waiting[next].progress += block;
        ++got[next];
        line.sent(block);
    }
    for (std::size_t i = 0; i < 8; ++i) CHECK(got[i] == 10);
    for (std::size_t i = 8; i < 11; ++i) CHECK(got[i] == 80);
}

TEST_CASE("every second run of a seed goes to whoever asked for what fewest have", "[choker]") {
    uplink line;
    std::vector<waiting_peer> const waiting{{.id = 1, .copies = 3}, {.id = 2, .copies = 1}, {.id = 3, .copies = 2}};
    std::vector<std::uint32_t> served;
    for (int i = 0; i < 6; ++i) served.push_back(*line.next(waiting, true));
    CHECK(served == std::vector<std::uint32_t>{1, 2, 3, 2, 1, 2});
    for (int i = 0; i < 3; ++i) CHECK(uplink{}.next(waiting, false) == 1U);  // who has least, if no seed
}

TEST_CASE("whoever asks a seed for the rarest alone keeps nobody waiting for more than two rounds", "[choker]") {
    uplink line;
    std::vector<waiting_peer> waiting{{.id = 0}};
    for (std::uint32_t i = 1; i < 10; ++i) waiting.push_back({.id = i, .copies = 5});
    std::vector<int> turns(waiting.size());
    for (int i = 0; i < 180; ++i) ++turns[*line.next(waiting, true)];
    CHECK(turns[0] <= 91);
    for (std::size_t i = 1; i < turns.size(); ++i) CHECK(turns[i] >= 9);
}

TEST_CASE("a seed's uplink serves everybody, however many wait, and forgets those who have gone", "[choker]") {
    uplink line;
    constexpr std::uint32_t count = 3 * served_remembered_max;
    std::vector<waiting_peer> waiting;
    for (std::uint32_t i = 0; i < count; ++i) waiting.push_back({.id = i});
    std::vector<int> turns(count);
    for (std::uint32_t i = 0; i < count; ++i) ++turns[*line.next(waiting, true)];
    CHECK(std::ranges::count(turns, 1) == count);
    CHECK(line.remembered() == count);
    for (std::uint32_t i = 0; i < count; ++i) (void)line.next(std::vector<waiting_peer>{{.id = count + i}}, true);
    CHECK(line.remembered() <= served_remembered_max + 1);
}
