#include <algorithm>
#include <catch2/catch.hpp>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// One file of ten pieces, and a hybrid whose v1 half is of that file, and whose v2 half is of another one.
struct two_contents {
    testing::content v1 = testing::make_content({{"a", 10 * 32 * 1024}}, {.seed = 2});
    testing::content v2 = testing::make_content({{"a", 10 * 32 * 1024}}, {.seed = 1});

    static std::string pieces_of(testing::content const& of) {
        std::string const info{as_text(of.torrent->info_bytes())};
        return info.substr(info.find("6:pieces"), 8 + 4 + 20 * std::size_t{of.torrent->pieces().piece_count()});
    }
    std::string info() const {
        std::string made{as_text(v2.torrent->info_bytes())};
        made.replace(made.find(pieces_of(v2)), pieces_of(v2).size(), pieces_of(v1));
        return made;
    }
    /// As a magnet link gives it.
    std::shared_ptr<metainfo::torrent const> by_link() const {
        return std::make_shared<metainfo::torrent const>(metainfo::parse_info(as_bytes(info())).value());
    }
    /// With the layer of the other content.
    std::shared_ptr<metainfo::torrent const> by_file() const {
        std::string const layer{as_text(v2.torrent->piece_layer(0))};
        std::string const root{as_text(v2.torrent->content().files()[0].pieces_root->view())};
        auto const whole =
            "d4:info" + info() + "12:piece layersd32:" + root + std::to_string(layer.size()) + ":" + layer + "ee";
        return std::make_shared<metainfo::torrent const>(metainfo::parse_torrent(as_bytes(whole)).value());
    }
};
}  // namespace

TEST_CASE("a hybrid by magnet link whose hashes are of different bytes is given up, and blamed on nobody", "[engine]") {
    two_contents const both;
    auto const torrent = both.by_link();
    REQUIRE_FALSE(torrent->has_piece_roots());
    testing::temporary_folder from, to;
    both.v1.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto& leecher = here.start();
        auto options = giving(from.path());
        options.is_hashed = true;  // as one who looks at the v1 hashes alone
        (void)seeder.node->add(both.by_file(), std::move(options)).value();
        happenings seen;
        auto fetch = fetching(to.path(), {seeder.at});
        fetch.on_event = seen.keep();
        auto const fetched = leecher.node->add(torrent, std::move(fetch)).value();
        co_await ends_as_contradiction(here, fetched, seen);
        CHECK(seen.all<engine::event::piece_rejected>().empty());
        CHECK(seen.all<engine::event::completed>().empty());
        CHECK(fetched->have().count() < torrent->pieces().piece_count());
        CHECK_FALSE(fs::exists(both.v1.path_of(to.path(), 0)));  // under its final name
    });
}

TEST_CASE("a hybrid without piece layers whose hashes are of different bytes is not given away", "[engine]") {
    two_contents const both;
    testing::temporary_folder from, to;
    both.v1.place(from.path());
    bool const may_write = GENERATE(false, true);
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto& leecher = here.start();
        auto const given = seeder.node->add(both.by_link(), may_write ? fetching(from.path()) : giving(from.path()));
        auto const checked = co_await here.checked(given.value());
        REQUIRE_FALSE(checked);
        CHECK(checked.error() == store::errc::hashes_disagree);
        CHECK(given.value()->status().state == engine::transfer_state::failed);
        CHECK_FALSE(given.value()->is_announcing());
        auto const fetched = leecher.node->add(both.by_link(), fetching(to.path())).value();
        CHECK_FALSE(co_await fetched->connect_to(seeder.at));
        CHECK(fetched->have().none());
    });
}
