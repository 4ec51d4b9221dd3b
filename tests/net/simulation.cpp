#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
using testing::simulation;

namespace {
constexpr std::uint16_t port = 6881;

/// What a sink got, and how and when it ended.
struct received {
    byte_vector bytes;
    std::error_code end;
    time_point when;
};
byte_vector pattern(std::size_t size) {
    byte_vector bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 13 + i / 509);
    return bytes;
}
net::task<void> drain(net::environment& env, std::unique_ptr<net::stream> from, received& into) {
    byte_vector place(100'000);
    for (;;) {
        auto const got = co_await from->read_some(place);
        if (!got) {
            into.end = got.error();
            into.when = env.clock.now();
            co_return;
        }
        auto const part = byte_view{place}.first(got.value());
        into.bytes.insert(into.bytes.end(), part.begin(), part.end());
    }
}
/// Accepts `into.size()` connections one after the other, and reads all of them at once.
net::task<void> serve(net::environment& env, std::vector<received>& into) {
    auto listener = env.network.listen({{}, port}).value();
    co_await net::in_task_group([&](net::task_group& group) -> net::task<void> {
        for (auto& each : into) group.spawn("drain", drain(env, (co_await listener->accept()).value(), each));
        co_await group.join();
    });
}
net::task<void> push(net::environment& env, ip_address to, byte_vector const& bytes, std::error_code& end) {
    auto stream = co_await env.network.connect({to, port}, std::nullopt);
    if (!stream) {
        end = stream.error();
        co_return;
    }
    auto const done = co_await stream.value()->write_all(bytes);
    if (!done) end = done.error();
}
double seconds(duration length) {
    return std::chrono::duration<double>(length).count();
}
/// Notes where each datagram comes from, and sends it back there.
net::task<void> echo(net::datagram_socket& at, endpoint& from, std::size_t& count) {
    std::array<net::datagram, 10> in;
    for (;;) {
        auto const got = co_await at.receive(in);
        if (!got) co_return;
        from = in[0].peer;
        ++count;
        net::datagram const back{from, in[0].bytes};
        (void)at.send({&back, 1});
    }
}
net::task<void> count_arriving(net::datagram_socket& at, std::size_t& count) {
    std::array<net::datagram, 10> in;
    while (co_await at.receive(in)) ++count;
}
}  // namespace

TEST_CASE("simulated streams keep every byte in order", "[net]") {
    auto const sent = pattern(1'000'000);
    std::vector<received> got(2);
    std::error_code end;
    simulation sim{GENERATE(1u, 2u, 3u)};
    sim.set_faults({.short_transfers = GENERATE(false, true)});
    sim.spawn("server", serve(sim.host(0), got));
    sim.spawn("a", push(sim.host(1), sim.address_of(0), sent, end));
    sim.spawn("b", push(sim.host(2), sim.address_of(0), sent, end));
    CHECK(sim.run_until([&] { return got[0].end && got[1].end; }, 1h));
    CHECK_FALSE(end);
    for (auto const& each : got) {
        CHECK(each.bytes == sent);
        CHECK(each.end == net::errc::closed);
    }
}

TEST_CASE("a transfer takes as long as the narrower link and the latency say", "[net]") {
    auto const sent = pattern(2'000'000);
    std::vector<received> got(1);
    std::error_code end;
    simulation sim{7};
    bool const narrow_upload = GENERATE(false, true);
    sim.connect_by(0, {.download = narrow_upload ? 0u : 1'000'000u, .latency = 10ms});
    sim.connect_by(1, {.upload = narrow_upload ? 1'000'000u : 0u, .latency = 20ms});
    auto const start = sim.now();
    sim.spawn("server", serve(sim.host(0), got));
    sim.spawn("a", push(sim.host(1), sim.address_of(0), sent, end));
    CHECK(sim.run_until([&] { return bool(got[0].end); }, 1h));
    CHECK(seconds(got[0].when - start) == Approx(2.0 + 0.09).margin(0.05));
}

TEST_CASE("connections share their host's upload fairly", "[net]") {
    auto const sent = pattern(1'000'000);
    std::vector<received> got_a(1), got_b(1);
    std::error_code end;
    simulation sim{7};
    sim.connect_by(0, {.upload = 500'000});
    auto const start = sim.now();
    sim.spawn("server 1", serve(sim.host(1), got_a));
    sim.spawn("server 2", serve(sim.host(2), got_b));
    sim.spawn("a", push(sim.host(0), sim.address_of(1), sent, end));
    sim.spawn("b", push(sim.host(0), sim.address_of(2), sent, end));
    CHECK(sim.run_until([&] { return got_a[0].end && got_b[0].end; }, 1h));
    CHECK(seconds(got_a[0].when - start) == Approx(4.0).margin(0.1));
    CHECK(seconds(got_b[0].when - start) == Approx(4.0).margin(0.1));
}

TEST_CASE("a writer waits for a reader that does not read", "[net]") {
    simulation sim{7};
    std::size_t written = 0;
    std::unique_ptr<net::stream> server;
    auto const accept = [&]() -> net::task<void> {
        auto listener = sim.host(0).network.listen({{}, port}).value();
        server = (co_await listener->accept()).value();
    };
    auto const pump = [&]() -> net::task<void> {
        auto stream = (co_await sim.host(1).network.connect({sim.address_of(0), port}, std::nullopt)).value();
        byte_vector const bytes(10'000);
        for (;;) {
            auto const count = co_await stream->write_some(std::array{byte_view{bytes}});
            if (!count) co_return;
            written += count.value();
        }
    };
    sim.spawn("accept", accept());
    sim.spawn("pump", pump());
    sim.run_for(10s);
    CHECK(written == 256 * 1024);
    server.reset();
    sim.run_for(10s);
}

TEST_CASE("nobody listening is refused, an unknown host unreachable, a taken port in use", "[net]") {
    simulation sim{7};
    sim.host(0);
    std::error_code refused, unreachable;
    byte_vector const nothing;
    sim.spawn("refused", push(sim.host(1), sim.address_of(0), nothing, refused));
    sim.spawn("unreachable", push(sim.host(1), *ip_address::parse("192.0.2.1"), nothing, unreachable));
    sim.run_for(1s);
    CHECK(refused == std::errc::connection_refused);
    CHECK(unreachable == std::errc::host_unreachable);
    auto const first = sim.host(0).network.listen({{}, port});
    CHECK(first.has_value());
    CHECK_FALSE(sim.host(0).network.listen({{}, port}).has_value());
    CHECK(sim.host(1).network.listen({{}, port}).has_value());
}

TEST_CASE("connections break at random and both ends notice", "[net]") {
    auto const sent = pattern(10'000'000);
    std::vector<received> got(1);
    std::error_code end;
    simulation sim{GENERATE(1u, 2u, 3u, 4u)};
    sim.set_faults({.reset_after_mean = 500'000});
    sim.spawn("server", serve(sim.host(0), got));
    sim.spawn("a", push(sim.host(1), sim.address_of(0), sent, end));
    CHECK(sim.run_until([&] { return end && got[0].end; }, 1h));
    CHECK(got[0].end == std::errc::connection_reset);
    CHECK(is(end, condition::transient));
    CHECK(got[0].bytes.size() < sent.size());
    CHECK(equal(got[0].bytes, byte_view{sent}.first(got[0].bytes.size())));
}

TEST_CASE("all connections of a host can be reset", "[net]") {
    auto const sent = pattern(1'000'000);
    std::vector<received> got(1);
    std::error_code end;
    simulation sim{7};
    sim.connect_by(1, {.upload = 100'000});
    sim.spawn("server", serve(sim.host(0), got));
    sim.spawn("a", push(sim.host(1), sim.address_of(0), sent, end));
    sim.after(3s, [&] { sim.reset_connections(1); });
    sim.run_for(4s);
    CHECK(got[0].end == std::errc::connection_reset);
    CHECK(is(end, condition::transient));
}

TEST_CASE("hosts that are apart hear nothing and go on when rejoined", "[net]") {
    auto const sent = pattern(1'000'000);
    std::vector<received> got(1);
    std::error_code end;
    simulation sim{7};
    sim.connect_by(1, {.upload = 1'000'000});
    sim.spawn("server", serve(sim.host(0), got));
    sim.spawn("a", push(sim.host(1), sim.address_of(0), sent, end));
    sim.run_for(500ms);
    auto const before = got[0].bytes.size();
    CHECK(before > 0);
    sim.separate(0, 1);
    sim.run_for(1min);
    CHECK(got[0].bytes.size() == before);
    sim.rejoin(1, 0);
    CHECK(sim.run_until([&] { return bool(got[0].end); }, 1min));
    CHECK(got[0].bytes == sent);
}

TEST_CASE("simulated datagrams arrive with their source, late and not all", "[net]") {
    simulation sim{7};
    sim.set_faults({.datagram_loss = 0.5});
    auto const a = sim.host(0).network.open_datagram({{}, 0}).value();
    auto const b = sim.host(1).network.open_datagram({{}, 7}).value();
    std::size_t received = 0;
    auto const receiver = [&]() -> net::task<void> {
        std::array<net::datagram, 10> in;
        for (;;) {
            auto const got = co_await b->receive(in);
            if (!got) co_return;
            for (std::size_t i = 0; i < got.value(); ++i) CHECK(in[i].peer == a->local());
            received += got.value();
        }
    };
    sim.spawn("receiver", receiver());
    byte_vector const bytes(10);
    std::vector<net::datagram> const out(100, {b->local(), bytes});
    CHECK(a->send(out).value() == 100);
    sim.run_for(9ms);
    CHECK(received == 0);
    sim.run_for(2ms);
    CHECK(received > 30);
    CHECK(received < 70);
    b->close();
    sim.run_for(1ms);
}

TEST_CASE("whoever speaks to a port that a router has given up is answered from the one that it shows now", "[net]") {
    simulation sim{7};
    auto const moved = sim.host(0).network.open_datagram({{}, 6881}).value();
    auto const other = sim.host(1).network.open_datagram({{}, 6881}).value();
    endpoint seen;
    std::size_t there = 0, back = 0;
    sim.spawn("other", echo(*other, seen, there));
    sim.spawn("moved", count_arriving(*moved, back));
    byte_vector const bytes(10);
    net::datagram const out{other->local(), bytes};
    sim.move_ports(0, {});
    (void)moved->send({&out, 1});
    sim.run_for(1s);
    CHECK(seen.port != 6881);
    CHECK(back == 1);
    auto const before = seen;
    sim.move_ports(0, {});
    net::datagram const late{before, bytes};
    (void)other->send({&late, 1});
    sim.run_for(1s);
    CHECK(back == 1);
    (void)moved->send({&out, 1});
    sim.run_for(1s);
    CHECK(seen != before);
    CHECK(back == 2);
    moved->close();
    other->close();
    sim.run_for(1ms);
}

TEST_CASE("a process that was down while its router changed ports is reached by those that it shows", "[net]") {
    simulation sim{7};
    auto moved = sim.host(0).network.open_datagram({{}, 6881}).value();
    auto const other = sim.host(1).network.open_datagram({{}, 6881}).value();
    endpoint seen;
    std::size_t there = 0, back = 0;
    sim.spawn("other", echo(*other, seen, there));
    sim.move_ports(0, {});
    moved.reset();
    sim.move_ports(0, {});
    moved = sim.host(0).network.open_datagram({{}, 6881}).value();
    sim.spawn("moved", count_arriving(*moved, back));
    byte_vector const bytes(10);
    net::datagram const out{other->local(), bytes};
    (void)moved->send({&out, 1});
    sim.run_for(1s);
    CHECK(there == 1);
    CHECK(back == 1);
    moved->close();
    other->close();
    sim.run_for(1ms);
}

TEST_CASE("a simulated multicast reaches every member, the sender too, and nobody beyond a partition", "[net]") {
    simulation sim{7};
    auto const group = *endpoint::parse("239.192.152.143:6771");
    std::vector<std::unique_ptr<net::datagram_socket>> sockets;
    std::array<std::size_t, 5> received{};
    auto const receiver = [&](std::size_t which) -> net::task<void> {
        std::array<net::datagram, 10> in;
        for (;;) {
            auto const got = co_await sockets[which]->receive(in);
            if (!got) co_return;
            for (std::size_t i = 0; i < got.value(); ++i) CHECK(in[i].peer == endpoint{sim.address_of(0), group.port});
            received[which] += got.value();
        }
    };
    for (std::size_t const host : {0, 1, 1, 2, 3}) {  // two programs on host 1; host 3 hears another group
        auto at = group;
        if (host == 3) ++at.port;
        sockets.push_back(sim.host(host).network.open_multicast(at, std::nullopt).value());
        CHECK(sockets.back()->local() == at);
        sim.spawn("receiver", receiver(sockets.size() - 1));
    }
    byte_vector const bytes(10);
    std::array const out{net::datagram{group, bytes}};
    sim.separate(0, 2);
    CHECK(sockets[0]->send(out).value() == 1);
    sim.run_for(9ms);
    CHECK(received == std::array<std::size_t, 5>{1, 0, 0, 0, 0});
    sim.run_for(2ms);
    CHECK(received == std::array<std::size_t, 5>{1, 1, 1, 0, 0});
    sim.rejoin(0, 2);
    sockets[1]->close();
    CHECK(sockets[0]->send(out).value() == 1);
    sim.run_for(11ms);
    CHECK(received == std::array<std::size_t, 5>{2, 1, 2, 1, 0});
    sim.set_faults({.datagram_loss = 1});
    CHECK(sockets[0]->send(out).value() == 1);
    sim.run_for(11ms);
    CHECK(received == std::array<std::size_t, 5>{2, 1, 2, 1, 0});

    CHECK_FALSE(sim.host(0).network.open_multicast(*endpoint::parse("10.0.0.1:6771"), std::nullopt));
    auto const v6 = sim.host(0).network.open_multicast(*endpoint::parse("[ff15::efc0:988f]:6771"), std::nullopt);
    CHECK((!v6 && is(v6.error(), condition::transient)));
    for (auto const& each : sockets) each->close();
    sim.run_for(1ms);
}

TEST_CASE("simulated time passes only by events, and waits end at their time", "[net]") {
    simulation sim{7};
    auto& clock = sim.host(0).clock;
    std::vector<duration> woken;
    auto const start = sim.now();
    auto const sleeper = [&](duration length) -> net::task<void> {
        co_await clock.sleep(length);
        woken.push_back(clock.now() - start);
    };
    for (auto const length : {3h, 1h, 2h}) sim.spawn("sleeper", sleeper(length));
    CHECK(sim.run_until([&] { return woken.size() == 3; }, 24h));
    CHECK(woken == std::vector<duration>{1h, 2h, 3h});
    CHECK(sim.now() == start + 3h);
    CHECK_FALSE(sim.run_until([] { return false; }, 1h));
    CHECK(sim.now() == start + 4h);
}

TEST_CASE("names resolve as told, deadlines and the pool work in a simulation", "[net]") {
    simulation sim{7};
    sim.name("hub.example", sim.address_of(3));
    bool done = false;
    auto const body = [&]() -> net::task<void> {
        auto& env = sim.host(0);
        auto const known = co_await env.network.resolve("hub.example");
        CHECK((known && known.value() == std::vector{sim.address_of(3)}));
        auto const unknown = co_await env.network.resolve("other.example");
        CHECK((!unknown && unknown.error() == net::errc::host_unknown));
        sim.host(1);
        sim.separate(0, 1);
        auto const late = co_await net::with_deadline(env.clock, env.clock.now() + 10s,
                                                      env.network.connect({sim.address_of(1), port}, std::nullopt));
        CHECK((!late && late.error() == net::errc::timed_out));
        int value = 0;
        co_await net::on_pool(env.workers, [&] { value = 1; });
        CHECK(value == 1);
        done = true;
    };
    sim.spawn("body", body());
    CHECK(sim.run_until([&] { return done; }, 1min));
}

TEST_CASE("an exception in a simulated task is thrown by the run", "[net]") {
    simulation sim{7};
    auto const bad = []() -> net::task<void> {
        throw std::runtime_error("bad");
        co_return;
    };
    sim.spawn("bad", bad());
    CHECK_THROWS_AS(sim.run_for(1s), std::runtime_error);
}

TEST_CASE("tasks that are still waiting are cancelled at the end of a simulation", "[net]") {
    std::vector<received> got(1);
    std::error_code end;
    byte_vector const sent = pattern(1'000'000);
    simulation sim{7};
    sim.connect_by(1, {.upload = 10'000});
    sim.spawn("server", serve(sim.host(0), got));
    sim.spawn("a", push(sim.host(1), sim.address_of(0), sent, end));
    sim.run_for(10s);
    CHECK_FALSE(got[0].bytes.empty());
}

TEST_CASE("the same seed gives the same events, another seed others", "[net]") {
    auto const run = [](std::uint64_t seed) {
        auto const sent = pattern(300'000);
        std::vector<received> got(4);
        std::array<std::error_code, 4> ends;
        simulation sim{seed};
        sim.set_faults({.reset_after_mean = 1'000'000, .short_transfers = true, .datagram_loss = 0.1});
        sim.connect_by(0, {.download = 1'000'000});
        sim.spawn("server", serve(sim.host(0), got));
        for (std::size_t i = 0; i < 4; ++i) sim.spawn("push", push(sim.host(i + 1), sim.address_of(0), sent, ends[i]));
        sim.run_for(1min);
        return sim.trace();
    };
    std::set<std::uint64_t> traces;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        auto const trace = run(seed);
        CHECK(run(seed) == trace);
        traces.insert(trace);
    }
    CHECK(traces.size() == 10);
}
