#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "support/failing_heap.hpp"

#include "hub_machine.hpp"

import shoal.engine;

using namespace simulated_swarm;

namespace {
/// A hub, and a node that holds a session and takes part in a torrent there.
class small_hub {
public:
    small_hub() {
        sim_.name(std::string{hub_name}, sim_.address_of(0));
        hub_.start();
        session_ = std::make_unique<engine::hub_session>(sim_.host(1), sim_.executor(), peer_id{}, 7000, "test",
                                                         hub_url("ws") + "/session");
        node_.spawn_lasting("session", sim_.host(1).clock, [this] { return session_->run(); });
        REQUIRE(sim_.run_until([this] { return session_->is_open(); }, 1min));
    }
    ~small_hub() {
        bool has_ended = false;
        sim_.spawn("end", end(has_ended));
        CHECK(sim_.run_until([&] { return has_ended; }, 1min));
    }
    void connection_breaks() { sim_.reset_connections(1); }
    void node_leaves() {
        connection_breaks();
        node_.cancel();
    }
    std::size_t listed() {
        std::optional<std::size_t> count;
        REQUIRE(sim_.run_to_end(count_nodes(count), 1min));
        return count.value_or(SIZE_MAX);
    }
    bool comes_back() {
        return sim_.run_until([this] { return session_->is_open(); }, 3min);
    }
    testing::simulation& world() { return sim_; }

private:
    net::task<void> count_nodes(std::optional<std::size_t>& count) {
        if (auto const nodes = co_await ask_for_nodes(sim_.host(2))) count = nodes->size();
    }
    net::task<void> end(bool& has_ended) {
        node_.cancel();
        co_await node_.join();
        co_await hub_.end(true);
        has_ended = true;
    }

    testing::simulation sim_{3};
    hub_machine hub_{sim_.host(0), sim_.executor(), {sim_.address_of(0), hub_port}, false};
    std::unique_ptr<engine::hub_session> session_;
    net::task_group node_{sim_.executor()};
};
}  // namespace

TEST_CASE("whatever there is no memory for when a node leaves, the hub lists it no more", "[simulation]") {
    bool has_failed = true;
    for (std::size_t n = 1; has_failed; ++n) {
        INFO("allocation " << n);
        small_hub here;
        REQUIRE(here.listed() == 1);
        here.node_leaves();
        failing_heap::fail(n);
        here.world().run_for(5s);
        has_failed = failing_heap::has_failed() && n < 400;
        failing_heap::fail(0);
        here.world().run_for(5s);
        CHECK(here.listed() == 0);
    }
}

TEST_CASE("whatever there is no memory for when a session is lost, the node comes back", "[simulation]") {
    bool has_failed = true;
    for (std::size_t n = 1; has_failed; ++n) {
        INFO("allocation " << n);
        small_hub here;
        here.connection_breaks();
        failing_heap::fail(n);
        here.world().run_for(5s);
        has_failed = failing_heap::has_failed() && n < 1000;
        failing_heap::fail(0);
        CHECK(here.comes_back());
        here.world().run_for(5s);
        CHECK(here.listed() == 1);
    }
}
