#include <catch2/catch.hpp>

#include "link.hpp"
#include "script.hpp"

using namespace utp_test;

TEST_CASE("a reader that pauses stops the sender, and gets the rest when it goes on", "[utp]") {
    for (double const loss : {0.0, 0.1}) {
        simulated_link between{1, {.loss = loss}};
        auto const [mine, other] = between.connect();
        talker from{between, 0, mine, 8'000'000, 1}, to{between, 1, other, 0, 1};
        from.closes_first = true;
        auto const until = between.now + 10min;
        while (between.step(until)) from.turn();
        REQUIRE_FALSE(from.is_closed);
        CHECK(between.a().is_connected(mine));
        CHECK(between.b().readable(other) <= utp::host_settings{}.receive_window);
        if (loss == 0) CHECK(between.b().readable(other) > utp::host_settings{}.receive_window * 9 / 10);
        auto const so_far = between.datagrams[0];
        auto const pause = between.now + 5min;
        while (between.step(pause)) from.turn();
        CHECK(between.datagrams[0] - so_far < 500);  // asks now and then whether there is room
        while (!to.is_closed && between.step(pause + 30min)) {
            to.turn();
            from.turn();
        }
        CHECK(to.received == 8'000'000);
        CHECK(to.is_exact);
    }
}

TEST_CASE("a window of few bytes is used, a window of none asked about", "[utp]") {
    script with;
    auto const which = with.connected(10);
    auto answer = with.next(packet_type::state);
    answer.wnd_size = 7;
    with.say(answer);
    with.write(which, "0123456789abcdefghij");
    auto sent = with.hear();
    REQUIRE(sent.size() == 1);
    CHECK(as_text(sent[0].payload) == "0123456");
    with.theirs += 1;
    answer = with.next(packet_type::state);
    answer.wnd_size = 0;
    with.say(answer);
    CHECK(with.hear().empty());
    // it does not grow, and each question is answered: no end of the connection, and no flood
    std::size_t asked = 0;
    for (int minute = 0; minute < 10; ++minute) {
        auto const questions = with.wait(1min);
        asked += questions.size();
        with.say(answer);
    }
    CHECK(with.host.is_connected(which));
    CHECK(asked >= 10);
    CHECK(asked < 150);
    answer.ack_nr = with.theirs;  // the question's byte is taken
    answer.wnd_size = 1000;
    with.say(answer);
    sent = with.hear();
    REQUIRE(sent.size() == 1);
    CHECK(as_text(sent[0].payload) == "89abcdefghij");
}

TEST_CASE("a window that was full opens with an ack as soon as there is room", "[utp]") {
    script with{{.seed = 1, .receive_window = 4096}};
    auto const which = with.connected(10);
    for (int i = 0; i < 4; ++i) with.say_data(std::string(1000, 'x'));
    with.say_data(std::string(1000, 'y'));  // beyond the window
    with.ours -= 1;
    CHECK(with.host.readable(which) == 4000);
    auto acks = with.hear();
    REQUIRE(!acks.empty());
    CHECK(acks.back().header.wnd_size == 96);
    CHECK(with.read(which).size() == 4000);
    acks = with.hear();
    REQUIRE(acks.size() == 1);
    CHECK(acks[0].header.wnd_size == 4096);
    with.say_data(std::string(1000, 'y'));
    CHECK(with.read(which) == std::string(1000, 'y'));
}

TEST_CASE("an ack waits for a second packet or 25 ms, and rides on data", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.say_data("a");
    CHECK(with.hear().empty());
    with.say_data("b");
    CHECK(with.hear().size() == 1);
    with.say_data("c");
    CHECK(with.hear().empty());
    CHECK(with.wait(utp::limits::ack_delay).size() == 1);
    with.say_data("d");
    with.write(which, "x");
    auto const sent = with.hear();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].header.type == packet_type::data);
    CHECK(sent[0].header.ack_nr == static_cast<std::uint16_t>(with.ours - 1));
}

TEST_CASE("a gap is told at once, by a selective ack with the bits of what came", "[utp]") {
    script with;
    with.connected(65534);
    auto data = with.next(packet_type::data);
    for (auto const seq_nr : {65535, 1}) {
        data.seq_nr = static_cast<std::uint16_t>(seq_nr);
        with.say(data, "x");
    }
    auto const acks = with.hear();
    REQUIRE(acks.size() == 1);
    CHECK(acks[0].header.ack_nr == 65533);
    REQUIRE(acks[0].selective_ack.size() == 4);
    CHECK(acks[0].selective_ack[0] == std::byte{5});  // 65533 + 2 and + 4
    data.seq_nr = static_cast<std::uint16_t>(65533 + 4000);
    with.say(data, "x");
    CHECK(with.hear().at(0).selective_ack.size() == utp::limits::selective_ack_max);
}

TEST_CASE("three acks of later packets have the lost one sent again, without a timeout", "[utp]") {
    for (bool const selective : {true, false}) {
        script with;
        auto const which = with.connected(10);
        with.write(which, std::string(528 * 5, 'x'));
        auto const sent = with.hear();
        REQUIRE(sent.size() == 5);
        for (unsigned later = 1; later <= 3; ++later) {
            CHECK(with.hear().empty());
            std::array<std::byte, 4> const bits{static_cast<std::byte>((1U << later) - 1)};
            with.say(with.next(packet_type::state), {}, selective ? byte_view{bits} : byte_view{});
        }
        auto const again = with.hear();
        REQUIRE(again.size() == 1);
        CHECK(again[0].header.seq_nr == sent[0].header.seq_nr);
        CHECK(again[0].payload == sent[0].payload);
    }
}

TEST_CASE("silence is broken every 29 s, and memory given back", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.say_data("a");
    with.read(which);
    CHECK(with.wait(5min).size() == 1 + 10);
    CHECK(with.host.is_connected(which));
    CHECK(with.host.buffered() == 0);
}

TEST_CASE("timestamps of any value, and clocks that jump, leave the stream alone", "[utp]") {
    script with;
    auto const which = with.connected(10);
    for (auto const stamp : {1U, 0x7fff'ffffU, 0x8000'0000U, 0xffff'ffffU}) {
        for (auto const difference : {0U, 1U, 0x7fff'ffffU, 0x8000'0000U, 0xffff'ffffU}) {
            with.write(which, "x");
            with.theirs = static_cast<std::uint16_t>(with.theirs + with.hear().size());
            auto header = with.next(packet_type::data);
            header.timestamp_microseconds = stamp;
            header.timestamp_difference_microseconds = difference;
            with.say(header, "y");
            with.ours += 1;
        }
    }
    CHECK(with.read(which) == std::string(20, 'y'));
    CHECK(with.host.path_of(which).window >= utp::limits::window_min);
    with.now -= 30min;  // earlier counts as the last time
    with.say_data("z");
    with.host.wake(with.now);
    CHECK(with.read(which) == "z");
}

TEST_CASE("a path that becomes narrow gets small datagrams again", "[utp]") {
    simulated_link between{1, {.bytes_per_second = 500'000}};
    auto const [mine, other] = between.connect();
    talker from{between, 0, mine, 3'000'000, 1}, to{between, 1, other, 0, 1};
    while (to.received < 1'000'000 && between.step(begin + 1min)) {
        from.turn();
        to.turn();
    }
    REQUIRE(between.a().path_of(mine).datagram_size == utp::limits::datagram_max);
    // a part of the large ones gets through, or what is on its way could never arrive
    between.sky.loss_of_large = 0.6;
    while (to.received < 3'000'000 && between.step(begin + 20min)) {
        from.turn();
        to.turn();
    }
    CHECK(between.a().path_of(mine).datagram_size == utp::limits::datagram_small);
    CHECK(to.received == 3'000'000);
    CHECK(to.is_exact);
}

TEST_CASE("what is held stays there while the reader reads what came before", "[utp]") {
    for (std::uint16_t ahead = 1; ahead < 70; ++ahead) {
        script with;
        auto const which = with.connected(10);
        with.say_data("a");
        auto data = with.next(packet_type::data);
        data.seq_nr = static_cast<std::uint16_t>(data.seq_nr + ahead);
        with.say(data, "z");
        std::string read = with.read(which);
        for (std::uint16_t i = 0; i < ahead; ++i) {
            with.say_data("m");
            read += with.read(which);
        }
        CHECK(read == "a" + std::string(ahead, 'm') + "z");
    }
}
