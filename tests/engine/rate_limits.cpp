#include <catch2/catch.hpp>

#include "fixture.hpp"
using namespace fixture;

TEST_CASE("a limited rate is used and held", "[engine]") {
    bool const is_upload = GENERATE(true, false);
    constexpr std::uint64_t limit = 4'000'000;
    auto const content = testing::make_content({{"one", 16'000'000}}, {.piece_length = 256 * 1024});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start({.upload_limit = is_upload ? limit : 0});
        auto& leecher = here.start({.download_limit = is_upload ? 0 : limit});
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().downloaded > limit / 4; }));
        auto& clock = here.outside.clock;
        auto const began = clock.now();
        auto const before = fetched->status().downloaded;
        co_await clock.sleep(2s);
        auto const seconds = std::chrono::duration<double>(clock.now() - began).count();
        auto const rate = static_cast<double>(fetched->status().downloaded - before) / seconds;
        CHECK(rate == Approx(limit).epsilon(0.1));
    });
}
