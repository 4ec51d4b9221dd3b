#include <array>
#include <catch2/catch.hpp>
#include <deque>
#include <span>

#include "fixture.hpp"

import shoal.wire;
using namespace fixture;

namespace {
/// Has everything, and refuses one piece as long as `is_refused`.
struct moody_seeder {
    net::environment outside;
    testing::content const& content;
    piece_index refused{3};
    bool is_refused = true;
    std::size_t refusals = 0;

    net::task<void> serve(std::unique_ptr<net::listener> at) {
        auto const with = (co_await at->accept()).value();
        std::array<std::byte, wire::handshake_length> hello;
        CHECK(co_await with->read_all(hello));
        wire::handshake ours;
        ours.hash = content.torrent->swarm_hash();
        ours.id.bytes.fill(std::byte{'m'});
        ours.extensions = false;
        CHECK(co_await with->write_all(wire::encode(ours)));
        wire::settings settings;
        settings.piece_length = content.torrent->pieces().piece_length();
        settings.total_size = content.torrent->pieces().total_size();
        settings.fast = true;
        wire::connection core{settings, outside.clock.now()};
        core.send_bitfield(bitfield(content.torrent->pieces().piece_count(), true));
        std::deque<byte_vector> sending;
        byte_vector inbox(block_length);
        for (;;) {
            std::array<byte_view, 8> runs;
            while (auto const count = core.unsent(runs)) {
                auto const wrote = co_await with->write_some(std::span<byte_view const>{runs}.first(count));
                if (!wrote) co_return;
                core.sent(wrote.value(), outside.clock.now());
            }
            auto const got = co_await with->read_some(mutable_byte_view{inbox});
            if (!got || !core.receive(byte_view{inbox}.first(got.value()), outside.clock.now())) co_return;
            while (auto const happened = core.next_event()) {
                if (std::holds_alternative<wire::event::interested>(*happened)) core.unchoke();
                if (std::holds_alternative<wire::event::not_interested>(*happened)) core.choke();
            }
            while (auto const block = core.next_upload()) {
                if (is_refused && block->piece == refused) {
                    ++refusals;
                    core.reject(*block);
                    continue;
                }
                auto const right = content.block(*block);
                core.send_block(*block, sending.emplace_back(right.begin(), right.end()));
            }
        }
    }
};
}  // namespace

TEST_CASE("a piece that its peer refuses is left alone for a while, and the others come from it", "[engine]") {
    auto const content = testing::make_content({{"one", 1'000'000}}, {.piece_length = 65'536});
    auto const count = content.torrent->pieces().piece_count();
    auto const blocks = content.torrent->pieces().block_count(piece_index{3});
    testing::temporary_folder to;
    testing::simulation world{5};
    engine::node leecher{world.host(0), world.executor(), {}};
    endpoint const at{world.address_of(1), 6881};
    moody_seeder seeder{world.host(1), content};
    world.spawn("seeder", seeder.serve(seeder.outside.network.listen(at).value()));
    auto const fetched = leecher.add(content.torrent, fetching(to.path(), {at})).value();
    CHECK(world.run_until([&] { return fetched->status().pieces_have == count - 1; }, 5s));
    CHECK(seeder.refusals == blocks);
    CHECK(world.run_until([&] { return seeder.refusals > blocks; }, 3 * engine::refused_piece_rest));
    world.run_for(1s);
    CHECK(seeder.refusals == 2 * blocks);
    seeder.is_refused = false;
    CHECK(world.run_until([&] { return fetched->status().pieces_have == count; }, 2 * engine::refused_piece_rest));
    CHECK(content.is_in(to.path()));
    CHECK(world.run_to_end(leecher.stop(), 10s));
}
