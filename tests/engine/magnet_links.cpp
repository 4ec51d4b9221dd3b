#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <map>

#include "fixture.hpp"

import shoal.hash;
import shoal.wire;
using namespace fixture;

namespace {
enum class lie { wrong_bytes, too_large, rejects, silent, hangs_up, no_extensions, none };

net::task<result<void>> send(net::stream& to, std::uint8_t id, byte_vector const& payload) {
    byte_vector out(6);
    store_be(mutable_byte_view{out}, static_cast<std::uint32_t>(payload.size() + 2));
    out[4] = std::byte{20};
    out[5] = std::byte{id};
    out.insert(out.end(), payload.begin(), payload.end());
    co_return co_await to.write_all(out);
}

/// The next extension message, with its id; nothing when the peer hangs up.
net::task<std::optional<std::pair<std::uint8_t, byte_vector>>> receive(net::stream& from) {
    for (;;) {
        std::array<std::byte, 4> head;
        if (!co_await from.read_all(head)) co_return std::nullopt;
        byte_vector message(load_be<std::uint32_t>(head));
        if (!message.empty() && !co_await from.read_all(message)) co_return std::nullopt;
        if (message.size() < 2 || message[0] != std::byte{20}) continue;
        co_return std::pair{std::to_integer<std::uint8_t>(message[1]), byte_vector(message.begin() + 2, message.end())};
    }
}

net::task<std::optional<wire::handshake>> shake_hands(net::stream& with, wire::handshake ours, bool is_first) {
    auto const hello = wire::encode(ours);
    std::array<std::byte, wire::handshake_length> theirs;
    if (is_first && !co_await with.write_all(hello)) co_return std::nullopt;
    if (!co_await with.read_all(theirs)) co_return std::nullopt;
    if (!is_first && !co_await with.write_all(hello)) co_return std::nullopt;
    auto const heard = wire::parse_handshake(theirs);
    if (!heard) co_return std::nullopt;
    co_return heard.value();
}

/// With `lie::none` it serves `info`.
net::task<void> lie_to(std::unique_ptr<net::stream> stream, info_hash hash, std::uint32_t size, lie how,
                       byte_view info) {
    wire::handshake ours;
    ours.hash = hash;
    ours.id.bytes.fill(std::byte{'x'});
    ours.extensions = how != lie::no_extensions;
    if (how == lie::hangs_up || !co_await shake_hands(*stream, ours, false)) co_return;
    if (how == lie::too_large) size = 16u << 20;
    wire::extension_handshake_message hello;
    hello.m.emplace(wire::metadata_extension, std::uint8_t{9});
    hello.metadata_size = size;
    if (how != lie::silent && !co_await send(*stream, 0, wire::encode(hello))) co_return;
    std::uint8_t id = 0;
    while (auto const heard = co_await receive(*stream)) {
        if (heard->first == 0) {
            auto const theirs = wire::parse_extension_handshake(heard->second);
            id = theirs ? theirs.value().m.at(std::string{wire::metadata_extension}) : std::uint8_t{0};
            continue;
        }
        if (how == lie::silent) continue;
        auto const asked = wire::parse_metadata_message(heard->second);
        wire::metadata_message answer{wire::metadata_message::kind::reject, asked->piece};
        byte_vector const junk(wire::metadata_piece_size(size, asked->piece), std::byte{'j'});
        if (how != lie::rejects) {
            answer.what = wire::metadata_message::kind::data;
            answer.total_size = size;
            answer.data = junk;
            if (how == lie::none)
                answer.data = info.subspan(std::size_t{asked->piece} * wire::metadata_piece_length, junk.size());
        }
        if (!co_await send(*stream, id, wire::encode(answer))) co_return;
    }
}

net::task<void> accept_and_lie(std::unique_ptr<net::listener> at, net::task_group& group, info_hash hash,
                               std::uint32_t size, lie how, byte_view info = {}) {
    while (auto stream = co_await at->accept())
        group.spawn("liar", lie_to(std::move(stream.value()), hash, size, how, info));
}

net::task<result<engine::found_torrent>> found(machine& here, engine::node& by, metainfo::magnet link,
                                               std::vector<endpoint> from, duration patience = 10s) {
    co_return co_await net::with_deadline(here.outside.clock, here.outside.clock.now() + patience,
                                          by.find(std::move(link), {.connect = std::move(from)}));
}
}  // namespace

TEST_CASE("what a magnet link names is fetched from a peer, and then its content", "[engine][magnet]") {
    for (auto const format : {metainfo::format::v1, metainfo::format::hybrid}) {
        auto const content = some_content(format);
        testing::temporary_folder from, to;
        content.place(from.path());
        on_machine([&](machine& here) -> net::task<void> {
            auto& seeder = here.start();
            auto& leecher = here.start();
            (void)co_await here.give(seeder, content, from.path());
            auto link = metainfo::magnet_of(*content.torrent);
            link.peers.push_back({"127.0.0.1", seeder.at.port});
            auto const got = co_await found(here, *leecher.node, link, {});
            REQUIRE(got);
            auto const torrent = got.value().torrent;
            CHECK(std::ranges::equal(torrent->info_bytes(), content.torrent->info_bytes()));
            CHECK(torrent->swarm_hash() == content.torrent->swarm_hash());
            CHECK(got.value().peers == std::vector{seeder.at});
            auto const fetched = leecher.node->add(torrent, fetching(to.path(), got.value().peers)).value();
            CHECK(co_await here.completed(fetched));
            CHECK(content.is_in(to.path()));
        });
    }
}

TEST_CASE("an info dictionary of several pieces comes whole, though it is more than is sent at once",
          "[engine][magnet]") {
    std::vector<std::pair<std::string, std::size_t>> files;
    for (int i = 0; i < 9'000; ++i) files.push_back({"a file with a name of some length " + std::to_string(i), 1});
    auto const content = testing::make_content(files, {.format = metainfo::format::v1});
    REQUIRE(content.torrent->info_bytes().size() > 20 * wire::metadata_piece_length);
    testing::temporary_folder from;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto& leecher = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto const got = co_await found(here, *leecher.node, metainfo::magnet_of(*content.torrent), {seeder.at});
        REQUIRE(got);
        CHECK(std::ranges::equal(got.value().torrent->info_bytes(), content.torrent->info_bytes()));
    });
}

TEST_CASE("a client that asks for all pieces of an info dictionary at once gets them all", "[engine][magnet]") {
    std::vector<std::pair<std::string, std::size_t>> files;
    for (int i = 0; i < 30'000; ++i) files.push_back({"a file with a name of some length " + std::to_string(i), 1});
    auto const content = testing::make_content(files, {.format = metainfo::format::v1});
    auto const count = content.torrent->info_bytes().size() / wire::metadata_piece_length + 1;
    REQUIRE(count > engine::metadata_asked_max);  // more than is queued, and more than the socket takes at once
    testing::temporary_folder from;
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto options = giving(from.path());
        options.by_hand = true;
        (void)co_await here.checked(seeder.node->add(content.torrent, std::move(options)).value());
        auto stream = (co_await here.outside.network.connect(seeder.at, std::nullopt)).value();
        wire::handshake ours;
        ours.hash = content.torrent->swarm_hash();
        ours.id.bytes.fill(std::byte{'z'});
        ours.fast = false;
        REQUIRE(co_await shake_hands(*stream, ours, true));
        wire::extension_handshake_message hello;
        hello.m.emplace(wire::metadata_extension, std::uint8_t{5});
        CHECK(co_await send(*stream, 0, wire::encode(hello)));
        auto const theirs = wire::parse_extension_handshake((co_await receive(*stream))->second);
        auto const id = theirs.value().m.at(std::string{wire::metadata_extension});
        for (std::uint32_t piece = 0; piece < engine::metadata_asked_max; ++piece)
            CHECK(co_await send(*stream, id,
                                wire::encode(wire::metadata_message{wire::metadata_message::kind::request, piece})));
        for (std::uint32_t piece = 0; piece < engine::metadata_asked_max; ++piece) {
            auto const heard = co_await receive(*stream);
            REQUIRE(heard);
            auto const message = wire::parse_metadata_message(heard->second);
            CHECK(message->piece == piece);
            CHECK(message->what == wire::metadata_message::kind::data);
        }
    });
}

TEST_CASE("one honest peer among twenty liars is enough", "[engine][magnet]") {
    auto const content = some_content();
    testing::temporary_folder from;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            std::vector<endpoint> all;
            auto const size = static_cast<std::uint32_t>(content.torrent->info_bytes().size());
            for (int i = 0; i < 20; ++i) {
                auto listener = here.outside.network.listen(loopback()).value();
                all.push_back(listener->local());
                group.spawn("liars", accept_and_lie(std::move(listener), group, content.torrent->swarm_hash(), size,
                                                    static_cast<lie>(i % 6)));
            }
            auto& leecher = here.start();
            auto const link = metainfo::magnet_of(*content.torrent);
            auto const none = co_await found(here, *leecher.node, link, all, 1s);
            CHECK(none.error() == net::errc::timed_out);
            auto& seeder = here.start();
            (void)co_await here.give(seeder, content, from.path());
            all.push_back(seeder.at);
            auto const got = co_await found(here, *leecher.node, link, all);
            REQUIRE(got);
            CHECK(std::ranges::equal(got.value().torrent->info_bytes(), content.torrent->info_bytes()));
        });
    });
}

TEST_CASE("of each peer that was asked in vain for what a magnet link names the reason is told", "[engine][magnet]") {
    auto const content = some_content();
    on_machine([&](machine& here) -> net::task<void> {
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            std::map<lie, endpoint> at;
            engine::magnet_options options;
            for (auto const how : {lie::wrong_bytes, lie::rejects}) {
                auto listener = here.outside.network.listen(loopback()).value();
                at[how] = listener->local();
                options.connect.push_back(at[how]);
                group.spawn("liars",
                            accept_and_lie(std::move(listener), group, content.torrent->swarm_hash(),
                                           static_cast<std::uint32_t>(content.torrent->info_bytes().size()), how));
            }
            happenings seen;
            options.on_event = seen.keep();
            (void)co_await net::with_deadline(
                here.outside.clock, here.outside.clock.now() + 1s,
                here.start().node->find(metainfo::magnet_of(*content.torrent), std::move(options)));
            std::map<endpoint, std::error_code> why;
            for (auto const& each : seen.all<engine::event::peer_left>()) why.emplace(each.remote, each.why);
            CHECK(why[at[lie::wrong_bytes]] == engine::errc::banned);
            CHECK(why[at[lie::rejects]] == wire::errc::no_metadata);
        });
    });
}

TEST_CASE("an info dictionary that is a bomb is refused though its hash is right", "[engine][magnet]") {
    std::string many = "d1:al";
    for (int i = 0; i < 5'000'000; ++i) many += "0:";
    for (auto const& bomb : {"d1:a" + std::string(150'000, 'l') + std::string(150'000, 'e') + "e", many + "ee"}) {
        on_machine([&](machine& here) -> net::task<void> {
            co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
                auto const info = as_bytes(bomb);
                metainfo::magnet link;
                link.info_hash_v1 = hash::sha1_of(info);
                auto listener = here.outside.network.listen(loopback()).value();
                auto const at = listener->local();
                group.spawn("bomber", accept_and_lie(std::move(listener), group, link.swarm_hash(),
                                                     static_cast<std::uint32_t>(info.size()), lie::none, info));
                auto const got = co_await found(here, *here.start().node, link, {at}, 20s);
                REQUIRE_FALSE(got);
                CHECK(is(got.error(), condition::peer_fault));
            });
        });
    }
}

TEST_CASE("a magnet link of BitTorrent v2 alone is refused in so many words", "[engine][magnet]") {
    auto const content = some_content(metainfo::format::v2);
    on_machine([&](machine& here) -> net::task<void> {
        auto const got = co_await found(here, *here.start().node, metainfo::magnet_of(*content.torrent), {});
        CHECK(got.error() == engine::errc::v2_only);
    });
}

TEST_CASE("whoever asks for metadata without end gets it twice and is then refused", "[engine][magnet]") {
    auto const content = some_content();
    testing::temporary_folder from;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto stream = (co_await here.outside.network.connect(seeder.at, std::nullopt)).value();
        wire::handshake ours;
        ours.hash = content.torrent->swarm_hash();
        ours.id.bytes.fill(std::byte{'y'});
        ours.fast = false;
        REQUIRE(co_await shake_hands(*stream, ours, true));
        wire::extension_handshake_message hello;
        hello.m.emplace(wire::metadata_extension, std::uint8_t{5});
        REQUIRE(co_await send(*stream, 0, wire::encode(hello)));
        auto const theirs = wire::parse_extension_handshake((co_await receive(*stream))->second);
        REQUIRE(theirs);
        CHECK(theirs.value().metadata_size == content.torrent->info_bytes().size());
        auto const id = theirs.value().m.at(std::string{wire::metadata_extension});
        using kind = wire::metadata_message::kind;
        auto const answer_to = [&](std::uint32_t piece) -> net::task<kind> {
            CHECK(co_await send(*stream, id, wire::encode(wire::metadata_message{kind::request, piece})));
            auto const heard = co_await receive(*stream);
            REQUIRE(heard);
            CHECK(heard->first == 5);
            auto const message = wire::parse_metadata_message(heard->second);
            REQUIRE(message);
            CHECK(message->piece == piece);
            if (message->what == kind::data) CHECK(std::ranges::equal(message->data, content.torrent->info_bytes()));
            co_return message->what;
        };
        CHECK(co_await answer_to(1) == kind::reject);
        CHECK(co_await answer_to(UINT32_MAX) == kind::reject);
        int sent = 0, refused = 0;
        for (int i = 0; i < 50; ++i) (co_await answer_to(0) == kind::data ? sent : refused) += 1;
        CHECK(sent >= 2);
        CHECK(refused > 0);
    });
}

TEST_CASE("a peer that the user named is tried until it is there, however long that takes", "[engine][magnet]") {
    auto const content = some_content();
    testing::temporary_folder from;
    content.place(from.path());
    testing::simulation world{5};
    engine::node seeder{world.host(0), world.executor(), {}};
    engine::node leecher{world.host(1), world.executor(), {}};
    endpoint const at{world.address_of(0), 6881};
    std::optional<result<engine::found_torrent>> found;
    auto const find = [&]() -> net::task<void> {
        metainfo::magnet link;
        link.info_hash_v1 = content.torrent->info_hash_v1();
        engine::magnet_options options;
        options.connect = {at};
        found.emplace(co_await leecher.find(link, std::move(options)));
    };
    world.spawn("find", find());
    world.run_for(2h);  // more than eight tries in vain
    REQUIRE_FALSE(found);
    REQUIRE(seeder.listen(at));
    (void)seeder.add(content.torrent, giving(from.path())).value();
    CHECK(world.run_until([&] { return found.has_value(); }, 30min));
    CHECK((found && *found));
    CHECK(world.run_to_end(leecher.stop(), 10s));
    CHECK(world.run_to_end(seeder.stop(), 10s));
}
