#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "link.hpp"
#include "script.hpp"

using namespace utp_test;

namespace {
/// A SYN from a stranger; the numbers tell strangers apart.
void say_syn(script& with, endpoint const& from, std::uint16_t id = 100, std::uint16_t seq_nr = 1) {
    with.from = from;
    with.say({.type = packet_type::syn, .connection_id = id, .wnd_size = 1u << 20, .seq_nr = seq_nr});
}
/// Connects a stranger as far as the host lets him.
bool connect(script& with, endpoint const& from, std::uint16_t id = 100) {
    say_syn(with, from, id);
    auto const answers = with.hear();
    if (answers.size() != 1 || answers[0].header.type != packet_type::state) return false;
    with.say({.type = packet_type::state,
              .connection_id = static_cast<std::uint16_t>(id + 1),
              .seq_nr = 2,
              .ack_nr = static_cast<std::uint16_t>(answers[0].header.seq_nr - 1)});
    return with.host.accept().has_value();
}
}  // namespace

TEST_CASE("a stranger is answered by one packet, and accepted when he answers it", "[utp]") {
    script with;
    say_syn(with, script::peer());
    auto const answers = with.hear();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].header.type == packet_type::state);
    CHECK(answers[0].header.connection_id == 100);
    CHECK(answers[0].header.ack_nr == 1);
    CHECK(answers[0].header.timestamp_difference_microseconds != 0);
    CHECK(answers[0].to == script::peer());
    CHECK_FALSE(with.host.accept());
    CHECK(with.wait(5min).empty());  // he may be somebody else: nothing is sent again

    say_syn(with, script::peer());
    auto const seq_nr = with.hear().at(0).header.seq_nr;
    with.say({.type = packet_type::data,
              .connection_id = 101,
              .wnd_size = 1000,
              .seq_nr = 2,
              .ack_nr = static_cast<std::uint16_t>(seq_nr - 1)},
             "hello");
    auto const which = with.host.accept();
    REQUIRE(which);
    CHECK(with.host.is_connected(*which));
    CHECK(with.host.remote(*which) == script::peer());
    CHECK(with.host.next_changed() == which);
    CHECK(with.read(*which) == "hello");
    with.write(*which, "there");
    auto const data = with.hear();
    REQUIRE(data.size() == 1);
    CHECK(data[0].header.seq_nr == seq_nr);
    CHECK(data[0].header.ack_nr == 2);
}

TEST_CASE("who counts the answer as BEP 29 has it is understood", "[utp]") {
    script with;
    say_syn(with, script::peer());
    auto const seq_nr = with.hear().at(0).header.seq_nr;
    with.say({.type = packet_type::data, .connection_id = 101, .wnd_size = 1000, .seq_nr = 2, .ack_nr = seq_nr},
             "hello");
    auto const which = with.host.accept();
    REQUIRE(which);
    with.write(*which, "there");
    CHECK(with.hear().at(0).header.seq_nr == static_cast<std::uint16_t>(seq_nr + 1));
}

TEST_CASE("a wrong answer ends the attempt, so that guessing does not help", "[utp]") {
    script with;
    say_syn(with, script::peer());
    auto const seq_nr = with.hear().at(0).header.seq_nr;
    auto const data = [&](int off) {
        with.say({.type = packet_type::data,
                  .connection_id = 101,
                  .seq_nr = 2,
                  .ack_nr = static_cast<std::uint16_t>(seq_nr + off)});
    };
    data(7);
    CHECK(with.hear().empty());
    CHECK(with.host.half_open() == 0);
    data(-1);
    CHECK_FALSE(with.host.accept());
}

TEST_CASE("a SYN that comes again is answered again, alike, also on a connection that stands", "[utp]") {
    script with;
    say_syn(with, script::peer());
    auto const first = with.hear().at(0).header;
    say_syn(with, script::peer());
    CHECK(with.hear().at(0).header.seq_nr == first.seq_nr);
    CHECK(with.host.half_open() == 1);
    with.say({.type = packet_type::state,
              .connection_id = 101,
              .seq_nr = 2,
              .ack_nr = static_cast<std::uint16_t>(first.seq_nr - 1)});
    REQUIRE(with.host.accept());
    say_syn(with, script::peer());
    auto const again = with.hear();
    REQUIRE(again.size() == 1);
    CHECK(again[0].header.type == packet_type::state);
    CHECK(again[0].header.ack_nr == 1);
    CHECK(with.host.size() == 1);
}

TEST_CASE("ids from one end of the numbers to the other work", "[utp]") {
    for (auto const id : {0, 1, 0x7fff, 0xfffe, 0xffff}) {
        script with;
        CHECK(connect(with, script::peer(), static_cast<std::uint16_t>(id)));
    }
}

TEST_CASE("a host that accepts nobody resets strangers", "[utp]") {
    script with{{.seed = 1, .accepts = false}};
    say_syn(with, script::peer());
    auto const answers = with.hear();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].header.type == packet_type::reset);
    CHECK(answers[0].header.ack_nr == 1);
    CHECK(with.host.half_open() == 0);
}

TEST_CASE("one customer has so many connections and no more", "[utp]") {
    script with{{.seed = 1, .per_customer_max = 3}};
    for (std::uint16_t port = 1; port <= 3; ++port) CHECK(connect(with, script::peer(1, port)));
    CHECK_FALSE(connect(with, script::peer(1, 4)));
    CHECK(connect(with, script::peer(2, 4)));
    // a customer of IPv6 is a /64
    auto const v6 = [](std::uint8_t net, std::uint8_t last) {
        std::array<std::uint8_t, 16> octets{0x20, 1};
        octets[7] = net;
        octets[15] = last;
        return endpoint{ip_address::v6(octets), 1000};
    };
    for (std::uint8_t last = 1; last <= 3; ++last) CHECK(connect(with, v6(1, last)));
    CHECK_FALSE(connect(with, v6(1, 4)));
    CHECK(connect(with, v6(2, 4)));
    CHECK(with.host.size() == 8);
    // and all of a /48 have as much as four of them
    for (std::uint8_t net = 3; net <= 10; ++net) CHECK(connect(with, v6(net, 1)));
    CHECK_FALSE(connect(with, v6(11, 1)));
}

TEST_CASE("a host has so many connections and no more, and room again when they end", "[utp]") {
    script with{{.seed = 1, .connections_max = 3}};
    auto const first = with.accepted(1);
    REQUIRE(with.host.connect(script::peer(3), with.now));
    REQUIRE(with.host.connect(script::peer(4), with.now));
    with.hear();
    auto const more = with.host.connect(script::peer(5), with.now);
    REQUIRE_FALSE(more);
    CHECK(more.error() == utp::errc::full);
    CHECK_FALSE(connect(with, script::peer(6)));
    with.from = script::peer();
    with.say(with.next(packet_type::reset));
    CHECK(with.host.error(first) == utp::errc::reset);
    with.host.close(first, with.now);
    CHECK(connect(with, script::peer(6)));
}

TEST_CASE("nobody is at port 0, at no address, or at many", "[utp]") {
    script with;
    for (auto const& nowhere : {endpoint{ip_address::v4({10, 0, 0, 1}), 0}, endpoint{ip_address{}, 1},
                                endpoint{ip_address::v4({224, 0, 0, 1}), 1}}) {
        auto const tried = with.host.connect(nowhere, with.now);
        REQUIRE_FALSE(tried);
        CHECK(tried.error() == utp::errc::not_an_address);
    }
}

TEST_CASE("a packet that nobody knows is reset, as large as itself at most and so often a second at most", "[utp]") {
    script with;
    with.say({.type = packet_type::data, .connection_id = 7, .seq_nr = 50, .ack_nr = 60}, "x");
    auto const answers = with.hear();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].header.type == packet_type::reset);
    CHECK(answers[0].header.connection_id == 7);
    CHECK(answers[0].header.ack_nr == 50);
    CHECK(answers[0].size == utp::header_length);
    with.say({.type = packet_type::reset, .connection_id = 7, .seq_nr = 50, .ack_nr = 60});
    CHECK(with.hear().empty());

    std::size_t resets = 0;
    for (int i = 0; i < 5000; ++i) {
        with.now += 1ms;
        with.say({.type = packet_type::fin, .connection_id = 7, .seq_nr = 50, .ack_nr = 60});
        resets += with.hear().size();
    }
    CHECK(resets <= 6 * utp::limits::resets_per_second);
    CHECK(resets >= 4 * utp::limits::resets_per_second);
}

TEST_CASE("a flood of SYNs gets out what it puts in at most, and an honest peer through", "[utp]") {
    script with;
    std::mt19937_64 random{1};
    std::size_t accepted = 0;
    auto const syns = from_environment("SHOAL_SYNS").value_or(100'000);  // a million takes a debug build 20 s
    for (std::uint64_t i = 0; i < syns; ++i) {
        auto const drawn = random();
        say_syn(with,
                {ip_address::v4({static_cast<std::uint8_t>(drawn), static_cast<std::uint8_t>(drawn >> 8),
                                 static_cast<std::uint8_t>(drawn >> 16), static_cast<std::uint8_t>(drawn >> 24)}),
                 static_cast<std::uint16_t>(drawn >> 32)},
                static_cast<std::uint16_t>(drawn >> 48));
        if (i % 64 == 0) with.hear();
        if (i % (syns / 10) == 0) {
            with.hear();
            accepted += connect(with, script::peer(), static_cast<std::uint16_t>(i / (syns / 10) * 10));
        }
        with.now += 10us;
    }
    with.hear();
    CHECK(with.bytes_out <= with.bytes_in);
    CHECK(with.host.half_open() <= utp::limits::half_open_max);
    CHECK(with.host.size() == 10);
    CHECK(accepted == 10);
    CHECK(with.host.buffered() == 0);
}

TEST_CASE("no single packet of a stranger gets more back than it has bytes", "[utp]") {
    std::mt19937_64 random{2};
    for (int i = 0; i < 20'000; ++i) {
        script with;
        byte_vector bytes(random() % 80);
        for (auto& each : bytes) each = static_cast<std::byte>(random());
        if (!bytes.empty()) bytes[0] = static_cast<std::byte>((random() % 6) << 4 | 1);
        if (bytes.size() > 1 && random() % 2 == 0) bytes[1] = std::byte{0};
        with.host.receive(with.from, bytes, with.now);
        std::size_t size = 0;
        for (auto const& each : with.wait(2min)) size += each.size;
        if (size > bytes.size()) FAIL(size << " bytes for " << bytes.size());
    }
}
