#include <catch2/catch.hpp>
#include <string>

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
