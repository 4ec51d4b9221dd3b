#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>

import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.hub;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
using testing::simulation;

namespace {
/// A hub with one place, and nodes that want it, in simulated time.
class full_hub {
public:
    struct node {
        node(simulation& world, std::size_t host)
            : session(world.host(host), world.executor(), id_of(host), 7000, "test",
                      "ws://" + world.address_of(0).to_string() + ":80/session"),
              running(world.executor()) {}
        engine::hub_session session;
        net::task_group running;
        std::optional<result<void>> opened;
    };

    full_hub() : hub_(world.host(0), with_one_place()), tasks_(world.executor()) {
        REQUIRE(hub_.listen({world.address_of(0), 80}));
        tasks_.spawn("hub", serve());
    }
    ~full_hub() {
        for (auto& each : nodes_) each.running.cancel();
        tasks_.cancel();
        auto const is_over = [&] {
            for (auto const& each : nodes_)
                if (each.running.size() > 0) return false;
            return tasks_.size() == 0;
        };
        CHECK(world.run_until(is_over, 10s));
    }

    /// A node that connects to the hub and waits for its session.
    node& join(bool stays_in_line = true) {
        auto& joined = nodes_.emplace_back(world, nodes_.size() + 1);
        joined.running.spawn("session", joined.session.run());
        joined.running.spawn("opened", wait(joined, stays_in_line));
        return joined;
    }

    simulation world{1};

private:
    static peer_id id_of(std::size_t host) {
        peer_id id;
        id.bytes[0] = static_cast<std::byte>(host);
        return id;
    }
    static hub::settings with_one_place() {
        hub::settings how;
        how.nodes.sessions_max = 1;
        return how;
    }
    net::task<void> serve() { (void)co_await hub_.run(); }
    static net::task<void> wait(node& which, bool stays_in_line) {
        which.opened.emplace(co_await which.session.opened(stays_in_line));
    }

    hub::hub hub_;
    std::deque<node> nodes_;
    net::task_group tasks_;
};
}  // namespace

TEST_CASE("a node over the hub's limit stays in line for minutes and gets in when a place is free", "[engine]") {
    full_hub here;
    auto& first = here.join();
    REQUIRE(here.world.run_until([&] { return first.opened.has_value(); }, 5s));
    CHECK(*first.opened);
    CHECK_FALSE(first.session.place());

    auto& second = here.join();
    here.world.run_for(3min);
    CHECK_FALSE(second.opened);
    CHECK(second.session.place() == 1);

    first.running.cancel();
    REQUIRE(here.world.run_until([&] { return second.opened.has_value(); }, 5s));
    CHECK(*second.opened);
    CHECK(second.session.is_open());
    CHECK_FALSE(second.session.place());
}

TEST_CASE("who does not want to wait in line learns its place, and still gets in", "[engine]") {
    full_hub here;
    auto& first = here.join();
    REQUIRE(here.world.run_until([&] { return first.opened.has_value(); }, 5s));
    auto& second = here.join(false);
    REQUIRE(here.world.run_until([&] { return second.opened.has_value(); }, 5s));
    CHECK(*second.opened);
    CHECK_FALSE(second.session.is_open());
    CHECK(second.session.place() == 1);

    first.running.cancel();
    CHECK(here.world.run_until([&] { return second.session.is_open(); }, 5s));
}
