#include <algorithm>
#include <catch2/catch.hpp>
#include <charconv>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.hub;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
using client_function = std::function<net::task<void>(net::environment&, hub::hub&, endpoint)>;

/// Serves on a free port of `address` while `client` runs, then stops.
void with_hub(std::string address, client_function client, hub::settings how = {}) {
    testing::on_machine([&](net::environment& outside) -> net::task<void> {
        hub::hub tracker{outside, how};
        auto const bound = tracker.listen(*endpoint::parse(address));
        REQUIRE(bound);
        net::task_group tasks{co_await asio::this_coro::executor};
        std::error_code ended{1, std::generic_category()};
        auto const serve = [&]() -> net::task<void> { ended = co_await tracker.run(); };
        tasks.spawn("hub", serve());
        co_await client(outside, tracker, bound.value());
        tasks.cancel();
        co_await tasks.join();
    });
}

/// Sends `text` and reads one whole response.
net::task<std::string> exchange(net::stream& with, std::string text) {
    REQUIRE(co_await with.write_all(as_bytes(text)));
    std::string got;
    byte_vector place(4096);
    for (;;) {
        auto const count = co_await with.read_some(mutable_byte_view{place});
        if (!count) co_return got;
        got += as_text(byte_view{place}.first(count.value()));
        auto const end = got.find("\r\n\r\n");
        auto const length_at = got.find("Content-Length: ");
        if (end == std::string::npos || length_at == std::string::npos) continue;
        std::size_t length = 0;
        std::from_chars(got.data() + length_at + 16, got.data() + end, length);
        if (got.size() >= end + 4 + length) co_return got;
    }
}
std::string get(std::string_view target) {
    return "GET " + std::string{target} + " HTTP/1.1\r\nHost: tracker\r\n\r\n";
}
std::string body_of(std::string const& response) {
    return response.substr(response.find("\r\n\r\n") + 4);
}

net::task<announce::udp_outcome> drive(net::environment& outside, net::datagram_socket& socket,
                                       announce::udp_client& client, endpoint tracker) {
    std::vector<net::datagram> in(8);
    for (;;) {
        while (auto const packet = client.next_packet()) {
            net::datagram const out{tracker, *packet};
            REQUIRE(socket.send({&out, 1}).value() == 1);
        }
        auto const count = co_await socket.receive(in);
        REQUIRE(count);
        for (std::size_t i = 0; i < count.value(); ++i) client.receive(in[i].bytes, outside.clock.now());
        if (auto outcome = client.take_outcome()) co_return *outcome;
    }
}
}  // namespace

TEST_CASE("an announce by HTTP makes its round over one kept connection", "[hub]") {
    for (auto const address : {"127.0.0.1:0", "[::1]:0"}) {
        with_hub(address, [](net::environment& outside, hub::hub& tracker, endpoint at) -> net::task<void> {
            auto connection = (co_await outside.network.connect(at, {})).value();
            announce::announce_request request;
            for (request.port = 1; request.port <= 5; ++request.port) {
                auto const response =
                    co_await exchange(*connection, get(announce::announce_target("/announce", request)));
                CHECK(response.starts_with("HTTP/1.1 200 OK\r\n"));
                auto const body = body_of(response);
                auto const parsed = announce::parse_http_reply(as_bytes(body));
                REQUIRE(parsed);
                CHECK(std::get<announce::announce_reply>(parsed.value()).peers.size() == request.port - 1U);
            }
            CHECK((co_await exchange(*connection, get("/healthz"))).ends_with("\r\n\r\nok\n"));
            CHECK((co_await exchange(*connection, get("/nothing"))).starts_with("HTTP/1.1 404 "));
            CHECK((co_await exchange(*connection, get("/announce?x"))).find("failure reason") != std::string::npos);
            CHECK(tracker.numbers().http_announces == 5);
        });
    }
}

TEST_CASE("an announce and a scrape by UDP go to the port number of HTTP", "[hub]") {
    for (auto const address : {"127.0.0.1", "::1"}) {
        auto const any = endpoint{*ip_address::parse(address), 0};
        with_hub(any.to_string(), [any](net::environment& outside, hub::hub& tracker, endpoint at) -> net::task<void> {
            auto socket = outside.network.open_datagram(any).value();
            announce::udp_client client{1, any.address.is_v4() ? announce::udp_family::v4 : announce::udp_family::v6};
            announce::announce_request request;
            request.port = 6881;
            request.left = 0;
            client.announce(request, "/announce", outside.clock.now());
            auto const first = co_await drive(outside, *socket, client, at);
            CHECK(std::get<announce::announce_reply>(first).peers.empty());
            request.port = 6882;
            request.left = 5;
            client.announce(request, "", outside.clock.now());
            auto const second = co_await drive(outside, *socket, client, at);
            REQUIRE(std::get<announce::announce_reply>(second).peers.size() == 1);
            CHECK(std::get<announce::announce_reply>(second).peers[0] == endpoint{any.address, 6881});
            client.scrape({request.torrent}, outside.clock.now());
            auto const third = co_await drive(outside, *socket, client, at);
            CHECK(std::get<announce::scrape_reply>(third).torrents ==
                  std::vector<announce::scrape_entry>{{request.torrent, 1, 1, 0}});
            CHECK(tracker.numbers().udp_connects == 1);
        });
    }
}

TEST_CASE("announces that different threads received are answered from one set of peers", "[hub]") {
    auto const serve = [](net::environment& outside, hub::hub& tracker, endpoint at) -> net::task<void> {
        constexpr std::uint16_t peers = 32;  // that all are one thread's: once in two thousand million runs
        std::vector<std::unique_ptr<net::datagram_socket>> sockets;
        for (int i = 0; i < peers; ++i) sockets.push_back(outside.network.open_datagram({at.address, 0}).value());
        for (std::uint16_t known = 0; auto const& socket : sockets) {
            announce::udp_client client{known + 1U, announce::udp_family::v4};
            announce::announce_request request;
            request.peer.bytes[0] = static_cast<std::byte>(known);
            request.port = ++known;
            request.peers_wanted = peers;
            client.announce(request, "", outside.clock.now());
            auto const outcome = co_await drive(outside, *socket, client, at);
            CHECK(std::get<announce::announce_reply>(outcome).peers.size() == known - 1U);
        }
        CHECK(tracker.numbers().udp_announces == peers);
        CHECK(tracker.numbers().udp_connects == peers);
    };
    with_hub("127.0.0.1:0", serve, {.udp_threads = 2});
}

TEST_CASE("forged connection ids bring no answer while an honest client is served", "[hub]") {
    with_hub("127.0.0.1:0", [](net::environment& outside, hub::hub& tracker, endpoint at) -> net::task<void> {
        auto forger = outside.network.open_datagram({at.address, 0}).value();
        byte_vector packet;
        announce::encode(packet, announce::udp_announce{0x1234, 1, {}, {}});
        std::vector<net::datagram> const flood(500, net::datagram{at, packet});
        forger->send(flood).value();
        auto socket = outside.network.open_datagram({at.address, 0}).value();
        announce::udp_client client{1, announce::udp_family::v4};
        client.announce({}, "", outside.clock.now());
        auto const outcome = co_await drive(outside, *socket, client, at);
        CHECK(std::holds_alternative<announce::announce_reply>(outcome));
        CHECK(tracker.numbers().unproven > 0);
        byte_vector connect;
        announce::encode(connect, announce::udp_connect{77});
        net::datagram const knock{at, connect};
        forger->send({&knock, 1}).value();
        std::vector<net::datagram> in(8);
        CHECK((co_await forger->receive(in)).value() == 1);  // the answer to the knock, and to nothing before it
        CHECK(in[0].bytes.size() == announce::udp_connect_size);
    });
}

TEST_CASE("a hub serves several addresses and stops with connections open", "[hub]") {
    testing::on_machine([](net::environment& outside) -> net::task<void> {
        hub::hub tracker{outside};
        auto const one = tracker.listen(*endpoint::parse("127.0.0.1:0"));
        auto const other = tracker.listen(*endpoint::parse("127.0.0.1:0"));
        REQUIRE(one);
        REQUIRE(other);
        CHECK(tracker.bound() == std::vector{one.value(), other.value()});
        std::vector<std::unique_ptr<net::stream>> open;
        net::task_group tasks{co_await asio::this_coro::executor};
        auto const serve = [&]() -> net::task<void> { co_await tracker.run(); };
        tasks.spawn("hub", serve());
        for (int i = 0; i < 20; ++i) {
            open.push_back((co_await outside.network.connect(i % 2 == 0 ? one.value() : other.value(), {})).value());
            CHECK((co_await exchange(*open.back(), get("/healthz"))).ends_with("ok\n"));
        }
        auto const before = outside.clock.now();
        tasks.cancel();
        co_await tasks.join();
        CHECK(outside.clock.now() - before < 2s);
        byte_vector place(10);
        CHECK_FALSE(co_await open[0]->read_some(mutable_byte_view{place}));
        CHECK_FALSE(co_await outside.network.connect(one.value(), {}));
    });
}

TEST_CASE("an address in use is an error", "[hub]") {
    testing::on_machine([](net::environment& outside) -> net::task<void> {
        for (std::size_t const threads : {0, 2}) {
            hub::hub one{outside, {.udp_threads = threads}};
            auto const bound = one.listen(*endpoint::parse("127.0.0.1:0"));
            REQUIRE(bound);
            hub::hub another{outside, {.udp_threads = threads}};
            CHECK(another.listen(bound.value()).error() == std::errc::address_in_use);
            CHECK(another.listen(endpoint{{}, bound.value().port}).error() == std::errc::address_in_use);
        }
        hub::hub other{outside, {.udp_threads = 2}};
        auto const socket = outside.network.open_datagram(*endpoint::parse("127.0.0.1:0"));
        CHECK(other.listen(socket.value()->local()).error() == std::errc::address_in_use);
        co_return;
    });
}

TEST_CASE("malformed requests are refused and the connection is closed", "[hub]") {
    with_hub("127.0.0.1:0", [](net::environment& outside, hub::hub&, endpoint at) -> net::task<void> {
        for (std::string_view const bad :
             {"GET /announce\r\n\r\n", "\r\n\r\n\r\n", "GET /announce HTTP/9.9\r\n\r\n",
              "GET  /announce HTTP/1.1\r\n\r\n", "G\1T /announce HTTP/1.1\r\n\r\n",
              "GET /announce HTTP/1.1\r\nContent-Length: x\r\n\r\n",
              "GET /announce HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "\x16\x03\x01\x02"}) {
            auto connection = (co_await outside.network.connect(at, {})).value();
            REQUIRE(co_await connection->write_all(as_bytes(bad)));
            INFO(bad);
            auto const response =
                co_await exchange(*connection, bad.size() < 5 ? std::string(64, 'x') + "\r\n\r\n" : "");
            CHECK(response.find(" 200 ") == std::string::npos);
        }
        auto connection = (co_await outside.network.connect(at, {})).value();
        auto const response = co_await exchange(*connection, get("/announce?" + std::string(9000, 'x')));
        CHECK(response.starts_with("HTTP/1.1 4"));
    });
}
