#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

import shoal.core;
import shoal.announce;

using namespace shoal;
using namespace shoal::announce;
using namespace std::chrono_literals;

namespace {
/// A tracker that answers what it is told to.
struct conversation {
    udp_client client{42, udp_family::v4};
    time_point now{};

    template <class Request>
    Request sent() {
        auto const packet = client.next_packet();
        REQUIRE(packet);
        auto const parsed = parse_udp_request(*packet);
        REQUIRE(parsed);
        REQUIRE(std::holds_alternative<Request>(parsed.value()));
        return std::get<Request>(parsed.value());
    }
    void connected(std::uint32_t transaction, std::uint64_t id = 77) {
        byte_vector out;
        encode_udp_connected(out, {transaction, id});
        client.receive(out, now);
    }
    void announced(std::uint32_t transaction) {
        byte_vector out;
        announce_reply reply;
        reply.peers = {*endpoint::parse("10.0.0.1:80")};
        encode_udp_announced(out, transaction, reply, udp_family::v4, 1400);
        client.receive(out, now);
    }
    void refused(std::uint32_t transaction, std::string const& why) {
        byte_vector out;
        encode_udp_error(out, transaction, why);
        client.receive(out, now);
    }
};
}  // namespace

TEST_CASE("a client connects, announces and keeps the connection for a minute", "[announce]") {
    conversation talk;
    announce_request request;
    request.port = 6881;
    talk.client.announce(request, "/announce?x", talk.now);
    talk.connected(talk.sent<udp_connect>().transaction);
    auto const announce = talk.sent<udp_announce>();
    CHECK(announce.connection == 77);
    CHECK(announce.request.port == 6881);
    CHECK(announce.url_data == "/announce?x");
    CHECK_FALSE(talk.client.take_outcome());
    talk.announced(announce.transaction);
    auto const outcome = talk.client.take_outcome();
    REQUIRE(outcome);
    CHECK(std::get<announce_reply>(*outcome).peers.size() == 1);
    CHECK_FALSE(talk.client.take_outcome());
    CHECK(talk.client.deadline() == time_point::max());

    talk.now += 59s;
    talk.client.announce(request, "", talk.now);
    talk.announced(talk.sent<udp_announce>().transaction);
    CHECK(talk.client.take_outcome());
    talk.now += 1s;
    talk.client.announce(request, "", talk.now);
    talk.sent<udp_connect>();
}

TEST_CASE("a scrape names its torrents in the reply", "[announce]") {
    conversation talk;
    info_hash other;
    other.bytes.fill(std::byte{1});
    talk.client.scrape({info_hash{}, other}, talk.now);
    talk.connected(talk.sent<udp_connect>().transaction);
    auto const scrape = talk.sent<udp_scrape>();
    REQUIRE(scrape.torrents.size() == 2);
    byte_vector out;
    encode_udp_scraped(out, scrape.transaction, std::vector<scrape_entry>{{{}, 1, 2, 3}});
    talk.client.receive(out, talk.now);
    CHECK_FALSE(talk.client.take_outcome());  // one number for two torrents is no answer
    out.clear();
    encode_udp_scraped(out, scrape.transaction, std::vector<scrape_entry>{{{}, 1, 2, 3}, {{}, 4, 5, 6}});
    talk.client.receive(out, talk.now);
    auto const outcome = talk.client.take_outcome();
    REQUIRE(outcome);
    CHECK(std::get<scrape_reply>(*outcome).torrents == std::vector<scrape_entry>{{{}, 1, 2, 3}, {other, 4, 5, 6}});
}

TEST_CASE("a silent tracker is asked again after 15 * 2^n seconds and then given up", "[announce]") {
    conversation talk;
    talk.client.announce({}, "", talk.now);
    for (unsigned n = 0; n <= udp_retransmissions_max; ++n) {
        talk.sent<udp_connect>();
        CHECK(talk.client.deadline() == talk.now + 15s * (1 << n));
        talk.client.wake(talk.client.deadline() - 1ms);
        CHECK_FALSE(talk.client.next_packet());
        talk.now = talk.client.deadline();
        talk.client.wake(talk.now);
    }
    CHECK_FALSE(talk.client.next_packet());
    auto const outcome = talk.client.take_outcome();
    REQUIRE(outcome);
    CHECK(std::get<std::error_code>(*outcome) == errc::timed_out);
    CHECK(is(std::get<std::error_code>(*outcome), condition::transient));
    CHECK(talk.client.deadline() == time_point::max());
}

TEST_CASE("a retransmission after the connection id is old connects anew", "[announce]") {
    conversation talk;
    talk.client.announce({}, "", talk.now);
    talk.connected(talk.sent<udp_connect>().transaction);
    talk.sent<udp_announce>();
    auto const wait = [&] {
        talk.now = talk.client.deadline();
        talk.client.wake(talk.now);
    };
    wait();  // 15 s
    talk.sent<udp_announce>();
    wait();  // 45 s
    talk.sent<udp_announce>();
    wait();  // 105 s
    talk.connected(talk.sent<udp_connect>().transaction, 78);
    CHECK(talk.sent<udp_announce>().connection == 78);
}

TEST_CASE("packets that answer nothing that is open are passed over", "[announce]") {
    conversation talk;
    talk.connected(1);
    talk.client.announce({}, "", talk.now);
    auto const first = talk.sent<udp_connect>().transaction;
    talk.connected(first + 1);
    talk.announced(first);
    talk.client.receive({}, talk.now);
    talk.client.receive(*from_hex("ffffffff"), talk.now);
    CHECK_FALSE(talk.client.next_packet());
    CHECK_FALSE(talk.client.take_outcome());
    talk.connected(first);
    auto const second = talk.sent<udp_announce>().transaction;
    CHECK(second != first);
    talk.connected(second, 99);
    talk.refused(first, "late");
    talk.announced(first);
    CHECK_FALSE(talk.client.take_outcome());
    talk.announced(second);
    CHECK(talk.client.take_outcome());
    talk.announced(second);
    CHECK_FALSE(talk.client.take_outcome());
}

TEST_CASE("an error of the tracker ends the request and the connection", "[announce]") {
    conversation talk;
    talk.client.announce({}, "", talk.now);
    talk.connected(talk.sent<udp_connect>().transaction);
    talk.refused(talk.sent<udp_announce>().transaction, "not here");
    auto const outcome = talk.client.take_outcome();
    REQUIRE(outcome);
    CHECK(std::get<failure>(*outcome).reason == "not here");
    talk.client.announce({}, "", talk.now);
    talk.sent<udp_connect>();
}

TEST_CASE("a new request replaces an open one", "[announce]") {
    conversation talk;
    talk.client.announce({}, "", talk.now);
    auto const old = talk.sent<udp_connect>().transaction;
    talk.client.scrape({info_hash{}}, talk.now);
    talk.connected(old);
    auto const fresh = talk.sent<udp_connect>().transaction;
    talk.connected(fresh);
    talk.sent<udp_scrape>();
}
