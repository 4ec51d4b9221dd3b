#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// Options of somebody who fetches by hand into `folder`.
transfer_options by_hand(fs::path const& folder, happenings* events = nullptr) {
    auto options = fetching(folder);
    options.by_hand = true;
    if (events) options.on_event = events->keep();
    return options;
}
/// A torrent of eight pieces of 32 KiB, two files of four.
testing::content two_files() {
    return testing::make_content({{"a", 4 * 32'768}, {"b", 4 * 32'768}}, {});
}
}  // namespace

TEST_CASE("by hand nothing moves until it is asked for, and then only that", "[engine]") {
    auto const content = two_files();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto& seeder = here.start();
        auto& driven = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = driven.node->add(content.torrent, by_hand(to.path(), &events)).value();
        CHECK(co_await here.checked(fetched));
        fetched->connect({seeder.at});
        co_await here.outside.clock.sleep(700ms);
        CHECK(fetched->status().peers == 0);

        CHECK(co_await fetched->connect_to(seeder.at));
        auto const again = co_await fetched->connect_to(seeder.at);
        REQUIRE_FALSE(again);
        CHECK(again.error() == engine::errc::duplicate_peer);
        co_await here.outside.clock.sleep(700ms);
        CHECK(fetched->status().downloaded == 0);

        CHECK(co_await fetched->fetch_piece(seeder.at, piece_index{5}));
        CHECK(fetched->have().count() == 1);
        CHECK(fetched->have().test(piece_index{5}));
        CHECK(fetched->status().downloaded == 32'768);
        REQUIRE(events.all<engine::event::download_began>().size() == 1);
        CHECK(events.all<engine::event::download_began>()[0].from == seeder.at);
        auto const held = co_await fetched->fetch_piece(seeder.at, piece_index{5});
        REQUIRE_FALSE(held);
        CHECK(held.error() == engine::errc::piece_is_held);
        CHECK((co_await fetched->fetch_piece(seeder.at, piece_index{8})).error() == engine::errc::no_such_piece);

        fetched->set_automatic(true);
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
    });
}

TEST_CASE("a peer is known by the address it listens at, and each side sees the other come and go", "[engine]") {
    auto const content = two_files();
    testing::temporary_folder one, other;
    on_machine([&](machine& here) -> net::task<void> {
        happenings at_first, at_second;
        auto& first = here.start();
        auto& second = here.start();
        auto const a = first.node->add(content.torrent, by_hand(one.path(), &at_first)).value();
        auto const b = second.node->add(content.torrent, by_hand(other.path(), &at_second)).value();
        CHECK(co_await a->connect_to(second.at));
        CHECK(co_await here.comes_true([&] { return !at_second.all<engine::event::peer_introduced>().empty(); }));
        CHECK(at_second.all<engine::event::peer_introduced>()[0].at == first.at);
        CHECK_FALSE(at_second.all<engine::event::peer_introduced>()[0].outgoing);
        REQUIRE(b->peers().size() == 1);
        CHECK(b->peers()[0].listens_at == first.at);
        CHECK(b->known_peers() == std::vector{first.at});
        CHECK((co_await b->connect_to(first.at)).error() == engine::errc::duplicate_peer);

        auto const trip = co_await b->ping(first.at);
        REQUIRE(trip);
        CHECK(trip.value() > 0s);
        CHECK(trip.value() < 5s);
        REQUIRE(at_first.all<engine::event::ping_received>().size() == 1);
        CHECK(at_first.all<engine::event::ping_received>()[0].from == second.at);

        CHECK(co_await b->disconnect(first.at));
        CHECK(b->peers().empty());
        CHECK(co_await here.comes_true([&] { return !at_first.all<engine::event::peer_left>().empty(); }));
        CHECK(at_first.all<engine::event::peer_left>()[0].at == second.at);
        CHECK((co_await b->disconnect(first.at)).error() == engine::errc::not_connected);
        CHECK((co_await b->ping(first.at)).error() == engine::errc::not_connected);
        CHECK((co_await b->fetch_piece(first.at, piece_index{0})).error() == engine::errc::not_connected);
        CHECK(co_await a->connect_to(second.at));  // and comes again
    });
}

TEST_CASE("who cannot be reached is an error, and nothing is left behind", "[engine]") {
    auto const content = two_files();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& driven = here.start();
        auto const fetched = driven.node->add(content.torrent, by_hand(to.path())).value();
        auto closed = here.outside.network.listen(loopback()).value();
        auto const nobody = closed->local();
        closed->close();
        auto const refused = co_await fetched->connect_to(nobody);
        REQUIRE_FALSE(refused);
        CHECK(refused.error() == std::errc::connection_refused);
        auto const own = co_await fetched->connect_to(driven.at);
        REQUIRE_FALSE(own);
        CHECK(own.error() == engine::errc::own_connection);
        CHECK(fetched->status().peers == 0);
    });
}

TEST_CASE("a piece is asked of a peer that has it only", "[engine]") {
    auto const content = two_files();
    testing::temporary_folder empty, to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& poor = here.start();
        auto& driven = here.start();
        (void)poor.node->add(content.torrent, by_hand(empty.path())).value();
        auto const fetched = driven.node->add(content.torrent, by_hand(to.path())).value();
        CHECK(co_await fetched->connect_to(poor.at));
        auto const asked = co_await fetched->fetch_piece(poor.at, piece_index{0});
        REQUIRE_FALSE(asked);
        CHECK(asked.error() == engine::errc::piece_not_offered);
    });
}

TEST_CASE("a piece that ends in padding was sent when all before that was", "[engine]") {
    auto const content = testing::make_content({{"first", 20'000}, {"second", 100'000}},
                                               {.format = metainfo::format::hybrid, .piece_length = 4 * block_length});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events, at_one;
        auto& one = here.start();
        auto& driven = here.start();
        auto options = giving(from.path());
        options.on_event = at_one.keep();
        auto const given = one.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.checked(given));
        auto const fetched = driven.node->add(content.torrent, by_hand(to.path(), &events)).value();
        CHECK(co_await fetched->connect_to(one.at));
        CHECK(co_await fetched->fetch_piece(one.at, piece_index{0}));
        CHECK(given->status().uploaded == 20'000);
        CHECK(fetched->status().downloaded == 20'000);
        CHECK(at_one.all<engine::event::upload_finished>().size() == 1);
    });
}

TEST_CASE("several pieces are fetched by hand at once, each from the peer that was named", "[engine]") {
    auto const content = two_files();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events, at_one, at_other;
        auto& one = here.start();
        auto& other = here.start();
        auto& driven = here.start();
        auto with_events = [&](happenings& into) {
            auto options = giving(from.path());
            options.on_event = into.keep();
            return options;
        };
        auto const first = one.node->add(content.torrent, with_events(at_one)).value();
        auto const second = other.node->add(content.torrent, with_events(at_other)).value();
        CHECK(co_await here.checked(first));
        CHECK(co_await here.checked(second));
        auto const fetched = driven.node->add(content.torrent, by_hand(to.path(), &events)).value();
        CHECK(co_await fetched->connect_to(one.at));
        CHECK(co_await fetched->connect_to(other.at));
        net::task_group group{here.home};
        std::vector<bool> fine(9);
        auto const fetch = [&](std::size_t which, std::uint32_t piece) -> net::task<void> {
            auto const got = co_await fetched->fetch_piece(piece % 2 ? one.at : other.at, piece_index{piece});
            fine[which] = got.has_value();
        };
        for (std::uint32_t piece = 0; piece < 8; ++piece) group.spawn("fetch", fetch(piece, piece));
        group.spawn("fetch", fetch(8, 0));
        co_await group.join();
        CHECK_FALSE(fine[8]);  // busy, or held by then
        CHECK(std::ranges::count(fine, true) == 8);
        CHECK(first->status().uploaded == 4 * 32'768);
        CHECK(second->status().uploaded == 4 * 32'768);
        for (auto const& each : at_one.all<engine::event::upload_finished>()) {
            CHECK(to_number(each.piece) % 2 == 1);
            CHECK(each.to == driven.at);
        }
        CHECK(at_one.all<engine::event::upload_finished>().size() == 4);
        CHECK(at_other.all<engine::event::upload_began>().size() == 4);
    });
}

TEST_CASE("bad data ends a fetch by hand with the peer's ban", "[engine]") {
    auto const content = two_files();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto listener = here.outside.network.listen(loopback()).value();
        auto const liar_at = listener->local();
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            group.spawn("liar", testing::serve_lies(here.outside, std::move(listener), content, {.one_in = 1}));
            auto& driven = here.start();
            auto const fetched = driven.node->add(content.torrent, by_hand(to.path())).value();
            CHECK(co_await fetched->connect_to(liar_at));
            CHECK((co_await fetched->ping(liar_at)).error() == engine::errc::no_ping);
            auto const got = co_await fetched->fetch_piece(liar_at, piece_index{1});
            REQUIRE_FALSE(got);
            CHECK(got.error() == engine::errc::banned);
            CHECK(fetched->have().none());
            CHECK((co_await fetched->connect_to(liar_at)).error() == engine::errc::banned);
        });
    });
}

TEST_CASE("by hand a file gets its name when it is told to, and only when it is right", "[engine]") {
    auto const content = two_files();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto& seeder = here.start();
        auto& driven = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = driven.node->add(content.torrent, by_hand(to.path(), &events)).value();
        CHECK(co_await fetched->connect_to(seeder.at));
        for (std::uint32_t piece = 0; piece < 3; ++piece)
            CHECK(co_await fetched->fetch_piece(seeder.at, piece_index{piece}));
        CHECK((co_await fetched->finish_file(0)).error() == engine::errc::pieces_missing);
        CHECK((co_await fetched->finish_file(99)).error() == engine::errc::no_such_piece);
        CHECK(co_await fetched->fetch_piece(seeder.at, piece_index{3}));
        auto const path = content.path_of(to.path(), 0);
        CHECK_FALSE(fs::exists(path));
        {  // a byte changes behind our back: nothing is given a name
            std::fstream file(path.string() + ".part", std::ios::in | std::ios::out | std::ios::binary);
            file.seekp(40'000);
            file.put(static_cast<char>(std::to_integer<int>(content.files[0][40'000]) ^ 1));
        }
        CHECK((co_await fetched->finish_file(0)).error() == engine::errc::pieces_missing);
        CHECK_FALSE(fs::exists(path));
        CHECK_FALSE(fetched->have().test(piece_index{1}));
        CHECK(co_await fetched->fetch_piece(seeder.at, piece_index{1}));
        CHECK(co_await fetched->finish_file(0));
        CHECK(fs::exists(path));
        CHECK(co_await fetched->finish_file(0));
        CHECK(events.all<engine::event::completed>().empty());
        for (std::uint32_t piece = 4; piece < 8; ++piece)
            CHECK(co_await fetched->fetch_piece(seeder.at, piece_index{piece}));
        CHECK(co_await fetched->finish_file(1));
        CHECK(events.all<engine::event::completed>().size() == 1);
        CHECK(content.is_in(to.path()));
        // Both are complete now: the connection stays.
        CHECK(co_await here.completed(fetched));
    });
}

TEST_CASE("a fetch by hand ends when its peer is disconnected, and when the transfer stops", "[engine]") {
    auto const content = testing::make_content({{"one", 4'000'000}}, {.piece_length = 2 << 20});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start({.upload_limit = 200'000});
        auto& driven = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = driven.node->add(content.torrent, by_hand(to.path())).value();
        CHECK(co_await fetched->connect_to(seeder.at));
        std::optional<std::error_code> why;
        auto const fetch = [&]() -> net::task<void> {
            auto const got = co_await fetched->fetch_piece(seeder.at, piece_index{0});
            why = got ? std::error_code{} : got.error();
        };
        net::task_group group{here.home};
        group.spawn("fetch", fetch());
        CHECK(co_await here.comes_true([&] { return fetched->status().downloaded > 50'000; }));
        CHECK(co_await fetched->disconnect(seeder.at));
        co_await group.join();
        CHECK(why == engine::errc::disconnected);
        why.reset();
        CHECK(co_await fetched->connect_to(seeder.at));
        group.spawn("fetch", fetch());
        co_await here.outside.clock.sleep(50ms);
        co_await fetched->stop();
        co_await group.join();
        REQUIRE(why);
        CHECK(*why);
        CHECK((co_await fetched->connect_to(seeder.at)).error() == engine::errc::stopped);
    });
}

TEST_CASE("who leaves the trackers goes on with its peers, and automatic again it comes back to both", "[engine]") {
    testing::temporary_folder from, to;
    on_machine([&](machine& here) -> net::task<void> {
        std::vector<std::string> asked;
        net::http_server tracker{here.outside, [&](net::http_request const& request) {
                                     asked.emplace_back(request.target);
                                     return net::http_response{.body = "d8:intervali1800e5:peers0:e"};
                                 }};
        auto listener = here.outside.network.listen(loopback()).value();
        auto const url = "http://127.0.0.1:" + std::to_string(listener->local().port) + "/announce";
        auto const content = testing::make_content({{"a", 4 * 32'768}, {"b", 4 * 32'768}}, {.trackers = {url}});
        content.place(from.path());
        auto const times_asked = [&](std::string_view what) {
            return std::ranges::count_if(asked, [&](auto const& each) { return each.find(what) != each.npos; });
        };
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            auto const serve = [&](std::unique_ptr<net::listener> at) -> net::task<void> {
                (void)co_await tracker.serve(std::move(at));
            };
            group.spawn("tracker", serve(std::move(listener)));
            auto& seeder = here.start();
            auto options = giving(from.path());
            options.by_hand = true;  // it does not announce
            CHECK(co_await here.checked(seeder.node->add(content.torrent, std::move(options)).value()));
            auto& driven = here.start();
            auto const fetched = driven.node->add(content.torrent, by_hand(to.path())).value();
            CHECK(co_await here.checked(fetched));
            CHECK_FALSE(fetched->is_announcing());
            fetched->set_automatic(true);
            CHECK(fetched->is_announcing());
            CHECK(co_await here.comes_true([&] { return times_asked("event=started") == 1; }));
            fetched->set_automatic(false);
            CHECK(co_await fetched->connect_to(seeder.at));
            CHECK(times_asked("event=stopped") == 0);

            co_await fetched->stop_announcing();
            CHECK_FALSE(fetched->is_announcing());
            CHECK(times_asked("event=stopped") == 1);
            CHECK(co_await fetched->fetch_piece(seeder.at, piece_index{3}));

            CHECK(co_await fetched->disconnect(seeder.at));
            fetched->set_automatic(true);
            CHECK(co_await here.completed(fetched));
            CHECK(co_await here.comes_true([&] { return times_asked("event=started") == 2; }));
            co_await fetched->stop_announcing();
            co_await driven.node->stop();
            CHECK(times_asked("event=stopped") == 2);  // and no third one: they know already
            co_await seeder.node->stop();
        });
    });
}
