#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// A tracker's reply with one peer. Source: BEP 23.
std::string reply_with(endpoint const& peer) {
    std::string text = "d8:intervali1800e5:peers6:";
    for (auto const octet : {127, 0, 0, 1}) text += static_cast<char>(octet);
    text += static_cast<char>(peer.port >> 8);
    text += static_cast<char>(peer.port & 0xff);
    return text + "e";
}

/// One leecher that misses everything and a tracker, in simulated time.
struct tracker_alone {
    /// `answer` is given the seconds since the start, and returns the body of the reply.
    std::vector<std::int64_t> asked_within(duration length, std::function<std::string(std::int64_t)> answer) {
        testing::simulation world{1};
        std::vector<std::int64_t> asked;
        auto const begun = world.now();
        net::http_server tracker{world.host(0), [&](net::http_request const& request) {
                                     auto const second = std::chrono::floor<std::chrono::seconds>(world.now() - begun);
                                     targets.emplace_back(request.target);
                                     asked.push_back(second.count());
                                     return net::http_response{.body = answer(second.count())};
                                 }};
        auto const url = "http://" + world.address_of(0).to_string() + ":80/announce";
        auto const content = testing::make_content({{"one", 100'000}}, {.trackers = {url}});
        engine::node leecher{world.host(1), world.executor(), {}};
        auto const serve = [&]() -> net::task<void> {
            (void)co_await tracker.serve(world.host(0).network.listen({{}, 80}).value());
        };
        world.spawn("tracker", serve());
        engine::transfer_options options;
        options.storage.directory = to.path();
        options.on_event = events.keep();
        auto const fetched = leecher.add(content.torrent, std::move(options)).value();
        world.run_for(length);
        CHECK(world.run_to_end(leecher.stop(), 10s));
        return asked;
    }
    testing::temporary_folder to;
    std::vector<std::string> targets;
    happenings events;
};
using seconds_list = std::vector<std::int64_t>;
}  // namespace

TEST_CASE("a tracker brings peers together and hears of start, completion and end", "[engine]") {
    testing::temporary_folder from, to;
    on_machine([&](machine& here) -> net::task<void> {
        std::vector<std::string> asked;
        endpoint known;
        net::http_server tracker{here.outside, [&](net::http_request const& request) {
                                     asked.emplace_back(request.target);
                                     return net::http_response{.body = reply_with(known)};
                                 }};
        auto listener = here.outside.network.listen(loopback()).value();
        auto const url = "http://127.0.0.1:" + std::to_string(listener->local().port) + "/announce";
        auto const content = testing::make_content({{"one", 1'000'000}}, {.trackers = {url}});
        content.place(from.path());
        auto const was_asked = [&](std::string const& what) {
            for (auto const& each : asked)
                if (each.find(what) != std::string::npos) return true;
            return false;
        };
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            auto const serve = [&](std::unique_ptr<net::listener> at) -> net::task<void> {
                (void)co_await tracker.serve(std::move(at));
            };
            group.spawn("tracker", serve(std::move(listener)));
            auto& seeder = here.start();
            auto& leecher = here.start();
            known = seeder.at;
            (void)co_await here.give(seeder, content, from.path());
            auto const fetched = leecher.node->add(content.torrent, fetching(to.path())).value();
            CHECK(co_await here.completed(fetched));
            CHECK(content.is_in(to.path()));
            CHECK(was_asked("event=started"));
            CHECK(was_asked("port=" + std::to_string(leecher.at.port)));
            CHECK(co_await here.comes_true([&] { return was_asked("event=completed"); }));
            CHECK_FALSE(was_asked("event=stopped"));
            co_await leecher.node->stop();
            CHECK(was_asked("event=stopped"));
            co_await seeder.node->stop();
        });
    });
}

TEST_CASE("a seeder that nobody can connect to connects to those whom the tracker names", "[engine]") {
    testing::temporary_folder from, to;
    on_machine([&](machine& here) -> net::task<void> {
        endpoint known;
        net::http_server tracker{
            here.outside, [&](net::http_request const& request) {
                bool const is_asked = request.target.find("numwant=0") == std::string_view::npos;
                return net::http_response{.body = is_asked ? reply_with(known) : "d8:intervali1800e5:peers0:e"};
            }};
        auto listener = here.outside.network.listen(loopback()).value();
        auto const url = "http://127.0.0.1:" + std::to_string(listener->local().port) + "/announce";
        auto const content = testing::make_content({{"one", 300'000}}, {});
        content.place(from.path());
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            auto const serve = [&](std::unique_ptr<net::listener> at) -> net::task<void> {
                (void)co_await tracker.serve(std::move(at));
            };
            group.spawn("tracker", serve(std::move(listener)));
            auto& leecher = here.start();
            known = leecher.at;
            auto const fetched = leecher.node->add(content.torrent, fetching(to.path())).value();
            CHECK(co_await here.checked(fetched));
            auto& seeder = here.start();
            auto options = giving(from.path());
            options.trackers = {url};
            (void)seeder.node->add(content.torrent, std::move(options)).value();
            CHECK(co_await here.completed(fetched));
            co_await seeder.node->stop();
        });
    });
}

TEST_CASE("a tracker hears of completion though it failed meanwhile, and only of one that it missed", "[engine]") {
    testing::temporary_folder from, to;
    on_machine([&](machine& here) -> net::task<void> {
        std::vector<std::string> asked;
        bool is_failing = false;
        net::http_server tracker{here.outside, [&](net::http_request const& request) {
                                     asked.emplace_back(request.target);
                                     if (std::exchange(is_failing, false)) return net::http_response{.status = 500};
                                     return net::http_response{.body = "d8:intervali1800e5:peers0:e"};
                                 }};
        auto listener = here.outside.network.listen(loopback()).value();
        auto const url = "http://127.0.0.1:" + std::to_string(listener->local().port) + "/announce";
        auto const content = testing::make_content({{"one", 300'000}}, {.trackers = {url}});
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
            (void)co_await here.give(seeder, content, from.path());
            auto& leecher = here.start();
            auto fetched = leecher.node->add(content.torrent, fetching(to.path())).value();
            CHECK(co_await here.comes_true([&] { return times_asked("event=started") == 2; }));
            is_failing = true;
            fetched->connect({seeder.at});
            CHECK(co_await here.completed(fetched));
            CHECK(co_await here.comes_true([&] { return times_asked("event=completed") == 2; }));
            co_await fetched->stop();
            fetched = leecher.node->add(content.torrent, fetching(to.path())).value();
            CHECK(co_await here.completed(fetched));
            CHECK(co_await here.comes_true([&] { return times_asked("event=started") == 3; }));
            co_await here.outside.clock.sleep(200ms);
            CHECK(times_asked("event=completed") == 2);
            co_await leecher.node->stop();
            co_await seeder.node->stop();
        });
    });
}

TEST_CASE("a tracker that refuses is reported in its own words, and the next one is asked", "[engine]") {
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        net::http_server tracker{here.outside, [](net::http_request const&) {
                                     return net::http_response{.body = "d14:failure reason4:no! e"};
                                 }};
        auto listener = here.outside.network.listen(loopback()).value();
        auto const url = "http://127.0.0.1:" + std::to_string(listener->local().port) + "/announce";
        auto const content = testing::make_content({{"one", 100'000}}, {.trackers = {"udp://127.0.0.1:1", url}});
        co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
            auto const serve = [&](std::unique_ptr<net::listener> at) -> net::task<void> {
                (void)co_await tracker.serve(std::move(at));
            };
            group.spawn("tracker", serve(std::move(listener)));
            auto options = fetching(to.path());
            options.on_event = events.keep();
            auto& leecher = here.start();
            (void)leecher.node->add(content.torrent, std::move(options)).value();
            CHECK(co_await here.comes_true([&] {
                for (auto const& each : events.all<engine::event::announce_failed>())
                    if (each.url == url && each.why == "no! ") return true;
                return false;
            }));
            co_await leecher.node->stop();
        });
    });
}

TEST_CASE("a hungry leecher asks no sooner than each minute, or than the tracker allows", "[engine]") {
    CHECK(tracker_alone{}.asked_within(130s, [](auto) { return "d8:intervali1800e5:peers0:e"; }).size() == 3 + 1);
    CHECK(
        tracker_alone{}.asked_within(130s, [](auto) { return "d8:intervali1e12:min intervali1e5:peers0:e"; }).size() ==
        3 + 1);  // and one that says farewell
    tracker_alone slow;
    auto const asked = slow.asked_within(950s, [](auto) { return "d8:intervali1800e12:min intervali300e5:peers0:e"; });
    CHECK(asked == seconds_list{0, 300, 600, 900, 950});
    CHECK(slow.targets.front().find("event=started") != std::string::npos);
    CHECK(slow.targets.back().find("event=stopped") != std::string::npos);
    CHECK(tracker_alone{}.asked_within(1100s, [](auto) { return "d8:intervali200e12:min intervali500e5:peers0:e"; }) ==
          seconds_list{0, 500, 1000, 1100});
}

TEST_CASE("a tracker that refuses is asked again when it says, and never when it says so", "[engine]") {
    auto const refusal = [](std::string const& retry) { return "d14:failure reason2:no8:retry in" + retry + "e"; };
    CHECK(tracker_alone{}.asked_within(1300s, [&](auto) { return refusal("i10e"); }) == seconds_list{0, 600, 1200});
    tracker_alone never;
    CHECK(never.asked_within(7200s, [&](auto) { return refusal("5:never"); }) == seconds_list{0});
    REQUIRE(never.events.all<engine::event::announce_failed>().size() == 1);
    CHECK(never.events.all<engine::event::announce_failed>().front().why == "no");
    // Known to it for a while, then not wanted any more: no farewell either.
    CHECK(tracker_alone{}.asked_within(7200s, [&](auto second) {
        return second < 100 ? std::string{"d8:intervali60e5:peers0:e"} : refusal("5:never");
    }) == seconds_list{0, 60, 120});
    // One that does not say is asked soon, then less and less often.
    CHECK(tracker_alone{}.asked_within(40s, [&](auto) { return "d14:failure reason2:noe"; }) ==
          seconds_list{0, 5, 15, 35});
}

TEST_CASE("the scheme of a tracker may be written in capitals", "[engine]") {
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto const socket = here.outside.network.open_datagram(loopback()).value();
        auto const url = "UDP://127.0.0.1:" + std::to_string(socket->local().port) + "/announce";
        auto const content = testing::make_content({{"one", 100'000}}, {.trackers = {url}});
        auto& leecher = here.start();
        (void)leecher.node->add(content.torrent, fetching(to.path())).value();
        std::array<net::datagram, 1> arrived;
        auto const got =
            co_await net::with_deadline(here.outside.clock, here.outside.clock.now() + 5s, socket->receive(arrived));
        CHECK((got && got.value() == 1));
        CHECK(arrived[0].bytes.size() == 16);  // BEP 15, "connect"
        co_await leecher.node->stop();
    });
}

TEST_CASE("a torrent sends nobody to what is no tracker on the local network, and the user may", "[engine]") {
    struct tried {
        std::string path;
        bool is_given;
        bool is_asked;
    };
    auto const [path, is_given, is_asked] = GENERATE(values<tried>({{"/announce", false, true},
                                                                    {"/announce?passkey=x", false, true},
                                                                    {"/tracker/announce", false, true},
                                                                    {"/admin?do=announce", false, false},
                                                                    {"/announce?do=x", false, false},
                                                                    {"/", false, false},
                                                                    {"/admin?do=announce", true, true}}));
    testing::simulation world{1};
    testing::temporary_folder to;
    std::size_t asked = 0;
    net::http_server service{world.host(0), [&](net::http_request const&) {
                                 ++asked;
                                 return net::http_response{.body = "d8:intervali1800e5:peers0:e"};
                             }};
    auto const url = "http://" + world.address_of(0).to_string() + ":80" + path;
    auto const content = testing::make_content(
        {{"one", 100'000}}, {.trackers = is_given ? std::vector<std::string>{} : std::vector<std::string>{url}});
    engine::node leecher{world.host(1), world.executor(), {}};
    auto const serve = [&]() -> net::task<void> {
        (void)co_await service.serve(world.host(0).network.listen({{}, 80}).value());
    };
    world.spawn("service", serve());
    engine::transfer_options options;
    options.storage.directory = to.path();
    if (is_given) options.trackers = {url};
    (void)leecher.add(content.torrent, std::move(options)).value();
    world.run_for(30s);
    INFO(path);
    CHECK((asked > 0) == is_asked);
    CHECK(world.run_to_end(leecher.stop(), 10s));
}
