#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

import shoal.announce;
import shoal.core;
import shoal.hub;

using namespace shoal;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {
/// A roster, a monitor over it, and a page that listens from the start.
struct table {
    table() : nodes({}, {1, 2}), watch(nodes, "boot", 0, now) {}

    void announce(std::uint16_t port, std::uint8_t torrent) {
        announce::announce_request request;
        request.torrent.bytes.fill(static_cast<std::byte>(torrent));
        request.port = port;
        request.left = 1;
        nodes.announced(request, {*ip_address::parse("192.0.2.1"), port}, now);
    }
    void update() {
        now += 500ms;
        watch.update(nodes.take_touched(), nodes.take_happenings(), {}, now);
    }
    /// What the page is sent after the next update; of several events the last.
    json::object next_event() {
        update();
        auto const events = watch.after(position, now);
        REQUIRE_FALSE(events.empty());
        std::string_view const text = *events.back();
        auto const data = text.find("data: ") + 6;
        return json::parse(json::string_view{text.data() + data, text.find("\n\n") - data}).as_object();
    }
    /// How many nodes, and peers, the next event has, or says to be gone.
    std::size_t size_of_next_event(std::string_view kind) {
        auto const event = next_event();
        std::size_t size = 0;
        if (auto const* const all =
                event.at("set").as_object().if_contains(json::string_view{kind.data(), kind.size()}))
            size += all->as_object().size();
        if (auto const* const del = event.if_contains("del"))
            if (auto const* const all = del->as_object().if_contains(json::string_view{kind.data(), kind.size()}))
                size += all->as_array().size();
        return size;
    }
    void stop(std::uint16_t port, std::uint8_t torrent) {
        announce::announce_request request;
        request.torrent.bytes.fill(static_cast<std::byte>(torrent));
        request.what = announce::event::stopped;
        nodes.announced(request, {*ip_address::parse("192.0.2.1"), port}, now);
    }
    /// The addresses of the peers in the next event.
    std::set<std::string> peers_of_next_event() {
        std::set<std::string> all;
        auto const event = next_event();
        auto const& set = event.at("set").as_object();
        if (auto const* const peers = set.if_contains("peers"))
            for (auto const& [key, each] : peers->as_object()) all.emplace(each.at("address").as_string());
        return all;
    }
    void listen() {
        watch.listen();
        (void)watch.catch_up("", position, now);
    }

    time_point now = time_point{} + 10h;
    hub::roster nodes;
    hub::monitor watch;
    std::uint64_t position = 0;
};
}  // namespace

TEST_CASE("a crowd that announces is told of in turn, so many with each event", "[hub]") {
    table hub;
    hub.listen();
    constexpr auto most = hub::announced_changes_max;
    for (std::uint16_t port = 1; port <= 2 * most + 10; ++port) hub.announce(port, static_cast<std::uint8_t>(port));
    std::set<std::string> heard;
    for (auto const expected : {most, most, std::size_t{10}}) {
        auto const peers = hub.peers_of_next_event();
        CHECK(peers.size() == expected);
        heard.insert(peers.begin(), peers.end());
    }
    CHECK(heard.size() == 2 * most + 10);
}

TEST_CASE("a torrent that everybody announces all the time does not keep the others from being told", "[hub]") {
    table hub;
    hub.listen();
    hub.announce(60'000, 255);
    std::set<std::string> heard;
    for (int i = 0; i < 4; ++i) {
        hub.now += 1min;
        for (std::uint16_t port = 1; port <= hub::announced_changes_max; ++port) hub.announce(port, 1);
        heard.merge(hub.peers_of_next_event());
    }
    CHECK(heard.contains("192.0.2.1:60000"));
}

TEST_CASE("whoever announces all the time is shown now and then, and when it is complete", "[hub]") {
    table hub;
    hub.listen();
    std::size_t shown = 0;
    for (int i = 0; i < 40; ++i) {  // 20 s
        hub.announce(1, 1);
        hub.update();
        for (auto const& event : hub.watch.after(hub.position, hub.now))
            shown += event->find("\"peers\":") != std::string::npos;
    }
    CHECK(shown == 4);
    announce::announce_request complete;
    complete.torrent.bytes.fill(std::byte{1});
    complete.left = 0;
    hub.nodes.announced(complete, {*ip_address::parse("192.0.2.1"), 1}, hub.now);
    CHECK(hub.peers_of_next_event().size() == 1);
}

TEST_CASE("of a flood of log lines an event has the last, and the API more", "[hub]") {
    table hub;
    hub.listen();
    for (std::uint16_t port = 1; port <= 2 * hub::event_lines_max; ++port) hub.announce(port, 1);
    auto const lines = hub.next_event().at("log").as_array();
    CHECK(lines.size() == hub::event_lines_max);
    CHECK(lines.back().at("address").as_string() == "192.0.2.1:" + std::to_string(2 * hub::event_lines_max));
    auto const all = json::parse(hub.watch.log_json(hub::log_lines_max)).as_object().at("log").as_array();
    CHECK(all.size() == 2 * hub::event_lines_max);
}

TEST_CASE("a page that was away while somebody announced gets a snapshot that has him", "[hub]") {
    table hub;
    hub.listen();
    hub.announce(1, 1);
    hub.update();
    std::string const had = "boot-" + std::to_string(hub.watch.last());
    hub.watch.unlisten();
    hub.announce(2, 1);
    hub.update();
    auto const text = hub.watch.catch_up(had, hub.position, hub.now);
    CHECK(text.find("event: snapshot") != std::string::npos);
    CHECK(text.find("192.0.2.1:2") != std::string::npos);
}

TEST_CASE("a crowd that comes and goes at once is told of in turn too", "[hub]") {
    table hub;
    hub.listen();
    constexpr std::uint16_t crowd = 3 * hub::announced_changes_max;
    for (auto const kind : {"nodes", "peers", "torrents"}) {
        for (std::uint16_t port = 1; port <= crowd; ++port) hub.announce(port, static_cast<std::uint8_t>(port));
        CHECK(hub.size_of_next_event(kind) <= hub::announced_changes_max);
        for (std::uint16_t port = 1; port <= crowd; ++port) hub.stop(port, static_cast<std::uint8_t>(port));
        CHECK(hub.size_of_next_event(kind) <= hub::announced_changes_max);
        for (int i = 0; i < 10; ++i) hub.update();
    }
}

TEST_CASE("of more changes than may wait a page gets a snapshot, and nothing waits on", "[hub]") {
    table hub;
    hub.listen();
    for (std::uint32_t i = 0; i <= hub::announced_waiting_max; ++i) {
        auto const port = static_cast<std::uint16_t>(1 + i % 60'000);
        hub.announce(port, 1);
        hub.stop(port, 1);
    }
    hub.update();
    auto const events = hub.watch.after(hub.position, hub.now);
    REQUIRE(events.size() == 1);
    CHECK(events[0]->find("event: snapshot") != std::string::npos);
    hub.update();
    for (auto const& each : hub.watch.after(hub.position, hub.now)) CHECK(each->find("\"del\"") == std::string::npos);
}
