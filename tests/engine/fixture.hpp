#pragma once
// What the engine's tests share. Include it last: it imports.
#include <catch2/catch.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
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

namespace fixture {
using namespace shoal;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using engine::transfer_options;

inline endpoint loopback(std::uint16_t port = 0) {
    return {*ip_address::parse("127.0.0.1"), port};
}

/// Notes where a node connects to.
class watched_network final : public testing::passing_network {
public:
    using passing_network::passing_network;
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, std::optional<ip_address> from) override {
        tried.insert(to);
        return below_.connect(to, from);
    }
    std::set<endpoint> tried;
};

/// Options of somebody who has the content in `folder` and only gives.
inline transfer_options giving(fs::path const& folder) {
    transfer_options options;
    options.storage.directory = folder;
    options.storage.writable = false;
    return options;
}

/// Nodes on this machine, stopped in the end whatever happens. Every wait is bounded, since what does not end would
/// end the program.
class machine {
public:
    machine(net::environment& around, asio::any_io_executor executor) : outside(around), home(std::move(executor)) {}

    struct party {
        std::unique_ptr<engine::node> node;
        endpoint at;
    };
    party& start(engine::node_settings settings = {}) {
        auto& added = *parties_.emplace_back(std::make_unique<party>());
        added.node = std::make_unique<engine::node>(outside, home, std::move(settings));
        added.at = added.node->listen(loopback()).value();
        return added;
    }
    net::task<void> stop_all() {
        for (auto& each : parties_) co_await each->node->stop();
    }
    /// Whether it comes true within ten seconds.
    net::task<bool> comes_true(std::function<bool()> what) {
        for (auto const until = outside.clock.now() + 10s; outside.clock.now() < until;) {
            if (what()) co_return true;
            co_await outside.clock.sleep(5ms);
        }
        co_return what();
    }
    net::task<result<void>> completed(std::shared_ptr<engine::transfer> what) {
        co_return co_await net::with_deadline(outside.clock, outside.clock.now() + 15s, what->completed());
    }
    net::task<result<void>> checked(std::shared_ptr<engine::transfer> what) {
        co_return co_await net::with_deadline(outside.clock, outside.clock.now() + 15s, what->checked());
    }

    /// Adds a torrent to somebody who has it in `folder`, and waits until it can be asked for.
    net::task<std::shared_ptr<engine::transfer>> give(party& who, testing::content const& what, fs::path folder) {
        auto added = who.node->add(what.torrent, giving(folder)).value();
        (void)co_await checked(added);
        co_return added;
    }

    net::environment& outside;
    asio::any_io_executor home;

private:
    std::vector<std::unique_ptr<party>> parties_;
};

inline void on_machine(std::function<net::task<void>(machine&)> body) {
    testing::on_machine(
        [&](net::environment& outside) -> net::task<void> {
            machine here{outside, co_await asio::this_coro::executor};
            std::exception_ptr failure;
            try {
                co_await body(here);
            } catch (...) {
                failure = std::current_exception();
            }
            co_await here.stop_all();
            if (failure) std::rethrow_exception(failure);
        },
        60s);
}

/// Options of somebody who fetches it into `folder`.
inline transfer_options fetching(fs::path const& folder, std::vector<endpoint> from = {}) {
    transfer_options options;
    options.storage.directory = folder;
    options.storage.journal = folder / ".journal";
    options.connect = std::move(from);
    return options;
}

/// Keeps what happened in a transfer. It may go before the transfer does.
struct happenings {
    std::shared_ptr<std::vector<engine::transfer_event>> const kept =
        std::make_shared<std::vector<engine::transfer_event>>();
    std::vector<engine::transfer_event>& events = *kept;
    engine::transfer_observer keep() {
        return [to = kept](engine::transfer_event const& what) { to->push_back(what); };
    }
    template <class Event>
    std::vector<Event> all() const {
        std::vector<Event> found;
        for (auto const& each : events)
            if (auto const* one = std::get_if<Event>(&each)) found.push_back(*one);
        return found;
    }
    bool left_with(std::error_code why) const {
        for (auto const& each : all<engine::event::peer_left>())
            if (each.why == why) return true;
        return false;
    }
};

/// A hybrid whose hashes are of different bytes ends so, and nobody is blamed for it.
inline net::task<void> ends_as_contradiction(machine& here, std::shared_ptr<engine::transfer> fetched,
                                             happenings const& seen) {
    auto const ended = co_await here.completed(fetched);
    REQUIRE_FALSE(ended);
    CHECK(ended.error() == store::errc::hashes_disagree);
    CHECK(fetched->status().state == engine::transfer_state::failed);
    CHECK(co_await here.comes_true([&] { return fetched->status().peers == 0; }));
    CHECK_FALSE(seen.left_with(engine::errc::banned));
}

inline testing::content some_content(metainfo::format format = metainfo::format::hybrid, std::uint64_t seed = 1) {
    return testing::make_content(
        {{"a", 400'000}, {"deep/er/b", 1'234'567}, {"empty", 0}, {"grün", 70'000}, {"tiny", 1}},
        {.format = format, .seed = seed, .name = "content" + std::to_string(seed)});
}
}  // namespace fixture
