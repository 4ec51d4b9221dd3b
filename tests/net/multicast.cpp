#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
using testing::on_machine;

namespace {
// Groups of no program, on ports that nobody else here uses: what peers of this network say to each other must not
// disturb the tests. Source of the IPv4 ones: RFC 5771, "documentation".
endpoint group_v4(std::uint16_t port) {
    return {*ip_address::parse("233.252.0.14"), port};
}
endpoint group_v6(std::uint16_t port) {
    return {*ip_address::parse("ff15::db8:14"), port};
}

/// All that arrives within `length`, with its source.
net::task<std::vector<std::pair<std::string, endpoint>>> heard_by(net::environment& env, net::datagram_socket& socket,
                                                                  duration length) {
    std::vector<std::pair<std::string, endpoint>> heard;
    auto const until = env.clock.now() + length;
    auto const all = [&]() -> net::task<void> {
        std::array<net::datagram, 16> in;
        for (;;) {
            auto const got = co_await socket.receive(in);
            if (!got) co_return;
            for (auto const& each : std::span{in}.first(got.value()))
                heard.emplace_back(std::string{as_text(each.bytes)}, each.peer);
        }
    };
    co_await net::ends_before(env.clock, until, all());
    co_return heard;
}

/// Skips, and says so, where the system has no multicast.
std::unique_ptr<net::datagram_socket> open(net::environment& env, endpoint const& group,
                                           std::optional<ip_address> from = std::nullopt) {
    auto opened = env.network.open_multicast(group, from);
    if (opened) return std::move(opened.value());
    WARN("SKIP: no multicast to " << group.to_string() << " here: " << opened.error().message());
    CHECK_FALSE(is(opened.error(), condition::peer_fault));
    return nullptr;
}

net::task<void> hear_each_other(net::environment& env, endpoint group) {
    auto const a = open(env, group);
    if (!a) co_return;
    auto const b = open(env, group);
    REQUIRE(b);
    CHECK(a->local() == group);
    std::string const text = "from a";
    std::array const out{net::datagram{group, as_bytes(text)}};
    CHECK(a->send(out).value() == 1);
    for (auto* const each : {a.get(), b.get()}) {
        auto const heard = co_await heard_by(env, *each, 200ms);
        CHECK_FALSE(heard.empty());
        for (auto const& [what, from] : heard) {
            CHECK(what == text);
            CHECK_FALSE(from.address.is_unspecified());
            CHECK_FALSE(from.address.is_multicast());
            CHECK(from.port == group.port);
        }
    }
}
}  // namespace

TEST_CASE("two programs of one machine hear each other and themselves by multicast", "[net]") {
    on_machine([](net::environment& env) { return hear_each_other(env, group_v4(26771)); });
}

TEST_CASE("multicast of IPv6 is heard where the machine has it", "[net]") {
    on_machine([](net::environment& env) { return hear_each_other(env, group_v6(26772)); });
}

TEST_CASE("a multicast leaves by the loopback too, with its address as the source", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const group = group_v4(26773);
        auto const a = open(env, group), b = open(env, group);
        if (!a || !b) co_return;
        std::array const out{net::datagram{group, as_bytes("x")}};
        CHECK(a->send(out).value() == 1);
        std::set<endpoint> sources;
        for (auto const& [what, from] : co_await heard_by(env, *b, 200ms)) sources.insert(from);
        CHECK(sources.contains(endpoint{*ip_address::parse("127.0.0.1"), group.port}));
    });
}

TEST_CASE("a multicast from one address leaves by the interface that has it alone", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const group = group_v4(26776);
        auto const loopback = *ip_address::parse("127.0.0.1");
        auto const a = open(env, group, loopback);
        auto const b = open(env, group);
        if (!a || !b) co_return;
        net::datagram const said{group, as_bytes("from here")};
        CHECK(a->send({&said, 1}));
        auto const heard = co_await heard_by(env, *b, 200ms);
        REQUIRE(heard.size() == 1);
        CHECK(heard.front().second.address == loopback);
        CHECK_FALSE(env.network.open_multicast(group, ip_address::parse("203.0.113.77")));
    });
}

TEST_CASE("what is sent to the machine alone, or to another group, is not heard as multicast", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const group = group_v4(26774);
        auto other = group;
        other.address = *ip_address::parse("233.252.0.15");
        auto const a = open(env, group), b = open(env, other);
        if (!a || !b) co_return;
        auto const stranger = env.network.open_datagram({*ip_address::parse("127.0.0.1"), 0}).value();
        std::array const alone{net::datagram{{*ip_address::parse("127.0.0.1"), group.port}, as_bytes("alone")}};
        std::array const elsewhere{net::datagram{other, as_bytes("elsewhere")}};
        CHECK(stranger->send(alone).value() == 1);
        CHECK(b->send(elsewhere).value() == 1);
        CHECK((co_await heard_by(env, *a, 100ms)).empty());
    });
}

TEST_CASE("multicast to what is no group is refused, and a closed socket says so", "[net]") {
    on_machine([](net::environment& env) -> net::task<void> {
        auto const refused = env.network.open_multicast({*ip_address::parse("127.0.0.1"), 26775}, std::nullopt);
        REQUIRE_FALSE(refused);
        CHECK(is(refused.error(), condition::local_fault));
        auto const a = open(env, group_v4(26775));
        if (!a) co_return;
        a->close();
        std::array<net::datagram, 4> in;
        auto const received = co_await a->receive(in);
        CHECK((!received && received.error() == net::errc::closed));
        auto const sent = a->send({});
        CHECK((!sent && sent.error() == net::errc::closed));
    });
}
