#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
constexpr std::uint16_t port = 6881;
constexpr auto stops_within = 1s;  // simulated; nobody has a tracker to say farewell to

/// Two leechers that fetch from a seeder and from each other; the first is told to stop.
class trio {
public:
    explicit trio(testing::content const& what) : content_(what), sim_(5) {
        for (std::size_t i = 0; i < 3; ++i) {
            disks_.push_back(std::make_shared<store::simulated_disk>(i));
            sim_.host(i);
        }
        for (std::size_t i = 0; i < what.files.size(); ++i) disks_[2]->put(std::to_string(i), what.files[i]);
        nodes_.resize(3);
        for (std::size_t i = 0; i < 3; ++i) start(i);
    }
    ~trio() {
        bool ended = false;
        sim_.spawn("end", stop_all(ended));
        sim_.run_until([&] { return ended; }, 1min);
    }
    void start(std::size_t i) {
        nodes_[i] = std::make_unique<engine::node>(sim_.host(i), sim_.executor(), engine::node_settings{});
        REQUIRE(nodes_[i]->listen({sim_.address_of(i), port}));
        engine::transfer_options options;
        options.storage.writable = i != 2;
        options.files = std::make_shared<store::simulated_files>(disks_[i]);
        options.connect = {{sim_.address_of((i + 1) % 3), port}};
        auto added = nodes_[i]->add(content_.torrent, std::move(options)).value();
        if (i == 0) first_ = std::move(added);
    }
    /// Lets `count` events happen; false when all was fetched before.
    bool run_events(std::size_t count) {
        sim_.run_until([&] { return count-- == 0 || is_complete(); }, 1min);
        return !is_complete();
    }
    /// Whether the first ends in time when it is told to.
    bool stops(bool whole_node) {
        bool ended = false;
        sim_.spawn("stop", stop_first(whole_node, ended));
        return sim_.run_until([&] { return ended; }, stops_within);
    }
    /// The same, when the task that told it to is cancelled after so many events.
    bool stops_although_cancelled_after(std::size_t count) {
        net::task_group impatient{sim_.executor()};
        bool ended = false;
        impatient.spawn("stop", stop_first(true, ended));
        sim_.run_until([&] { return count-- == 0 || ended; }, stops_within);
        impatient.cancel();
        return sim_.run_until([&] { return impatient.size() == 0; }, stops_within) && stops(false);
    }
    /// Whether it fetches all when it is started again on the same disk.
    bool resumes() {
        bool ended = false;
        sim_.spawn("stop", stop_first(true, ended));
        sim_.run_until([&] { return ended; }, stops_within);
        first_.reset();
        nodes_[0].reset();
        start(0);
        return sim_.run_until([this] { return is_complete(); }, 10min);
    }
    bool is_complete() const { return first_->status().pieces_have == content_.torrent->pieces().piece_count(); }

private:
    net::task<void> stop_first(bool whole_node, bool& ended) {
        if (whole_node)
            co_await nodes_[0]->stop();
        else
            co_await first_->stop();
        ended = true;
    }
    net::task<void> stop_all(bool& ended) {
        for (auto& each : nodes_) co_await each->stop();
        first_.reset();
        nodes_.clear();
        ended = true;
    }
    testing::content const& content_;
    std::vector<std::shared_ptr<store::simulated_disk>> disks_;
    std::vector<std::unique_ptr<engine::node>> nodes_;
    std::shared_ptr<engine::transfer> first_;
    testing::simulation sim_;
};
}  // namespace

TEST_CASE("a transfer and a node stop at once at whatever event they are told to, and go on later", "[simulation]") {
    auto const content =
        testing::make_content({{"a", 150'000}, {"b", 50'000}}, {.format = metainfo::format::v1, .seed = 3});
    bool const whole_node = GENERATE(false, true);
    std::size_t events = 0;
    for (bool is_running = true; is_running; ++events) {
        CAPTURE(whole_node, events);
        trio peers{content};
        is_running = peers.run_events(events);
        REQUIRE(peers.stops(whole_node));
        if (events % 5 == 0) REQUIRE(peers.resumes());
    }
    CHECK(events > 100);
}

TEST_CASE("whoever stops a node may be cancelled at any time, and the node stops all the same", "[simulation]") {
    auto const content =
        testing::make_content({{"a", 150'000}, {"b", 50'000}}, {.format = metainfo::format::v1, .seed = 3});
    for (std::size_t events = 0; events < 60; ++events) {
        CAPTURE(events);
        trio peers{content};
        peers.run_events(50);
        REQUIRE(peers.stops_although_cancelled_after(events));
    }
}
