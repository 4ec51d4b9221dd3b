#include <catch2/catch.hpp>
#include <random>

#include "link.hpp"
#include "script.hpp"

using namespace utp_test;

namespace {
std::uint16_t plus(std::uint16_t number, int what) {
    return static_cast<std::uint16_t>(number + what);
}
}  // namespace

TEST_CASE("a packet that acknowledges what was never sent is dropped, whole", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.write(which, "abc");
    with.hear();
    for (auto const ahead : {2, 3, 100, 20'000, 32'767}) {
        auto lie = with.next(packet_type::data);
        lie.ack_nr = plus(with.acked(), ahead);
        with.say(lie, "x");
        CHECK(with.host.readable(which) == 0);
    }
    auto old = with.next(packet_type::data);
    old.ack_nr = plus(with.acked(), -utp::limits::lag_max - 1);
    with.say(old, "x");
    CHECK(with.host.readable(which) == 0);
    // one that is just late is heard
    old.ack_nr = plus(with.acked(), -5);
    with.say(old, "x");
    CHECK(with.host.readable(which) == 1);
}

TEST_CASE("selective acks beyond what was sent mean nothing", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.write(which, std::string(4000, 'x'));
    auto const sent = with.hear();
    REQUIRE(sent.size() > 3);
    byte_vector const ones(252, std::byte{0xff});
    for (int i = 0; i < 5; ++i) with.say(with.next(packet_type::state), {}, ones);
    // all but the first are there, which goes out once more
    auto const again = with.hear();
    REQUIRE(!again.empty());
    CHECK(again[0].header.seq_nr == sent[0].header.seq_nr);
    CHECK(again[0].payload == sent[0].payload);
    with.theirs = plus(with.theirs, static_cast<int>(sent.size()));
    with.say(with.next(packet_type::state));
    CHECK(with.host.writable(which) >= utp::limits::send_ahead_min);  // all of it was acknowledged
    CHECK(with.host.is_connected(which));
}

TEST_CASE("a reset counts with the id of either direction and a number of ours only", "[utp]") {
    for (bool const connects : {true, false}) {
        for (auto const off : {0, connects ? 1 : -1}) {
            script with;
            auto const which = connects ? with.connected(10) : with.accepted(10);
            utp::packet_header reset{.type = packet_type::reset, .connection_id = plus(with.id, off), .seq_nr = 11};
            for (auto const lie : {5, 1000, -1000, 32'000}) {
                reset.ack_nr = plus(with.acked(), lie);
                with.say(reset);
                CHECK(with.host.is_connected(which));
            }
            reset.ack_nr = with.acked();
            for (auto const id : {2, 3, -2, 1000}) {
                auto other = reset;
                other.connection_id = plus(with.id, id);
                with.say(other);
                CHECK(with.host.is_connected(which));
            }
            with.from.port ^= 1;
            with.say(reset);
            CHECK(with.host.is_connected(which));
            with.from.port ^= 1;
            with.say(reset);
            CHECK(with.host.error(which) == utp::errc::reset);
            CHECK(with.host.next_changed() == which);
        }
    }
}

TEST_CASE("a SYN is refused by a reset that has its number", "[utp]") {
    script with;
    auto const which = with.host.connect(with.from, with.now).value();
    auto const syn = with.hear().at(0).header;
    with.say({.type = packet_type::reset, .connection_id = syn.connection_id, .ack_nr = plus(syn.seq_nr, 1)});
    CHECK_FALSE(with.host.error(which));
    with.say({.type = packet_type::data, .connection_id = syn.connection_id, .seq_nr = 3, .ack_nr = syn.seq_nr}, "x");
    CHECK_FALSE(with.host.is_connected(which));
    with.say({.type = packet_type::reset, .connection_id = plus(syn.connection_id, 1), .ack_nr = syn.seq_nr});
    CHECK(with.host.error(which) == utp::errc::refused);
}

TEST_CASE("a SYN is sent four times, then the attempt ends", "[utp]") {
    script with;
    auto const which = with.host.connect(with.from, with.now).value();
    auto const sent = with.wait(1min);
    CHECK(sent.size() == 4);
    for (auto const& each : sent) CHECK(each.header.seq_nr == sent[0].header.seq_nr);
    CHECK(with.host.error(which) == utp::errc::no_answer);
    CHECK(with.host.deadline() == time_point::max());
}

TEST_CASE("a peer that acknowledges nothing is given up, after so many packets", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.write(which, std::string(100'000, 'x'));
    auto const first = with.hear().size();
    auto const sent = with.wait(5min);
    CHECK(with.host.error(which) == utp::errc::timed_out);
    CHECK(sent.size() <= first + 2 * utp::limits::timeouts_max);  // a large packet's window is two small ones
    with.host.close(which, with.now);
    CHECK(with.host.size() == 0);
}

TEST_CASE("what comes twice, too far ahead or from nowhere does not disturb the stream", "[utp]") {
    script with;
    auto const which = with.connected(65530);
    std::mt19937_64 random{1};
    std::string sent, read;
    for (int i = 0; i < 200; ++i) {
        auto header = with.next(packet_type::data);
        for (auto const off : {-1, -7, int{utp::limits::reorder_max}, 20'000}) {
            auto other = header;
            other.seq_nr = plus(header.seq_nr, off);
            if (off > 0 || i > 7) with.say(other, "WRONG");
        }
        auto const letter = std::string(1 + random() % 5, static_cast<char>('a' + i % 26));
        sent += letter;
        with.say_data(letter);
        read += with.read(which);
    }
    CHECK(read == sent);
}

TEST_CASE("a receiver that multiplies its acks and lies about them is not sent faster than an honest one", "[utp]") {
    auto const bytes_sent = [](int kind) {
        weather const sky{.loss = 0.01, .delay = 10ms, .bytes_per_second = 625'000, .queue = 100'000};
        simulated_link between{3, sky};
        if (kind > 0) {
            between.tamper = [kind](unsigned from, byte_view datagram) -> std::vector<byte_vector> {
                auto const packet = utp::parse(datagram).value();
                if (from == 0 || packet.header.type != packet_type::state) return {};
                auto const again = [&](int ahead, std::size_t ones) {
                    byte_vector made(600);
                    auto header = packet.header;
                    header.ack_nr = plus(header.ack_nr, ahead);
                    made.resize(utp::write(header, byte_vector(ones, std::byte{0xff}), 0, made));
                    return made;
                };
                if (kind == 1) return std::vector<byte_vector>(5, {datagram.begin(), datagram.end()});
                if (kind == 2) return {again(5000, 0), again(32'000, 0), again(-3, 0)};
                return {again(5000, 252), again(-1, 0), again(-2, 0)};
            };
        }
        auto const [mine, other] = between.connect();
        talker from{between, 0, mine, 100'000'000, 3}, to{between, 1, other, 0, 3};
        while (between.step(begin + 8s)) {
            from.turn();
            to.turn();
        }
        CHECK(to.is_exact);
        return static_cast<double>(between.bytes[0]);
    };
    auto const honest = bytes_sent(0);
    for (int kind = 1; kind <= 3; ++kind) {
        INFO("kind " << kind);
        CHECK(bytes_sent(kind) <= 1.1 * honest);
    }
}
