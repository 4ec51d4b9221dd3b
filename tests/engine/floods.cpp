#include <catch2/catch.hpp>

#include "fixture.hpp"

import shoal.wire;
using namespace fixture;

namespace {
/// Shakes hands and sends requests for one block, choked or not, as fast as the other side takes them; comes again when
/// it is closed. Source: class C4.
net::task<void> flood(net::environment& outside, endpoint seeder, testing::content const& what, std::uint64_t& sent) {
    constexpr std::size_t at_once = 4096;
    byte_vector requests;
    for (std::size_t i = 0; i < at_once; ++i)
        byte_writer{requests}
            .be(std::uint32_t{13})
            .be(std::uint8_t{6})
            .be(std::uint32_t{0})
            .be(std::uint32_t{0})
            .be(std::uint32_t{block_length});
    for (std::uint8_t visit = 1;; ++visit) {
        auto const stream = (co_await outside.network.connect(seeder, std::nullopt)).value();
        wire::handshake hello;
        hello.hash = what.torrent->swarm_hash();
        hello.id.bytes[0] = std::byte{visit};
        if (!co_await stream->write_all(wire::encode(hello))) continue;
        while (co_await net::with_deadline(outside.clock, outside.clock.now() + 1s, stream->write_all(requests)))
            sent += at_once;
    }
}
}  // namespace

TEST_CASE("a flood of requests leaves an honest peer its rate", "[engine]") {
    constexpr std::uint64_t limit = 4'000'000;
    constexpr int floods = 4;
    auto const content = testing::make_content({{"one", 24'000'000}}, {.piece_length = 256 * 1024});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start({.upload_limit = limit});
        auto& leecher = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().downloaded > limit / 4; }));
        auto& clock = here.outside.clock;
        auto const rate_over = [&](duration length) -> net::task<double> {
            auto const began = clock.now();
            auto const before = fetched->status().downloaded;
            co_await clock.sleep(length);
            auto const seconds = std::chrono::duration<double>(clock.now() - began).count();
            co_return static_cast<double>(fetched->status().downloaded - before) / seconds;
        };
        auto const alone = co_await rate_over(1500ms);
        std::uint64_t sent = 0;
        double beside = 0;
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            for (int i = 0; i < floods; ++i) group.spawn("flood", flood(here.outside, seeder.at, content, sent));
            CHECK(co_await here.comes_true([&] { return sent > 100'000; }));
            beside = co_await rate_over(1500ms);
        });
        CAPTURE(sent);
        CHECK(beside >= 0.9 * alone);
    });
}
