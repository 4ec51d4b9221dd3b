#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "outsiders.hpp"

import shoal.metainfo;
import shoal.wire;

using namespace shoal;
using namespace std::chrono_literals;

namespace simulated_swarm {
namespace {
constexpr std::size_t asked_at_once = 4;
constexpr auto asks_every = 500ms;
constexpr auto comes_back_after = 5s;

net::task<void> converse(net::environment& outside, net::stream& with, testing::content const& of,
                         std::mt19937_64& random, std::function<void(block_ref, byte_view)> const& on_block) {
    wire::handshake ours;
    ours.hash = of.torrent->swarm_hash();
    ours.id.bytes.fill(std::byte{'n'});
    ours.extensions = false;
    auto const hello = wire::encode(ours);
    if (!co_await with.write_all(hello)) co_return;
    std::array<std::byte, wire::handshake_length> reply;
    if (!co_await with.read_all(reply)) co_return;
    auto const theirs = wire::parse_handshake(reply);
    if (!theirs) co_return;
    auto const& pieces = of.torrent->pieces();
    wire::settings settings;
    settings.piece_length = pieces.piece_length();
    settings.total_size = pieces.total_size();
    settings.fast = theirs.value().fast;
    auto& clock = outside.clock;
    wire::connection core{settings, clock.now()};
    core.send_bitfield(bitfield(pieces.piece_count()));
    core.interested();
    std::vector<byte_vector> places(asked_at_once);
    std::vector<block_ref> asked(asked_at_once);
    byte_vector inbox(block_length);
    for (;;) {
        if (!core.is_choked() && core.outstanding() == 0) {
            co_await clock.sleep(asks_every);
            for (std::size_t i = 0; i < asked_at_once; ++i) {
                piece_index const piece{static_cast<std::uint32_t>(random() % pieces.piece_count())};
                auto const block =
                    pieces.block_at(piece, static_cast<std::uint32_t>(random() % pieces.block_count(piece)));
                bool is_asked = false;
                for (std::size_t k = 0; k < i; ++k) is_asked = is_asked || asked[k] == block;
                asked[i] = block;
                places[i].assign(block.length, std::byte{});
                if (!is_asked) (void)core.request(block, places[i], clock.now());
            }
        }
        std::array<byte_view, 8> runs;
        while (auto const count = core.unsent(runs)) {
            auto const wrote = co_await with.write_some(std::span<byte_view const>{runs}.first(count));
            if (!wrote) co_return;
            core.sent(wrote.value(), clock.now());
        }
        auto const got = co_await with.read_some(mutable_byte_view{inbox});
        if (!got || !core.receive(byte_view{inbox}.first(got.value()), clock.now())) co_return;
        while (auto const happened = core.next_event()) {
            auto const* const block = std::get_if<wire::event::block>(&*happened);
            if (block == nullptr) continue;
            for (std::size_t i = 0; i < asked_at_once; ++i)
                if (asked[i] == block->ref) {
                    on_block(block->ref, places[i]);
                    break;
                }
        }
        while (auto const block = core.next_upload()) core.reject(*block);
    }
}

net::task<void> watch(net::listener& at, std::function<void()> on_visit) {
    while (co_await at.accept()) on_visit();
}

byte_vector forged_announce(info_hash const& of, std::uint16_t port) {
    std::string const id(20, 'f');
    std::string text = "d1:ad2:id20:" + id + "9:info_hash20:";
    for (auto const each : of.bytes) text += static_cast<char>(each);
    text += "4:porti" + std::to_string(port) + "e5:token9:not yourse1:q13:announce_peer1:t2:aa1:y1:qe";
    auto const bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}
}  // namespace

net::task<void> ask_for_anything(net::environment& outside, endpoint at, testing::content const& of, std::uint64_t seed,
                                 std::function<void(block_ref, byte_view)> on_block) {
    std::mt19937_64 random{seed};
    for (;;) {
        auto made = co_await outside.network.connect(at, std::nullopt);
        if (made) co_await converse(outside, *made.value(), of, random, on_block);
        co_await outside.clock.sleep(comes_back_after);
    }
}

net::task<void> announce_without_token(net::environment& outside, endpoint own, std::vector<endpoint> nodes,
                                       info_hash of, std::function<void()> on_visit) {
    auto const listener = outside.network.listen(own).value();
    auto const socket = outside.network.open_datagram(own).value();
    auto const forged = forged_announce(of, own.port);
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        group.spawn("watch", watch(*listener, std::move(on_visit)));
        for (;;) {
            for (auto const& each : nodes) {
                net::datagram const out{each, forged};
                (void)socket->send({&out, 1});
            }
            co_await outside.clock.sleep(2s);
        }
    });
}
}  // namespace simulated_swarm
