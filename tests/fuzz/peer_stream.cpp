#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <variant>
#include <vector>
#include "fuzz.hpp"

import shoal.core;
import shoal.wire;

using namespace shoal;

/// A peer that says anything to one that asks for blocks: a byte for how, then the stream, cut as that byte says.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const how = fuzz::take(data, size);
    auto const input = size;
    fuzz::heap_watch const heap;
    wire::settings settings;
    settings.piece_length = 4 * block_length;
    settings.total_size = 9ULL * settings.piece_length + block_length + 100;
    settings.fast = how & 1;
    settings.extensions = how & 2;
    time_point now{};
    wire::connection core{settings, now};
    constexpr std::size_t cuts[] = {1, 3, 17, 4096};
    auto const cut = cuts[how >> 2 & 3];
    if (settings.extensions) {
        wire::extension_handshake_message hello;
        hello.m.emplace("x", std::uint8_t{1});
        core.extension_handshake(hello);
    }
    core.send_bitfield(bitfield(10, how & 16));
    if (how & 32) core.unchoke();
    core.interested();
    static std::vector<byte_vector> places(8, byte_vector(block_length));  // making them takes longer than the rest
    std::uint32_t asked = 0;
    static byte_vector const block(128 * 1024);
    std::uint64_t owed = 0;
    while (size > 0) {
        while (asked < places.size()) {
            block_ref const ref{piece_index{asked / 4}, asked % 4 * block_length, block_length};
            if (!core.request(ref, places[asked], now)) break;
            ++asked;
        }
        auto const count = std::min(cut, size);
        auto const alive = core.receive(as_bytes(fuzz::text(data, count)), now);
        data += count;
        size -= count;
        now += std::chrono::milliseconds{count};
        while (auto const happened = core.next_event()) {
            if (auto const* have = std::get_if<wire::event::have>(&*happened))
                fuzz::require(to_number(have->piece) < 10, "a piece lies in the torrent");
            if (auto const* has = std::get_if<wire::event::has>(&*happened))
                fuzz::require(has->pieces.size() == 10, "a bitfield has the torrent's size");
            if (auto const* came = std::get_if<wire::event::block>(&*happened))
                fuzz::require(to_number(came->ref.piece) * 4 + came->ref.begin / block_length < asked,
                              "a block was asked for");
        }
        if (!alive) break;
        while (auto const wanted = core.next_upload()) {
            fuzz::require(wanted->length <= block.size() && to_number(wanted->piece) < 10,
                          "what is asked for is there");
            core.send_block(*wanted, byte_view{block}.first(wanted->length));
            ++owed;
        }
        std::array<byte_view, 16> runs;
        while (auto const filled = core.unsent(runs)) {
            std::size_t all = 0;
            for (std::size_t i = 0; i < filled; ++i) all += runs[i].size();
            core.sent(all, now);
        }
        fuzz::require(core.blocks_sent() == owed, "every block is counted");
        if (now >= core.deadline() && !core.wake(now)) break;
    }
    heap.within(input, 64, 4u << 20);
    return 0;
}
