#include <catch2/catch.hpp>
#include <random>

#include "link.hpp"
#include "script.hpp"

using namespace utp_test;

TEST_CASE("closing sends what was written, then a FIN, which is acknowledged", "[utp]") {
    script with;
    auto const which = with.connected(500);
    with.write(which, "last words");
    with.host.close(which, with.now);
    auto const sent = with.hear();
    REQUIRE(sent.size() == 2);
    CHECK(as_text(sent[0].payload) == "last words");
    CHECK(sent[1].header.type == packet_type::fin);
    CHECK(sent[1].header.seq_nr == static_cast<std::uint16_t>(sent[0].header.seq_nr + 1));
    CHECK_FALSE(with.host.is_connected(which));
    CHECK(with.host.size() == 1);
    with.theirs = static_cast<std::uint16_t>(sent[1].header.seq_nr + 1);
    with.say(with.next(packet_type::fin));
    auto const last = with.wait(100ms);
    REQUIRE(last.size() == 1);
    CHECK(last[0].header.ack_nr == with.ours);
    CHECK(with.host.size() == 0);
}

TEST_CASE("a FIN that comes before what it follows ends the stream in its place", "[utp]") {
    script with;
    auto const which = with.connected(65534);  // numbers come round in the middle of it
    auto data = with.next(packet_type::data);
    auto fin = with.next(packet_type::fin);
    fin.seq_nr = 1;
    with.say(fin);
    CHECK_FALSE(with.host.is_ended(which));
    data.seq_nr = 0;
    with.say(data, "c");
    data.seq_nr = 65535;
    with.say(data, "b");
    data.seq_nr = 2;
    with.say(data, "behind the end");
    CHECK(with.host.readable(which) == 0);
    data.seq_nr = 65534;
    with.say(data, "a");
    CHECK(with.read(which) == "abc");
    CHECK(with.host.is_ended(which));
    CHECK_FALSE(with.host.error(which));
    CHECK(with.hear().back().header.ack_nr == 1);
    // and nothing changes that: a second FIN, data behind it, a reset
    fin.seq_nr = 2;
    with.say(fin);
    with.say(data, "behind the end");
    CHECK(with.hear().back().header.ack_nr == 1);
    CHECK(with.host.readable(which) == 0);
    with.say({.type = packet_type::reset, .connection_id = with.id, .seq_nr = 2, .ack_nr = with.acked()});
    CHECK(with.host.is_ended(which));
    CHECK(with.host.error(which) == utp::errc::reset);
}

TEST_CASE("the other half stays open: who has read to the end may still write", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.say(with.next(packet_type::fin));
    CHECK(with.host.is_ended(which));
    CHECK(with.write(which, "yet") == 3);
    auto const sent = with.hear();
    REQUIRE(!sent.empty());
    CHECK(as_text(sent.back().payload) == "yet");
}

TEST_CASE("what came before a reset can be read after it", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.say_data("good");
    with.say(with.next(packet_type::reset));
    CHECK(with.host.error(which) == utp::errc::reset);
    CHECK_FALSE(with.host.is_connected(which));
    CHECK(with.host.readable(which) == 4);
    CHECK(with.read(which) == "good");
    CHECK_FALSE(with.host.is_ended(which));
    CHECK(with.write(which, "x") == 0);
}

TEST_CASE("a handle names nothing once it is closed", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.host.close(which, with.now);
    with.host.close(which, with.now);
    CHECK(with.write(which, "x") == 0);
    CHECK(with.read(which).empty());
    CHECK_FALSE(with.host.next_changed());
    with.wait(5min);  // the FIN is never acknowledged
    CHECK(with.host.size() == 0);
    auto const again = with.connected(10);
    CHECK(again != which);
    CHECK_FALSE(with.host.is_connected(which));
}

TEST_CASE("after its FIN a host acknowledges what comes and keeps nothing of it", "[utp]") {
    script with;
    auto const which = with.connected(10);
    with.host.close(which, with.now);
    with.hear();
    auto late = with.next(packet_type::data);
    late.seq_nr = static_cast<std::uint16_t>(with.ours + 1);
    with.say(late, "out of order");
    with.say_data("in order");
    CHECK(with.hear().back().header.ack_nr == with.ours);
    CHECK(with.host.buffered() < 2000);
    with.theirs += 1;  // the FIN is acknowledged
    with.say(with.next(packet_type::state));
    with.wait(utp::limits::linger + 1s);
    CHECK(with.host.size() == 0);
}

TEST_CASE("closing before the peer answered forgets the attempt, and the answer is reset", "[utp]") {
    script with;
    auto const which = with.host.connect(with.from, with.now).value();
    auto const syn = with.hear().at(0).header;
    with.host.close(which, with.now);
    CHECK(with.host.size() == 0);
    with.say({.type = packet_type::state, .connection_id = syn.connection_id, .seq_nr = 5, .ack_nr = syn.seq_nr});
    auto const answers = with.hear();
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].header.type == packet_type::reset);
}

TEST_CASE("whoever closes first and when, all that was sent before is read, and all is forgotten", "[utp]") {
    for (auto const seed : seeds(300)) {
        INFO("run again with SHOAL_SEED=" << seed);
        std::mt19937_64 random{seed};
        weather const sky{.loss = (random() % 3) * 0.05,
                          .reorder = (random() % 2) * 0.2,
                          .duplicate = (random() % 2) * 0.1,
                          .delay = std::chrono::milliseconds{random() % 50}};
        simulated_link between{seed, sky};
        auto const [mine, other] = between.connect();
        if (between.b().size() == 0) continue;
        // each closes when it has written all, or, one of them, in the middle of it
        std::array<std::uint64_t, 2> const all{random() % 20'000, random() % 20'000};
        talker one{between, 0, mine, all[0], seed}, two{between, 1, other, all[1], seed};
        one.closes_first = random() % 2 == 0;
        two.closes_first = !one.closes_first || random() % 2 == 0;
        auto const gives_up_at = between.now + std::chrono::milliseconds{random() % 300};
        auto const gives_up = random() % 4 == 0;
        auto const until = between.now + 10min;
        do {
            one.turn();
            two.turn();
            if (gives_up && between.now >= gives_up_at && !one.is_closed) one.close();
        } while (!(one.is_closed && two.is_closed) && between.step(until));
        CHECK((one.is_closed && two.is_closed));
        CHECK((one.is_exact && two.is_exact));
        // who stayed to the end has it all
        if (!two.closes_first) CHECK(two.received == one.sent);
        if (!one.closes_first && !gives_up) CHECK(one.received == two.sent);
        between.run_for(3min);
        CHECK(between.a().size() + between.b().size() == 0);
        CHECK(between.a().buffered() + between.b().buffered() == 0);
    }
}
