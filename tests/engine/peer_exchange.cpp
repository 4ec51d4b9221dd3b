#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <span>

#include "fixture.hpp"

import shoal.wire;
using namespace fixture;

namespace {
/// Somebody who connects to a node and says what he is told to.
struct gossip {
    machine& here;
    testing::content const& content;
    std::unique_ptr<net::stream> stream{};
    std::optional<wire::connection> core{};

    net::task<void> connect(endpoint to) {
        stream = (co_await here.outside.network.connect(to, std::nullopt)).value();
        wire::handshake ours;
        ours.hash = content.torrent->swarm_hash();
        ours.id.bytes.fill(std::byte{'g'});
        CHECK(co_await stream->write_all(wire::encode(ours)));
        std::array<std::byte, wire::handshake_length> theirs;
        CHECK(co_await stream->read_all(theirs));
        wire::settings settings;
        settings.piece_length = content.torrent->pieces().piece_length();
        settings.total_size = content.torrent->pieces().total_size();
        settings.fast = settings.extensions = true;
        core.emplace(settings, here.outside.clock.now());
        wire::extension_handshake_message hello;
        hello.m.emplace(wire::exchange_extension, std::uint8_t{4});
        core->extension_handshake(hello);
        core->send_bitfield(bitfield(content.torrent->pieces().piece_count(), false));
        co_await flush();
    }
    net::task<void> flush() {
        std::array<byte_view, 8> runs;
        while (auto const count = core->unsent(runs)) {
            auto const wrote = co_await stream->write_some(std::span<byte_view const>{runs}.first(count));
            if (!wrote) co_return;
            core->sent(wrote.value(), here.outside.clock.now());
        }
    }
    net::task<void> say(std::uint8_t id, wire::exchange_message const& what) {
        core->extension_message(id, wire::encode(what));
        co_await flush();
    }
    /// What the node's handshake names `ut_pex`; 0 when it does not.
    net::task<std::uint8_t> exchange_id() {
        byte_vector inbox(4096);
        for (;;) {
            auto const got = co_await stream->read_some(mutable_byte_view{inbox});
            REQUIRE(got);
            REQUIRE(core->receive(byte_view{inbox}.first(got.value()), here.outside.clock.now()));
            bool has_come = false;
            while (auto const happened = core->next_event())
                has_come = has_come || std::holds_alternative<wire::event::extension_handshake>(*happened);
            if (!has_come) continue;
            auto const& names = core->peer_extensions().m;
            auto const at = names.find(std::string{wire::exchange_extension});
            co_return at == names.end() ? std::uint8_t{0} : at->second;
        }
    }
};

/// `count` addresses of this machine at which nobody listens.
wire::exchange_message invented(std::uint8_t count, std::uint16_t port = 6881) {
    wire::exchange_message made;
    for (std::uint8_t i = 0; i < count; ++i) made.added.push_back({{ip_address::v4({127, 0, 9, i}), port}});
    return made;
}
}  // namespace

TEST_CASE("peers of one peer find each other through it, without any tracker", "[engine][exchange]") {
    auto const content = testing::make_content({{"one", 4'000'000}}, {});
    testing::temporary_folder from, first, second;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start({.upload_limit = 1'000'000});
        (void)co_await here.give(seeder, content, from.path());
        auto& one = here.start();
        auto& other = here.start();
        auto const a = one.node->add(content.torrent, fetching(first.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return a->status().peers == 1; }));
        auto const b = other.node->add(content.torrent, fetching(second.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] {
            auto const known = b->known_peers();
            return std::ranges::find(known, one.at) != known.end() && b->status().peers == 2;
        }));
        CHECK(co_await here.completed(a));
        CHECK(co_await here.completed(b));
        CHECK(content.is_in(second.path()));
    });
}

TEST_CASE("a peer may tell of fifty others a minute, and of nobody's mail server", "[engine][exchange]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& node = here.start();
        auto const fetched = node.node->add(content.torrent, fetching(to.path())).value();
        CHECK(co_await here.checked(fetched));
        gossip peer{here, content};
        co_await peer.connect(node.at);
        auto const id = co_await peer.exchange_id();
        REQUIRE(id != 0);
        co_await peer.say(id, invented(200, 25));  // heard, and nothing in it is of use
        auto const count = [&] { return fetched->known_peers().size(); };
        co_await here.outside.clock.sleep(50ms);
        CHECK(count() == 0);
        co_await peer.say(id, invented(200));  // too soon after the first
        co_await here.outside.clock.sleep(50ms);
        CHECK(count() == 0);
        gossip another{here, content};
        peer.stream->close();
        CHECK(co_await here.comes_true([&] { return fetched->status().peers == 0; }));
        co_await another.connect(node.at);
        auto const new_id = co_await another.exchange_id();
        co_await another.say(new_id, invented(200));
        CHECK(co_await here.comes_true([&] { return count() == wire::exchanged_max; }));
    });
}

TEST_CASE("peers that all lie at one address are no more than two", "[engine][exchange]") {
    auto const content = some_content();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& node = here.start();
        auto const fetched = node.node->add(content.torrent, fetching(to.path())).value();
        CHECK(co_await here.checked(fetched));
        fetched->set_automatic(false);  // it hears, and connects to nobody
        gossip peer{here, content};
        co_await peer.connect(node.at);
        auto const id = co_await peer.exchange_id();
        wire::exchange_message victim;
        for (std::uint16_t i = 0; i < 40; ++i)
            victim.added.push_back({{ip_address::v4({10, 1, 2, 3}), static_cast<std::uint16_t>(2000 + i)}});
        victim.added.push_back({{ip_address::v4({10, 1, 2, 4}), 2000}});
        co_await peer.say(id, victim);
        CHECK(co_await here.comes_true([&] { return fetched->known_peers().size() == 3; }));
    });
}

TEST_CASE("once a hub lets in members alone, hearsay is forgotten and strangers are sent away", "[engine][exchange]") {
    auto const content = some_content();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& node = here.start();
        auto options = fetching(to.path());
        happenings seen;
        options.on_event = seen.keep();
        auto const fetched = node.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.checked(fetched));
        gossip stranger{here, content};
        co_await stranger.connect(node.at);
        auto const id = co_await stranger.exchange_id();
        co_await stranger.say(id, invented(10));
        CHECK(co_await here.comes_true([&] { return fetched->known_peers().size() == 10; }));
        fetched->serve_members_only();
        CHECK(co_await here.comes_true([&] { return fetched->status().peers == 0; }));
        CHECK(co_await here.comes_true([&] { return fetched->known_peers().empty(); }));
        CHECK(seen.left_with(engine::errc::disconnected));
    });
}

TEST_CASE("of a torrent that is not public nobody is taken on hearsay", "[engine][exchange]") {
    testing::temporary_folder to;
    auto const content = testing::make_content({{"one", 400'000}}, {.is_private = true});
    on_machine([&](machine& here) -> net::task<void> {
        auto& node = here.start();
        auto options = fetching(to.path());
        options.hearsay = {loopback(6881)};
        auto const fetched = node.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.checked(fetched));
        CHECK(fetched->known_peers().empty());
    });
}

TEST_CASE("private torrents, transfers by hand and those without it exchange no peers", "[engine][exchange]") {
    auto const is_offered = [](testing::content const& content, std::function<void(transfer_options&)> change) {
        testing::temporary_folder to;
        bool is = false;
        on_machine([&](machine& here) -> net::task<void> {
            auto& node = here.start();
            auto options = fetching(to.path());
            change(options);
            auto const fetched = node.node->add(content.torrent, std::move(options)).value();
            CHECK(co_await here.checked(fetched));
            gossip peer{here, content};
            co_await peer.connect(node.at);
            is = co_await peer.exchange_id() != 0;
            co_await peer.say(3, invented(10));
            co_await here.outside.clock.sleep(50ms);
            CHECK(fetched->known_peers().size() == (is ? 10 : 0));
        });
        return is;
    };
    auto const content = some_content();
    CHECK(is_offered(content, [](auto&) {}));
    CHECK_FALSE(is_offered(content, [](auto& options) { options.peer_exchange = false; }));
    CHECK_FALSE(is_offered(content, [](auto& options) { options.by_hand = true; }));
    auto hidden = testing::make_content({{"one", 400'000}}, {.is_private = true});
    CHECK_FALSE(is_offered(hidden, [](auto&) {}));
}
