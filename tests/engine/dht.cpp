#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

#include "fixture.hpp"

using namespace fixture;

namespace {
engine::node_settings with_dht(std::vector<endpoint> const& routers = {}) {
    engine::node_settings settings;
    settings.dht = true;
    for (auto const& each : routers) settings.dht_routers.push_back({each.address.to_string(), each.port});
    return settings;
}

/// Two who know one node, and nobody else.
struct strangers {
    explicit strangers(machine& here)
        : router(here.start(with_dht())),
          seeder(here.start(with_dht({router.at}))),
          leecher(here.start(with_dht({router.at}))) {}
    machine::party& router;
    machine::party& seeder;
    machine::party& leecher;
};

std::size_t told(happenings const& of) {
    std::size_t most = 0;
    for (auto const& each : of.all<engine::event::dht_searched>()) most = std::max(most, each.told);
    return most;
}
}  // namespace

TEST_CASE("peers find each other by the DHT alone", "[engine][dht]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto const [router, seeder, leecher] = strangers{here};
        happenings seen;
        auto options = giving(from.path());
        options.on_event = seen.keep();
        (void)seeder.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.comes_true([&] { return told(seen) > 0; }));
        CHECK(router.node->dht_nodes() > 0);
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path())).value();
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
    });
}

TEST_CASE("a magnet link without tracker and peer is found by the DHT", "[engine][dht]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto const [router, seeder, leecher] = strangers{here};
        (void)seeder.node->add(content.torrent, giving(from.path())).value();
        metainfo::magnet link;
        link.info_hash_v1 = content.torrent->info_hash_v1();
        auto const found = co_await net::with_deadline(here.outside.clock, here.outside.clock.now() + 20s,
                                                       leecher.node->find(link, {}));
        REQUIRE(found);
        CHECK(found.value().torrent->swarm_hash() == content.torrent->swarm_hash());
        CHECK(found.value().peers.empty());  // nobody named them
        auto const& hearsay = found.value().hearsay;
        CHECK(std::ranges::count(hearsay, seeder.at) == 1);
        auto options = fetching(to.path());
        options.hearsay = hearsay;
        auto const fetched = leecher.node->add(found.value().torrent, std::move(options)).value();
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
    });
}

TEST_CASE("peers tell each other where their nodes are, and need no router then", "[engine][dht]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start(with_dht());
        auto& leecher = here.start(with_dht());
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(
            co_await here.comes_true([&] { return leecher.node->dht_nodes() == 1 && seeder.node->dht_nodes() == 1; }));
        auto const state = leecher.node->dht_state();
        auto settings = with_dht();
        settings.dht_state = state;
        auto& again = here.start(settings);
        CHECK(co_await here.comes_true([&] { return again.node->dht_nodes() > 0; }));
        (void)co_await here.completed(fetched);
    });
}

TEST_CASE("a torrent's own nodes are begun with", "[engine][dht]") {
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& router = here.start(with_dht());
        auto content = some_content();
        byte_vector file = [&] {
            std::string const nodes = "5:nodesll9:127.0.0.1i" + std::to_string(router.at.port) + "eee";
            auto const info = content.torrent->info_bytes();
            byte_vector made;
            byte_writer{made}.text("d4:info").bytes(info).text(nodes).text("e");
            return made;
        }();
        auto const torrent = metainfo::parse_torrent(file);
        REQUIRE(torrent);
        auto& leecher = here.start(with_dht());
        (void)leecher.node->add(std::make_shared<metainfo::torrent const>(torrent.value()), fetching(to.path()))
            .value();
        CHECK(co_await here.comes_true([&] { return leecher.node->dht_nodes() == 1; }));
    });
}

TEST_CASE("the DHT hears nothing of a torrent that is not public", "[engine][dht]") {
    auto const hears = [](testing::content const& content, std::function<void(transfer_options&)> change) {
        testing::temporary_folder from;
        content.place(from.path());
        bool does = false;
        on_machine([&](machine& here) -> net::task<void> {
            auto& router = here.start(with_dht());
            auto& seeder = here.start(with_dht({router.at}));
            CHECK(co_await here.comes_true([&] { return seeder.node->dht_nodes() > 0; }));
            happenings seen;
            auto options = giving(from.path());
            options.on_event = seen.keep();
            change(options);
            auto const given = seeder.node->add(content.torrent, std::move(options)).value();
            CHECK(co_await here.checked(given));
            // A public torrent that is added after it has been told of: so would this one have been.
            auto const other = some_content(metainfo::format::v1, 99);
            testing::temporary_folder empty;
            happenings of_other;
            auto other_options = fetching(empty.path());
            other_options.on_event = of_other.keep();
            (void)seeder.node->add(other.torrent, std::move(other_options)).value();
            CHECK(co_await here.comes_true([&] { return told(of_other) > 0; }));
            does = told(seen) > 0;
        });
        return does;
    };
    auto const content = some_content();
    CHECK(hears(content, [](auto&) {}));
    CHECK_FALSE(hears(content, [](auto& options) { options.is_public = false; }));
    CHECK_FALSE(hears(content, [](auto& options) { options.members_only = true; }));
    CHECK_FALSE(hears(content, [](auto& options) { options.by_hand = true; }));
    CHECK_FALSE(hears(testing::make_content({{"one", 400'000}}, {.is_private = true}), [](auto&) {}));
}

TEST_CASE("a node goes on without a UDP port where its own is taken, and says why", "[engine][dht]") {
    on_machine([&](machine& here) -> net::task<void> {
        auto const taken = here.outside.network.open_datagram(loopback()).value();
        engine::node node{here.outside, here.home, with_dht()};
        auto const bound = node.listen(taken->local());
        CHECK(bound);
        CHECK(node.datagram_trouble());
        CHECK(node.dht_state().empty());
        co_await node.stop();
    });
}
