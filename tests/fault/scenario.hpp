#pragma once
// What the rigs of this folder break. Include it last: it imports.
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.hub;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import shoal.testing;

namespace fault {
using namespace shoal;
using namespace std::chrono_literals;

/// Which call of the network fails next, and how: hosts of a scenario share one.
struct failing_calls {
    std::size_t left = 0;  ///< Calls until one fails; 0: none will.
    int error = 0;         ///< Its errno; 0: it moves one byte, or takes no datagram.
    bool has_struck = false;
    /// Counts a call: its failure where it is to fail.
    bool strikes() noexcept {
        if (left == 0 || --left > 0) return false;
        has_struck = true;
        return true;
    }
};

/// A small world in which one thing is done, the same each time. Others take part in it, and are stopped in the end.
class scenario {
public:
    virtual ~scenario();
    scenario(scenario const&) = delete;
    scenario& operator=(scenario const&) = delete;

    /// Does the thing from beginning to end, and cleans up however it ends. Called again, it goes on where it was.
    virtual net::task<void> act() = 0;
    /// Whether it was done, and what came of it is right.
    virtual bool is_right() const = 0;
    /// Makes what stands ready before `act`, once.
    virtual void begin() {}

    testing::simulation& world() noexcept { return *world_; }
    /// It does not end, and is left as it is.
    void give_up() noexcept { is_stuck_ = true; }
    failing_calls calls;
    /// The disk of a host.
    std::shared_ptr<store::simulated_disk> const& disk(std::size_t host);

protected:
    scenario();
    /// The outside of a host, on which `calls` fail.
    net::environment& outside(std::size_t host);
    endpoint at(std::size_t host, std::uint16_t port = 6881) { return {world_->address_of(host), port}; }
    testing::content const& content() const noexcept { return content_; }
    /// Puts all of the content on the disk of a host.
    void hold(std::size_t host);
    bool holds(std::size_t host);
    engine::transfer_options options(std::size_t host, bool writable);

    /// A node and what is done with it. It is stopped however that ends.
    using deed = std::function<net::task<void>(engine::node&)>;
    net::task<void> with_node(std::size_t host, engine::node_settings settings, deed what);
    /// The same beside the thing, until the end of the scenario: waits for nothing, since it does not `act`.
    void beside(std::size_t host, engine::node_settings settings, deed what);
    /// The same with a hub on a host, at port 6969.
    void hub_beside(std::size_t host);
    net::task<void> serve_hub(std::size_t host);
    /// Something else of that kind.
    void spawn_beside(std::string name, net::task<void> work) { beside_->spawn(std::move(name), std::move(work)); }
    net::task<void> for_ever();
    /// An error of the result, thrown.
    template <class T>
    static void must(result<T> const& what) {
        if (!what) throw std::system_error(what.error());
    }

    bool has_tcp = true;  ///< Set it before `act`; without, connections by TCP are refused.

private:
    struct host_parts;
    bool is_stuck_ = false;
    testing::content content_;
    std::vector<std::shared_ptr<store::simulated_disk>> disks_;
    std::vector<std::unique_ptr<host_parts>> hosts_;
    std::unique_ptr<net::task_group> beside_;
    std::unique_ptr<testing::simulation> world_;
};

struct named_scenario {
    std::string_view name;
    std::unique_ptr<scenario> (*make)();
};
/// All of them.
std::vector<named_scenario> const& scenarios();

/// The places to try of so many: some fifty, each of them with SHOAL_EVERY=1.
std::size_t stride_over(std::size_t count);

/// Prints how much was tried, where all was to be (SHOAL_EVERY is set).
void report(named_scenario const& which, std::string const& what);

/// Runs it until it is done, again where it ends with an error; `tries` times at most, each so long.
enum class outcome { done, error, stuck, wrong };
outcome run(scenario& what, int tries, duration each = 2h);
}  // namespace fault
