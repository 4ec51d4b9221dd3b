#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;

namespace {
/// Both ends of a conversation; each serves what it was given and fetches what the other has.
struct end {
    explicit end(settings const& with, bool has_all) : to(with), pieces(piece_count, has_all) {
        for (std::uint32_t i = 0; has_all && i < block_count; ++i) served[block_at(i)] = data_of(block_at(i));
    }
    void act(time_point now) {
        while (auto const event = to.core.next_event()) {
            if (auto const* const has = std::get_if<event::has>(&*event))
                if (has->pieces.has_beyond(pieces)) to.core.interested();
            if (std::holds_alternative<event::interested>(*event)) to.core.unchoke();
            if (auto const* const got = std::get_if<event::block>(&*event)) {
                REQUIRE(got->direct);
                REQUIRE(to.holds(got->ref));
                have.insert(got->ref);
                if (got->ref.begin == 0) to.core.have(got->ref.piece);
            }
            if (auto const* const lost = std::get_if<event::rejected>(&*event)) asked.erase(lost->ref);
        }
        for (std::uint32_t i = 0; i < block_count && to.core.peer_pieces().all(); ++i) {
            auto const ref = block_at(i);
            if (asked.contains(ref) || have.contains(ref)) continue;
            if (!to.request(ref, now)) break;
            asked.insert(ref);
        }
        while (auto const ref = to.core.next_upload()) to.core.send_block(*ref, served.at(*ref));
    }
    leecher to;
    bitfield pieces;
    std::map<block_ref, byte_vector> served;
    std::set<block_ref> asked;
    std::set<block_ref> have;
};
}  // namespace

TEST_CASE("a leecher gets everything from a seeder, however the bytes are cut", "[wire]") {
    auto const seed = GENERATE(range(1U, 21U));
    auto const fast = GENERATE(true, false);
    CAPTURE(seed, fast);
    std::mt19937 random{seed};
    auto const with = fast ? defaults() : without_fast();
    end seeder{with, true};
    end leecher{with, false};
    for (auto* one : {&seeder, &leecher}) {
        one->to.core.extension_handshake({.v = "Shoal"});
        one->to.core.send_bitfield(one->pieces);
    }
    auto now = start;
    for (int round = 0; round < 20'000 && leecher.have.size() < block_count; ++round) {
        now += std::chrono::milliseconds{1};
        for (auto const& [from, to] : {std::pair{&seeder, &leecher}, std::pair{&leecher, &seeder}}) {
            std::array<byte_view, 16> runs;
            std::array<mutable_byte_view, 64> places;
            auto left = std::min<std::size_t>(1 + random() % 60'000, from->to.core.unsent_bytes());
            while (left > 0) {  // one scatter read of what one gather write gave
                auto const places_count = to->to.core.prepare(std::span{places}.first(1 + random() % 64));
                std::size_t moved = 0;
                for (std::size_t i = 0; i < places_count && left > 0; ++i) {
                    for (auto place = places[i]; !place.empty() && left > 0;) {
                        REQUIRE(from->to.core.unsent(runs) > 0);
                        auto const part = std::min({left, place.size(), runs[0].size()});
                        std::copy_n(runs[0].begin(), part, place.begin());
                        from->to.core.sent(part, now);
                        place = place.subspan(part);
                        left -= part;
                        moved += part;
                    }
                }
                REQUIRE(to->to.core.commit(moved, now));
                to->act(now);
            }
            from->act(now);
            if (random() % 50 == 0) {
                seeder.to.core.choke();
                seeder.to.core.unchoke();
            }
        }
    }
    CHECK(leecher.have.size() == block_count);
    CHECK(leecher.to.core.counters().payload_received == total_size);
    CHECK(seeder.to.core.blocks_sent() >= block_count);
}
