#include <array>
#include <catch2/catch.hpp>

#include "fixture.hpp"

import shoal.wire;
using namespace fixture;

TEST_CASE("when the seeder leaves, the leecher goes on as soon as another comes", "[engine]") {
    auto const content = testing::make_content({{"one", 3'000'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& first = here.start({.upload_limit = 2'000'000});
        auto& leecher = here.start();
        (void)co_await here.give(first, content, from.path());
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {first.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().pieces_have >= 20; }));
        co_await first.node->stop();
        CHECK(co_await here.comes_true([&] { return fetched->status().peers == 0; }));
        CHECK(fetched->status().state == engine::transfer_state::downloading);
        auto& second = here.start();
        (void)co_await here.give(second, content, from.path());
        fetched->connect({second.at});
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
    });
}

TEST_CASE("whoever asks for a torrent that the node does not have learns nothing", "[engine]") {
    auto const content = some_content();
    testing::temporary_folder from;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto const given = co_await here.give(seeder, content, from.path());
        CHECK(co_await here.checked(given));
        auto stream = (co_await here.outside.network.connect(seeder.at, std::nullopt)).value();
        wire::handshake hello;
        hello.hash.bytes[0] = std::byte{1};
        hello.id.bytes[0] = std::byte{2};
        auto const bytes = wire::encode(hello);
        CHECK(co_await stream->write_all(bytes));
        std::array<std::byte, 1> answer;
        auto const got =
            co_await net::with_deadline(here.outside.clock, here.outside.clock.now() + 10s, stream->read_all(answer));
        REQUIRE_FALSE(got);
        CHECK(got.error() != net::errc::timed_out);
        CHECK(given->status().peers == 0);
    });
}

TEST_CASE("a stranger whose first bytes begin no handshake is hung up on at once", "[engine]") {
    on_machine([](machine& here) -> net::task<void> {
        auto& node = here.start();
        auto stream = (co_await here.outside.network.connect(node.at, std::nullopt)).value();
        CHECK(co_await stream->write_all(as_bytes("GET / HTTP/1.1\r\n\r\n")));
        std::array<std::byte, 1> answer;
        auto const got = co_await net::with_deadline(
            here.outside.clock, here.outside.clock.now() + engine::handshake_timeout / 2, stream->read_all(answer));
        REQUIRE_FALSE(got);
        CHECK(got.error() != net::errc::timed_out);
    });
}

TEST_CASE("a peer that sends a wrong block is banned, and the rest comes from the other", "[engine]") {
    auto const content = testing::make_content({{"one", 2'000'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto listener = here.outside.network.listen(loopback()).value();
        auto const liar_at = listener->local();
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            group.spawn("liar", testing::serve_lies(here.outside, std::move(listener), content, {.one_in = 3}));
            auto& leecher = here.start();
            auto options = fetching(to.path(), {liar_at});
            options.on_event = events.keep();
            auto const fetched = leecher.node->add(content.torrent, std::move(options)).value();
            CHECK(co_await here.comes_true([&] { return events.left_with(engine::errc::banned); }));
            auto& seeder = here.start();
            (void)co_await here.give(seeder, content, from.path());
            fetched->connect({seeder.at});
            CHECK(co_await here.completed(fetched));
            CHECK(content.is_in(to.path()));
            CHECK(fetched->status().failed_pieces > 0);
            fetched->connect({liar_at});
            for (auto const& each : events.all<engine::event::peer_left>())
                if (each.why == engine::errc::banned) CHECK(each.remote == liar_at);
        });
    });
}

TEST_CASE("a node does not talk to itself", "[engine]") {
    auto const content = some_content();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto& leecher = here.start();
        auto options = fetching(to.path(), {leecher.at});
        options.on_event = events.keep();
        auto const fetched = leecher.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.checked(fetched));
        co_await here.outside.clock.sleep(200ms);
        CHECK(events.all<engine::event::peer_joined>().empty());
    });
}

TEST_CASE("where members only are served, whoever was not named is turned away, and comes in once he is", "[engine]") {
    auto const content = testing::make_content({{"one", 500'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto options = giving(from.path());
        options.members_only = true;
        auto const given = seeder.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.checked(given));
        auto const knock = [&]() -> net::task<bool> {
            auto stream = (co_await here.outside.network.connect(seeder.at, std::nullopt)).value();
            wire::handshake hello;
            hello.hash = content.torrent->swarm_hash();
            hello.id.bytes[0] = std::byte{2};
            CHECK(co_await stream->write_all(wire::encode(hello)));
            std::array<std::byte, 1> answer;
            auto const got = co_await net::with_deadline(here.outside.clock, here.outside.clock.now() + 10s,
                                                         stream->read_all(answer));
            CHECK((got || got.error() != net::errc::timed_out));
            co_return got.has_value();
        };
        CHECK_FALSE(co_await knock());
        CHECK(given->status().peers == 0);
        // The hub names him while he waits at the door.
        auto& leecher = here.start();
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().peers_known > 0; }));
        given->learn_uploaded({{leecher.at, 0}});
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
    });
}
