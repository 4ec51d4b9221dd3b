#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fixture.hpp"

import shoal.announce;
using namespace fixture;

namespace {
ip_address const outside_address = ip_address::v4({198, 51, 100, 7});

/// Shows host 0 of a simulation, whose addresses are all local, as one far away too: `tracker.example`.
class far_network final : public testing::passing_network {
public:
    far_network(net::network& below, ip_address host) : passing_network(below), host_(host) {}
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, std::optional<ip_address> from) override {
        if (to.address == outside_address) to.address = host_;
        return below_.connect(to, from);
    }
    net::task<result<std::vector<ip_address>>> resolve(std::string host) override {
        if (host == "tracker.example") return known(outside_address);
        return below_.resolve(std::move(host));
    }

private:
    static net::task<result<std::vector<ip_address>>> known(ip_address address) { co_return std::vector{address}; }

    ip_address host_;
};

/// A leecher, the server that its torrent or its user names, and what both do within half a minute.
struct meeting {
    testing::simulation world{1};
    testing::temporary_folder to;
    std::vector<std::string> asked;  // of the server on host 0, and with " elsewhere" of that on host 2
    std::vector<endpoint> known;

    void run(std::string const& url, bool is_given, net::http_response answer) {
        net::http_server tracker{world.host(0), [&](net::http_request const& request) {
                                     asked.emplace_back(request.target.substr(0, request.target.find('?')));
                                     return answer;
                                 }};
        net::http_server other{world.host(2), [&](net::http_request const&) {
                                   asked.emplace_back("elsewhere");
                                   return net::http_response{.body = "d8:intervali1800e5:peers0:e"};
                               }};
        auto const serve = [&](net::http_server& server, std::size_t host) -> net::task<void> {
            (void)co_await server.serve(world.host(host).network.listen({{}, 80}).value());
        };
        world.spawn("tracker", serve(tracker, 0));
        world.spawn("other", serve(other, 2));
        far_network network{world.host(1).network, world.address_of(0)};
        auto& inner = world.host(1);
        net::environment seen{inner.clock, network, inner.random, inner.workers};
        engine::node leecher{seen, world.executor(), {}};
        auto options = fetching(to.path());
        std::vector<std::string> trackers;
        (is_given ? options.trackers : trackers).push_back(url);
        auto const content = testing::make_content({{"one", 100'000}}, {.trackers = trackers});
        auto const fetched = leecher.add(content.torrent, std::move(options)).value();
        world.run_for(30s);
        known = fetched->known_peers();
        CHECK(world.run_to_end(leecher.stop(), 10s));
    }
};

std::string reply_with(std::vector<endpoint> const& peers) {
    std::string text;
    for (auto const& each : peers) {
        text += as_text(each.address.bytes());
        text += static_cast<char>(each.port >> 8);
        text += static_cast<char>(each.port & 0xff);
    }
    return "d8:intervali1800e5:peers" + std::to_string(text.size()) + ":" + text + "e";
}

/// What the leecher sends to port `port` of host 0 by UDP, where nobody answers.
std::size_t datagrams_to(std::uint16_t port, bool is_given) {
    testing::simulation world{1};
    testing::temporary_folder to;
    std::size_t arrived = 0;
    auto const socket = world.host(0).network.open_datagram({{}, port}).value();
    auto const count = [&]() -> net::task<void> {
        std::vector<net::datagram> in(8);
        while (auto const got = co_await socket->receive(in)) arrived += got.value();
    };
    world.spawn("count", count());
    engine::node leecher{world.host(1), world.executor(), {}};
    auto options = fetching(to.path());
    std::vector<std::string> trackers;
    auto const url = "udp://" + world.address_of(0).to_string() + ":" + std::to_string(port) + "/announce";
    (is_given ? options.trackers : trackers).push_back(url);
    auto const content = testing::make_content({{"one", 100'000}}, {.trackers = trackers});
    (void)leecher.add(content.torrent, std::move(options)).value();
    world.run_for(10s);
    CHECK(world.run_to_end(leecher.stop(), 10s));
    socket->close();
    world.run_for(1s);  // who reads from it has ended
    return arrived;
}
}  // namespace

TEST_CASE("a tracker names nobody of a network that it is not in, and no service of a system", "[engine]") {
    auto const at = [](char const* text) { return *endpoint::parse(text); };
    std::vector<endpoint> const named{at("127.0.0.1:6881"),   at("10.0.0.3:6881"),    at("192.168.1.1:6881"),
                                      at("169.254.1.1:6881"), at("203.0.113.5:25"),   at("203.0.113.5:53"),
                                      at("203.0.113.5:1023"), at("203.0.113.5:1024"), at("203.0.113.6:6881")};
    std::set<endpoint> const far{at("203.0.113.5:1024"), at("203.0.113.6:6881")};
    auto const among = [](std::vector<endpoint> const& all) { return std::set<endpoint>(all.begin(), all.end()); };
    meeting met;
    SECTION("from outside") {
        met.run("http://tracker.example/announce", false, {.body = reply_with(named)});
        CHECK(among(met.known) == far);
    }
    SECTION("of this network: its neighbours too, but no machine's own loopback") {
        met.run("http://10.0.0.1/announce", false, {.body = reply_with(named)});
        auto expected = far;
        expected.insert({at("10.0.0.3:6881"), at("192.168.1.1:6881"), at("169.254.1.1:6881")});
        CHECK(among(met.known) == expected);
    }
    SECTION("one that the user named may stand outside of the network that it serves") {
        met.run("http://tracker.example/announce", true, {.body = reply_with(named)});
        CHECK(among(met.known).contains(at("10.0.0.3:6881")));
        CHECK_FALSE(among(met.known).contains(at("203.0.113.5:25")));
    }
    CHECK(met.asked.front() == "/announce");
}

TEST_CASE("a tracker from outside redirects nobody into the local network", "[engine]") {
    net::http_response const moved{.status = 302, .fields = {{"Location", "http://10.0.0.3/announce"}}};
    for (bool const is_given : {false, true}) {
        meeting met;
        met.run("http://tracker.example/announce", is_given, moved);
        REQUIRE_FALSE(met.asked.empty());
        CHECK(std::ranges::count(met.asked, "elsewhere") == 0);
    }
    meeting met;
    met.run("http://10.0.0.1/announce", false, moved);
    CHECK(std::ranges::count(met.asked, "elsewhere") > 0);  // from within the network it may
}

TEST_CASE("a torrent's UDP tracker on the local network is asked at no port of a service", "[engine]") {
    CHECK(datagrams_to(53, false) == 0);
    CHECK(datagrams_to(1023, false) == 0);
    CHECK(datagrams_to(1024, false) > 0);
    CHECK(datagrams_to(53, true) > 0);
}

TEST_CASE("what another host says in a UDP tracker's name is passed over", "[engine]") {
    testing::simulation world{1};
    testing::temporary_folder to;
    auto const tracker = world.host(0).network.open_datagram({{}, 6969}).value();
    auto const liar = world.host(2).network.open_datagram({{}, 6969}).value();
    std::vector<std::uint64_t> shown;  // the connection ids that announces came with
    auto const serve = [&]() -> net::task<void> {
        std::vector<net::datagram> in(1);
        while (auto const got = co_await tracker->receive(in)) {
            auto const asked = announce::parse_udp_request(in[0].bytes);
            if (!asked) continue;
            if (auto const* said = std::get_if<announce::udp_announce>(&asked.value()))
                shown.push_back(said->connection);
            auto const* const connect = std::get_if<announce::udp_connect>(&asked.value());
            if (connect == nullptr) continue;
            for (auto const& [socket, id] : {std::pair{liar.get(), 666}, std::pair{tracker.get(), 42}}) {
                byte_vector bytes;
                announce::encode_udp_connected(bytes, {connect->transaction, static_cast<std::uint64_t>(id)});
                net::datagram const out{in[0].peer, bytes};
                (void)socket->send({&out, 1});
                co_await world.host(0).clock.sleep(100ms);
            }
        }
    };
    world.spawn("tracker", serve());
    engine::node leecher{world.host(1), world.executor(), {}};
    auto const url = "udp://" + world.address_of(0).to_string() + ":6969";
    auto const content = testing::make_content({{"one", 100'000}}, {.trackers = {url}});
    (void)leecher.add(content.torrent, fetching(to.path())).value();
    world.run_for(5s);
    REQUIRE_FALSE(shown.empty());
    CHECK(std::ranges::count(shown, 42U) == std::ssize(shown));
    CHECK(world.run_to_end(leecher.stop(), 10s));
    tracker->close();
    world.run_for(1s);  // who reads from it has ended
}
