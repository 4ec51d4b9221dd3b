#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// Hosts of one local network, each with a node that listens.
struct local_network {
    testing::simulation world{3};
    std::vector<std::unique_ptr<engine::node>> nodes;

    engine::node& start(bool discovers = true) {
        engine::node_settings settings;
        settings.local_discovery = discovers;
        nodes.push_back(std::make_unique<engine::node>(world.host(nodes.size()), world.executor(), settings));
        CHECK(nodes.back()->listen({{}, 6881}));
        return *nodes.back();
    }
    ~local_network() {
        for (auto const& each : nodes) CHECK(world.run_to_end(each->stop(), 1min));
    }
};
}  // namespace

TEST_CASE("peers of one network find each other without any tracker", "[engine][local]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    local_network here;
    auto& seeder = here.start();
    auto& leecher = here.start();
    (void)seeder.add(content.torrent, giving(from.path())).value();
    here.world.run_for(2min);
    auto const fetched = leecher.add(content.torrent, fetching(to.path())).value();
    CHECK(here.world.run_until([&] { return fetched->status().state == engine::transfer_state::seeding; }, 30s));
    CHECK(content.is_in(to.path()));
}

TEST_CASE("fifteen hundred addresses that nobody answers at keep no neighbour out", "[engine][local]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    local_network here;
    auto& seeder = here.start();
    auto& leecher = here.start();
    auto options = fetching(to.path());
    for (std::uint16_t i = 0; i < engine::hearsay_max; ++i)
        options.hearsay.push_back(
            {ip_address::v4({10, 9, static_cast<std::uint8_t>(i / 250), static_cast<std::uint8_t>(i % 250)}), 2000});
    auto const fetched = leecher.add(content.torrent, std::move(options)).value();
    here.world.run_for(1h);
    CHECK(fetched->known_peers().size() == engine::hearsay_max);
    (void)seeder.add(content.torrent, giving(from.path())).value();
    CHECK(here.world.run_until([&] { return fetched->status().state == engine::transfer_state::seeding; }, 10min));
}

TEST_CASE("what a magnet link names is found on the local network", "[engine][local]") {
    auto const content = some_content();
    testing::temporary_folder from;
    content.place(from.path());
    local_network here;
    auto& seeder = here.start();
    auto& leecher = here.start();
    (void)seeder.add(content.torrent, giving(from.path())).value();
    here.world.run_for(2min);
    std::optional<result<engine::found_torrent>> found;
    auto const find = [&]() -> net::task<void> {
        metainfo::magnet link;
        link.info_hash_v1 = content.torrent->info_hash_v1();
        found.emplace(co_await leecher.find(link, {}));
    };
    here.world.spawn("find", find());
    REQUIRE(here.world.run_until([&] { return found.has_value(); }, 30s));
    CHECK(*found);
}

TEST_CASE("a torrent that is not public is not told of on the local network", "[engine][local]") {
    auto const is_found = [](testing::content const& content, std::function<void(transfer_options&)> change,
                             bool discovers = true) {
        testing::temporary_folder from, to;
        content.place(from.path());
        local_network here;
        auto& seeder = here.start();
        auto& leecher = here.start(discovers);
        auto options = giving(from.path());
        change(options);
        (void)seeder.add(content.torrent, std::move(options)).value();
        auto const fetched = leecher.add(content.torrent, fetching(to.path())).value();
        here.world.run_for(6min);
        return !fetched->known_peers().empty();
    };
    auto const content = some_content();
    CHECK(is_found(content, [](auto&) {}));
    CHECK_FALSE(is_found(content, [](auto&) {}, false));
    CHECK_FALSE(is_found(content, [](auto& options) { options.is_public = false; }));
    CHECK_FALSE(is_found(content, [](auto& options) { options.members_only = true; }));
    CHECK_FALSE(is_found(content, [](auto& options) { options.by_hand = true; }));
    CHECK_FALSE(is_found(testing::make_content({{"one", 400'000}}, {.is_private = true}), [](auto&) {}));
}
