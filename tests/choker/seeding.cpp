#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <vector>

import shoal.choker;
import shoal.core;

using namespace shoal;
using namespace shoal::choker;
using namespace std::chrono_literals;
using choker_t = shoal::choker::choker;

namespace {
constexpr auto start = time_point{} + 1h;

/// Serves `all` for `rounds` rounds, each unchoked peer getting an equal share of `rate`.
void serve(choker_t& choker, std::vector<candidate>& all, int rounds, std::uint64_t rate) {
    for (int i = 0; i < rounds; ++i) {
        auto const now = start + i * round_every;
        auto const served = choker.round(all, true, rate, now);
        for (auto& peer : all) {
            auto const is_served = std::ranges::find(served, peer.id) != served.end();
            if (is_served && !peer.is_unchoked) peer.last_unchoked = now;
            peer.is_unchoked = is_served;
            if (is_served) peer.uploaded_total += 10 * rate / served.size();
        }
    }
}
}  // namespace

TEST_CASE("a seed gives everybody about the same", "[choker]") {
    choker_t choker{{.slots = 3, .seed = 1}};
    std::vector<candidate> all(12);
    for (std::uint32_t i = 0; i < 12; ++i) all[i] = {.id = i, .is_interested = true};
    serve(choker, all, 40, 3'000'000);
    auto const [least, most] = std::ranges::minmax_element(all, {}, &candidate::uploaded_total);
    CHECK(least->uploaded_total == most->uploaded_total);
}

TEST_CASE("a seed does not care what it is given", "[choker]") {
    choker_t choker{{.slots = 1}};
    std::vector<candidate> all(2);
    all[0] = {.id = 0, .is_interested = true, .download_rate = 1'000'000, .uploaded_total = 2};
    all[1] = {.id = 1, .is_interested = true, .uploaded_total = 1};
    CHECK(choker.round(all, true, 0, start) == std::vector<std::uint32_t>{1});
}

TEST_CASE("a peer that a seed began to serve stays for a while", "[choker]") {
    choker_t choker{{.slots = 1}};
    std::vector<candidate> all(2);
    all[0] = {.id = 0, .is_interested = true, .is_unchoked = true, .uploaded_total = 9, .last_unchoked = start};
    all[1] = {.id = 1, .is_interested = true};
    CHECK(choker.round(all, true, 0, start + slot_kept_for - 1ms) == std::vector<std::uint32_t>{0});
    CHECK(choker.round(all, true, 0, start + slot_kept_for) == std::vector<std::uint32_t>{1});
}

TEST_CASE("thieves that give nothing get no more of a seed than others", "[choker]") {
    choker_t choker{{.slots = 4, .seed = 7}};
    std::vector<candidate> all(32);
    for (std::uint32_t i = 0; i < 32; ++i) all[i] = {.id = i, .is_interested = true};
    serve(choker, all, 80, 4'000'000);
    std::uint64_t honest = 0, thieves = 0;
    for (auto const& peer : all) (peer.id < 3 ? thieves : honest) += peer.uploaded_total;
    CHECK(static_cast<double>(thieves) / 3 <= 1.1 * static_cast<double>(honest) / 29);
}

TEST_CASE("peers that hold slots and take nothing give way to those that want something", "[choker]") {
    choker_t choker{{.slots = 16, .seed = 3}};
    std::vector<candidate> all(17);
    // Sixteen were first, and never ask; the last one came behind them.
    for (std::uint32_t i = 0; i < 17; ++i)
        all[i] = {.id = i, .is_interested = true, .is_unchoked = i < 16, .last_unchoked = start};
    auto const honest = 16u;
    std::size_t served = 0;
    for (int round = 1; round <= 20; ++round) {
        auto const now = start + round * round_every;
        for (auto& peer : all) peer.is_idle = peer.id != honest && peer.is_unchoked;
        auto const chosen = choker.round(all, true, 0, now);
        for (auto& peer : all) {
            bool const is_served = std::ranges::find(chosen, peer.id) != chosen.end();
            if (peer.id == honest && is_served) peer.uploaded_total += 10'000'000, ++served;
            if (peer.is_idle && !is_served) ++peer.idle_turns;
            if (is_served && !peer.is_unchoked) peer.last_unchoked = now;
            peer.is_unchoked = is_served;
        }
    }
    CHECK(served == 20);
}

TEST_CASE("an address with many sessions gets no more of a seed than one with one", "[choker]") {
    choker_t choker{{.slots = 4, .seed = 5}};
    std::vector<candidate> all(28);
    for (std::uint32_t i = 0; i < 28; ++i)
        all[i] = {.id = i,
                  .network = ip_address::v4({198, 51, static_cast<std::uint8_t>(i < 16 ? 0 : i), 0}),
                  .is_interested = true};
    serve(choker, all, 65, 4'000'000);
    std::uint64_t honest = 0, thieves = 0;
    for (auto const& peer : all) (peer.id < 16 ? thieves : honest) += peer.uploaded_total;
    CHECK(static_cast<double>(thieves) <= 1.1 * static_cast<double>(honest) / 12);
    CHECK(static_cast<double>(thieves) >= 0.9 * static_cast<double>(honest) / 12);
}

TEST_CASE("those of one address get the slots that nobody else wants", "[choker]") {
    choker_t choker{{.slots = 4, .seed = 5}};
    std::vector<candidate> all(8);
    for (std::uint32_t i = 0; i < 8; ++i)
        all[i] = {.id = i,
                  .network = ip_address::v4({198, 51, static_cast<std::uint8_t>(i < 7 ? 0 : 1), 0}),
                  .is_interested = true};
    auto const served = choker.round(all, true, 0, start);
    CHECK(served.size() == 4);
    CHECK(std::ranges::find(served, 7u) != served.end());
}

TEST_CASE("while it leeches, a peer is served for what it gives, whoever shares its address", "[choker]") {
    choker_t choker{{.slots = 4, .seed = 5}};
    std::vector<candidate> all(8);
    for (std::uint32_t i = 0; i < 8; ++i)
        all[i] = {.id = i,
                  .network = ip_address::v4({198, 51, static_cast<std::uint8_t>(i < 4 ? 0 : i), 0}),
                  .is_interested = true,
                  .download_rate = i < 4 ? 1000u : 10u};
    auto const served = choker.round(all, false, 0, start);
    CHECK(std::ranges::count_if(served, [](auto id) { return id < 4; }) >= 3);
}
