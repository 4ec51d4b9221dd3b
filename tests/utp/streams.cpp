#include <catch2/catch.hpp>

#include "link.hpp"
#include "script.hpp"

using namespace utp_test;

namespace {
/// Weather of a seed, within the bounds of what uTP has to stand (T-UTP).
weather drawn(std::uint64_t seed) {
    std::mt19937_64 random{seed};
    auto const one_of = [&](auto... values) {
        std::array const all{static_cast<double>(values)...};
        return all[random() % all.size()];
    };
    weather sky;
    sky.loss = one_of(0, 0.001, 0.01, 0.05, 0.2) + one_of(0, 0.01);  // the second is corruption
    sky.reorder = one_of(0, 0, 0.05, 0.2);
    sky.duplicate = one_of(0, 0, 0.01, 0.05);
    sky.delay = std::chrono::microseconds{static_cast<int>(one_of(0, 100, 5000, 20'000, 100'000, 300'000))};
    sky.jitter = std::chrono::milliseconds{static_cast<int>(one_of(0, 0, 1, 20))};
    sky.mtu = static_cast<std::size_t>(one_of(576, 1000, 1280, 1400, 1500));
    sky.bytes_per_second = one_of(0, 20'000, 600'000, 10'000'000);
    sky.queue = static_cast<std::size_t>(one_of(5000, 50'000, 500'000));
    if (random() % 8 == 0) {
        sky.blackout_from = std::chrono::milliseconds{random() % 3000};
        sky.blackout_to = sky.blackout_from + 10s;
    }
    return sky;
}

struct outcome {
    std::string wrong;
    std::uint64_t trace = 0;
};

/// Both sides send something and read all; then nothing is left of it.
outcome run(std::uint64_t seed) {
    auto const sky = drawn(seed);
    simulated_link between{seed, sky};
    std::mt19937_64 random{seed ^ 0x5555};
    if (random() % 4 == 0) {  // numbers come round soon, on both sides
        static auto const connecting = seed_near_wrap(true, 300);
        static auto const accepting = seed_near_wrap(false, 300);
        between.hosts[0] = std::make_unique<utp::host>(utp::host_settings{.seed = connecting});
        between.hosts[1] = std::make_unique<utp::host>(utp::host_settings{.seed = accepting});
    }
    auto const mine = between.a().connect(address_of(1), between.now).value();
    auto const there = random() % 60'000, back = random() % 3 == 0 ? 0 : random() % 60'000;
    talker from{between, 0, mine, there, seed};
    std::optional<talker> to;
    auto const side = random() % 2;
    from.closes_first = side == 0;
    auto const until = between.now + 30min;
    do {
        if (!to) {
            if (auto const other = between.b().accept()) {
                to.emplace(between, 1, *other, back, seed);
                to->closes_first = side == 1;
            }
        }
        from.turn();
        if (to) to->turn();
        if (to && to->is_closed && from.is_closed) break;
    } while (between.step(until));
    if (!to) {
        // a SYN that was sent four times in vain is honest weather only when nothing passed for 15 s
        if (from.error == utp::errc::no_answer) return {};
        return {"never accepted: " + from.error.message()};
    }
    outcome result;
    if (!from.is_exact || !to->is_exact) result.wrong = "other bytes";
    auto const& closer = side == 0 ? from : *to;
    auto const& reader = side == 0 ? *to : from;
    // who closes first may miss what comes, the other misses nothing
    if (reader.received != (side == 0 ? there : back) || closer.sent != (side == 0 ? there : back))
        result.wrong += " bytes are missing: " + std::to_string(reader.received) + " " + reader.error.message();
    between.run_for(3min);
    if (between.a().size() + between.b().size() > 0) result.wrong += " not forgotten";
    if (between.a().buffered() + between.b().buffered() > 0) result.wrong += " memory is kept";
    if (between.largest[0] + ip_and_udp > 1400 || between.largest[1] + ip_and_udp > 1400)
        result.wrong += " too large a datagram";
    result.trace = between.datagrams[0] * 31 + between.datagrams[1] * 17 + between.bytes[0] + between.bytes[1] * 7;
    return result;
}
}  // namespace

TEST_CASE("a stream arrives exactly as it was sent, in any weather", "[utp]") {
    for (auto const seed : seeds(400)) {
        INFO("run again with SHOAL_SEED=" << seed);
        auto const first = run(seed);
        CHECK(first.wrong == "");
        if (seed % 20 == 0) CHECK(run(seed).trace == first.trace);
    }
}

TEST_CASE("a long stream survives many rounds of numbers", "[utp]") {
    // 100 MB are more than 65536 packets of any size that is sent
    CHECK(transfer(7, {.loss = 0.0005, .delay = 1ms}, 100'000'000) > 0);
}

TEST_CASE("a connection outlives 10 s without any datagram", "[utp]") {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        auto const took = transfer(
            seed, {.bytes_per_second = 1e6, .blackout_from = 500ms + seed * 50ms, .blackout_to = 10'500ms}, 2'000'000);
        INFO("took " << took);
        CHECK(took > 0);
        CHECK(took < 30);
    }
}

TEST_CASE("a rate that falls and rises again is followed", "[utp]") {
    simulated_link between{1, {.bytes_per_second = 2e6}};
    auto const [mine, other] = between.connect();
    talker from{between, 0, mine, 6'000'000, 1}, to{between, 1, other, 0, 1};
    from.closes_first = true;
    auto const started = between.now;
    while (!to.is_closed && between.step(started + 5min)) {
        auto const phase = (between.now - started) / 1s;
        between.sky.bytes_per_second = phase >= 1 && phase < 5 ? 1e5 : 2e6;
        from.turn();
        to.turn();
    }
    CHECK(to.received == 6'000'000);
    CHECK(to.is_exact);
    CHECK(between.now - started < 12s);
}

TEST_CASE("a path that carries small datagrams only gets small ones, one that carries large gets large", "[utp]") {
    simulated_link narrow{1, {.mtu = 1399}};
    auto [mine, other] = narrow.connect();
    talker from{narrow, 0, mine, 1'000'000, 1}, to{narrow, 1, other, 0, 1};
    while (to.received < 1'000'000 && narrow.step(begin + 1min)) {
        from.turn();
        to.turn();
    }
    CHECK(to.received == 1'000'000);
    CHECK(narrow.a().path_of(mine).datagram_size == utp::limits::datagram_small);

    simulated_link wide{1, {.mtu = 1400}};
    std::tie(mine, other) = wide.connect();
    talker from_wide{wide, 0, mine, 1'000'000, 1}, to_wide{wide, 1, other, 0, 1};
    while (to_wide.received < 1'000'000 && wide.step(begin + 1min)) {
        from_wide.turn();
        to_wide.turn();
    }
    CHECK(to_wide.received == 1'000'000);
    CHECK(wide.a().path_of(mine).datagram_size == utp::limits::datagram_max);
}
