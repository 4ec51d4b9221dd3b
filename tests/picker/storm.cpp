#include <catch2/catch.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

import shoal.core;
import shoal.picker;

using namespace shoal;
using namespace shoal::picker;
using picker_t = shoal::picker::picker;

namespace {
/// What the picker should know, kept the simple way.
struct model {
    std::set<std::uint32_t> had, unwanted;
    std::map<std::uint32_t, std::set<std::uint32_t>> has;   // peer -> pieces
    std::map<std::uint32_t, std::vector<block_ref>> asked;  // peer -> outstanding
    bool is_missing(std::uint32_t piece) const { return !had.contains(piece) && !unwanted.contains(piece); }
};

void erase_piece(model& m, piece_index piece) {
    for (auto& [peer, blocks] : m.asked) std::erase_if(blocks, [&](auto const& b) { return b.piece == piece; });
}

void check(picker_t const& p, model const& m, std::uint32_t piece_count) {
    std::uint32_t missing = 0;
    for (std::uint32_t piece = 0; piece < piece_count; ++piece) {
        std::uint32_t available = 0;
        for (auto const& [peer, has] : m.has) available += has.contains(piece) ? 1 : 0;
        REQUIRE(p.availability(piece_index{piece}) == available);
        if (m.is_missing(piece)) ++missing;
    }
    REQUIRE(p.complete() == (missing == 0));
    for (auto const& [peer, has] : m.has) {
        bool interesting = false;
        for (auto const piece : has) interesting = interesting || m.is_missing(piece);
        REQUIRE(p.is_interesting(peer_slot{peer}) == interesting);
        auto const asked = m.asked.find(peer);
        REQUIRE(p.outstanding(peer_slot{peer}) == (asked == m.asked.end() ? 0 : asked->second.size()));
    }
}

/// While nobody was asked for anything, whoever has what is missing is asked for some of it.
void check_goes_on(picker_t const& p, model const& m) {
    for (auto const& [peer, blocks] : m.asked)
        if (!blocks.empty()) return;
    for (auto const& [peer, has] : m.has) {
        if (!p.is_interesting(peer_slot{peer})) continue;
        auto then = p;
        std::vector<block_ref> out;
        then.pick(peer_slot{peer}, 1, true, out);
        REQUIRE(out.size() == 1);
    }
}
}  // namespace

TEST_CASE("any order of events keeps the picker's counts right and ends complete", "[picker]") {
    constexpr std::uint32_t piece_count = 11, peers = 6;
    for (std::uint64_t seed = 1; seed <= 600; ++seed) {
        CAPTURE(seed);
        random_sequence random{seed};
        picker_t p{{3 * block_length, piece_count * 3ULL * block_length - 100, seed,
                    seed % 3 == 0 ? order::sequential : order::rarest_first}};
        model m;
        std::vector<block_ref> out;
        std::vector<peer_slot> also;
        auto const arrive = [&](std::uint32_t peer, block_ref block) {
            auto& mine = m.asked[peer];
            auto const was_asked = std::erase(mine, block) > 0;
            also.clear();
            auto const got = p.received(peer_slot{peer}, block, also);
            REQUIRE(got.wanted == was_asked);
            for (auto const other : also) REQUIRE(std::erase(m.asked[to_number(other)], block) == 1);
            if (!got.piece_complete) return;
            if (random.below(4) == 0) {
                p.piece_failed(block.piece);
            } else {
                p.set_have(block.piece);
                m.had.insert(to_number(block.piece));
            }
        };
        for (int step = 0; step < 600; ++step) {
            auto const peer = random.below(peers);
            auto const piece = random.below(piece_count);
            auto const known = m.has.contains(peer);
            switch (random.below(12)) {
                case 0:
                    if (!known) {
                        p.add_peer(peer_slot{peer});
                        m.has[peer];
                    }
                    break;
                case 1:
                    if (random.below(4) == 0) {
                        p.remove_peer(peer_slot{peer});
                        m.has.erase(peer);
                        m.asked.erase(peer);
                    }
                    break;
                case 2:
                case 3:
                    p.peer_has(peer_slot{peer}, piece_index{piece});
                    if (known) m.has[peer].insert(piece);
                    break;
                case 4:
                    p.peer_lost(peer_slot{peer}, piece_index{piece});
                    if (known) m.has[peer].erase(piece);
                    break;
                case 5: {
                    auto const all = random.below(2) == 0;
                    p.peer_has(peer_slot{peer}, bitfield{piece_count, all});
                    if (!known) break;
                    m.has[peer].clear();
                    for (std::uint32_t i = 0; all && i < piece_count; ++i) m.has[peer].insert(i);
                    break;
                }
                case 6: {
                    auto const wanted = random.below(2) == 0;
                    p.set_wanted(piece_index{piece}, wanted);
                    wanted ? void(m.unwanted.erase(piece)) : void(m.unwanted.insert(piece));
                    break;
                }
                case 7:
                case 8:
                    out.clear();
                    p.pick(peer_slot{peer}, 1 + random.below(5), random.below(2) == 0, out);
                    REQUIRE(out.size() <= 5);
                    for (auto const& block : out) {
                        REQUIRE(m.has.at(peer).contains(to_number(block.piece)));
                        REQUIRE(m.is_missing(to_number(block.piece)));
                        REQUIRE(p.is_outstanding(peer_slot{peer}, block));
                        m.asked[peer].push_back(block);
                    }
                    break;
                case 9:
                    if (auto& mine = m.asked[peer]; !mine.empty()) {
                        auto const block = mine[random.below(static_cast<std::uint32_t>(mine.size()))];
                        p.returned(peer_slot{peer}, block);
                        std::erase(mine, block);
                    }
                    break;
                case 10:
                    if (random.below(10) == 0) {
                        if (random.below(2) == 0) {
                            p.set_have(piece_index{piece});
                            m.had.insert(piece);
                            erase_piece(m, piece_index{piece});
                        } else if (m.had.erase(piece) > 0) {
                            p.piece_failed(piece_index{piece});
                        }
                    }
                    break;
                default:
                    if (auto const& mine = m.asked[peer]; !mine.empty()) {
                        arrive(peer, mine[random.below(static_cast<std::uint32_t>(mine.size()))]);
                    } else {
                        arrive(peer, {piece_index{piece}, random.below(4) * block_length, block_length});
                    }
            }
            if (m.has.empty()) m.asked.clear();
            check(p, m, piece_count);
            check_goes_on(p, m);
        }
        // whatever happened, a peer that has all brings it to an end
        for (std::uint32_t piece = 0; piece < piece_count; ++piece) {
            p.set_wanted(piece_index{piece}, true);
        }
        m.unwanted.clear();
        for (std::uint32_t peer = 0; peer < peers; ++peer) p.remove_peer(peer_slot{peer});
        m.has.clear();
        m.asked.clear();
        p.add_peer(peer_slot{0});
        p.peer_has(peer_slot{0}, bitfield{piece_count, true});
        m.has[0] = {};
        int rounds = 0;
        while (!p.complete()) {
            REQUIRE(++rounds < 1000);
            out.clear();
            p.pick(peer_slot{0}, 4, true, out);
            // a piece may be complete and unverified from before
            for (std::uint32_t piece = 0; out.empty() && piece < piece_count; ++piece)
                p.piece_failed(piece_index{piece});
            for (auto const& block : out) {
                m.asked[0].push_back(block);
            }
            while (!m.asked[0].empty()) arrive(0, m.asked[0].back());
        }
    }
}
