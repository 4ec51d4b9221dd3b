module;
#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

module shoal.testing;
import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.wire;

namespace shoal::testing {
namespace {
peer_id id_of(std::uint64_t seed) {
    peer_id id;
    for (auto& each : id.bytes) {
        each = static_cast<std::byte>('a' + seed % 26);
        seed /= 26;
    }
    return id;
}

bool may_lie_about(block_ref const& block, lie const& how, content const& of) {
    auto const padding = of.torrent->content().padding();  // nobody asks for that
    auto const needed =
        of.torrent->pieces().piece_size(block.piece) - (padding.empty() ? 0 : padding[to_number(block.piece)]);
    auto const count = (needed + block_length - 1) / block_length;
    auto const number = block.begin / block_length;
    switch (how.about) {
        case lie::target::one_of_each_piece:
            return number == (how.seed + to_number(block.piece)) % count;
        case lie::target::last_of_each_piece:
            return number + 1 == count;
        case lie::target::any:
            break;
    }
    return true;
}

net::task<void> converse(net::environment& outside, std::unique_ptr<net::stream> with, content const& of, lie how) {
    std::array<std::byte, wire::handshake_length> hello;
    if (!co_await with->read_all(hello)) co_return;
    auto const theirs = wire::parse_handshake(hello);
    if (!theirs) co_return;
    wire::handshake ours;
    ours.hash = theirs.value().hash;
    ours.id = id_of(how.seed);
    ours.extensions = false;
    auto const reply = wire::encode(ours);
    if (!co_await with->write_all(reply)) co_return;

    wire::settings settings;
    settings.piece_length = of.torrent->pieces().piece_length();
    settings.total_size = of.torrent->pieces().total_size();
    settings.fast = theirs.value().fast;
    wire::connection core{settings, outside.clock.now()};
    core.send_bitfield(bitfield(of.torrent->pieces().piece_count(), true));
    std::mt19937_64 random{how.seed};
    std::deque<byte_vector> sending;
    std::uint64_t sent = 0, asked = 0;
    bool is_leaving = false;
    byte_vector inbox(block_length);
    for (;;) {
        std::array<byte_view, 8> runs;
        while (auto const count = core.unsent(runs)) {
            auto const wrote = co_await with->write_some(std::span<byte_view const>{runs}.first(count));
            if (!wrote) co_return;
            core.sent(wrote.value(), outside.clock.now());
        }
        for (; sent < core.blocks_sent(); ++sent) sending.pop_front();
        if (is_leaving) co_return;
        auto& clock = outside.clock;
        auto const got = co_await net::with_deadline(clock, core.deadline(), with->read_some(mutable_byte_view{inbox}));
        if (!got && got.error() == net::errc::timed_out && core.wake(clock.now())) continue;  // it keeps alive
        if (!got || !core.receive(byte_view{inbox}.first(got.value()), outside.clock.now())) co_return;
        while (auto const happened = core.next_event())
            if (std::holds_alternative<wire::event::interested>(*happened)) core.unchoke();
        while (auto const block = is_leaving ? std::optional<block_ref>{} : core.next_upload()) {
            if (how.one_in == 0) continue;
            auto const right = of.block(*block);
            auto& bytes = sending.emplace_back(right.begin(), right.end());
            bool const may_lie = asked++ >= how.right_first && may_lie_about(*block, how, of);
            if (may_lie && random() % how.one_in == 0) {
                bytes[random() % bytes.size()] ^= how.difference;
                is_leaving = how.leaves;
                if (how.on_lie) how.on_lie(with->remote());
            }
            core.send_block(*block, bytes);
        }
    }
}
}  // namespace

net::task<void> serve_lies(net::environment& outside, std::unique_ptr<net::listener> at, content const& of, lie how) {
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        while (auto with = co_await at->accept())
            group.spawn("liar", converse(outside, std::move(with.value()), of, how));
    });
}
}  // namespace shoal::testing
