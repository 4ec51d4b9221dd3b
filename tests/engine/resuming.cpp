#include <catch2/catch.hpp>
#include <fstream>

#include "fixture.hpp"
using namespace fixture;

TEST_CASE("what is there already is not fetched again", "[engine]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    content.place(to.path());
    std::size_t big = 0;
    while (content.torrent->content().files()[big].joined() != "deep/er/b") ++big;
    {  // one byte of the big file differs, and the small ones are missing
        std::fstream file(content.path_of(to.path(), big), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(600'000);
        file.put(static_cast<char>(std::to_integer<int>(content.files[big][600'000]) ^ 1));
    }
    fs::remove(content.path_of(to.path(), 0));
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto& leecher = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.checked(fetched));
        CHECK(fetched->status().bytes_left > 0);
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
        CHECK(fetched->status().downloaded < 600'000);
    });
}

TEST_CASE("what is only given away becomes durable too", "[engine]") {
    auto const content = testing::make_content({{"one", 300'000}}, {});
    testing::temporary_folder from;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto const given = co_await here.give(seeder, content, from.path());
        CHECK(co_await here.comes_true([&] { return given->is_durable(); }));
    });
}

TEST_CASE("a transfer that is stopped goes on later where it was", "[engine]") {
    auto const content = testing::make_content({{"one", 3'000'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start({.upload_limit = 2'000'000});
        auto& first = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto const begun = first.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return begun->status().pieces_have >= 20; }));
        co_await begun->stop();
        auto const had = begun->status().pieces_have;
        CHECK(begun->status().state == engine::transfer_state::stopped);
        CHECK(had < begun->status().pieces_total);
        auto const stopped = co_await here.completed(begun);
        REQUIRE_FALSE(stopped);
        CHECK(stopped.error() == engine::errc::stopped);
        co_await first.node->stop();

        auto& second = here.start();
        auto const resumed = second.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.checked(resumed));
        CHECK(resumed->status().pieces_have >= had);
        CHECK(co_await here.completed(resumed));
        CHECK(content.is_in(to.path()));
        CHECK(resumed->status().downloaded <= 3'000'000u - (had - 1) * 32'768u);
    });
}

TEST_CASE("a transfer can be stopped at once, while it is being checked, and twice", "[engine]") {
    auto const content = some_content();
    testing::temporary_folder from;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        for (auto const wait : {0ms, 1ms, 3ms}) {
            auto& each = here.start();
            auto const added = each.node->add(content.torrent, fetching(from.path())).value();
            co_await here.outside.clock.sleep(wait);
            co_await added->stop();
            co_await added->stop();
            co_await each.node->stop();
            co_await each.node->stop();
        }
        // The journal proves all now, so that nothing is left to wait for.
        auto& last = here.start();
        auto const added = last.node->add(content.torrent, fetching(from.path())).value();
        CHECK(co_await here.completed(added));
        co_await last.node->stop();
        for (auto const wait : {0us, 100us, 300us, 1000us}) {
            auto& each = here.start();
            auto const again = each.node->add(content.torrent, fetching(from.path())).value();
            co_await here.outside.clock.sleep(wait);
            co_await each.node->stop();
        }
    });
}
