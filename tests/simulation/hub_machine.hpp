#pragma once
// The real hub on a host of a simulated world, and what it tells whoever asks it. Include it last: it imports.
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.hub;
import shoal.metainfo;
import shoal.net;
import shoal.testing;

namespace simulated_swarm {
using namespace shoal;
using namespace std::chrono_literals;

inline constexpr std::uint16_t hub_port = 6969;
inline constexpr std::string_view hub_name = "hub.test";

/// Where the hub is reached by that protocol: `http://hub.test:6969`.
std::string hub_url(std::string_view scheme);

/// The hub as a service: begun again when it ends by itself.
class hub_machine {
public:
    /// With `keeps_catalogue` it finds what was published in an earlier run, on the machine's disk.
    hub_machine(net::environment& outside, asio::any_io_executor home, endpoint at, bool keeps_catalogue);
    void start();
    /// A clean end writes down what is to last.
    net::task<void> end(bool is_clean);
    /// Told when a task of it has failed for another reason than memory.
    std::function<void(std::string const& what)> on_failure;
    /// Told what it logs.
    std::function<void(std::string_view line)> on_line;

private:
    net::task<void> serve();

    net::environment& outside_;
    endpoint at_;
    std::optional<testing::temporary_folder> folder_;
    std::unique_ptr<hub::hub> hub_;
    net::task_group tasks_;
};

// What anybody may ask it by HTTP. Nothing where it does not answer.

struct listed_node {
    endpoint at;
    bool is_session = false;
};
net::task<std::optional<std::vector<listed_node>>> ask_for_nodes(net::environment& from);

struct listed_member {
    endpoint at;
    bool is_complete = false;
    std::uint64_t have = 0;  ///< Pieces.
};
struct listed_torrent {
    std::vector<listed_member> members;
    std::uint64_t completed = 0;
};
net::task<std::optional<listed_torrent>> ask_for_torrent(net::environment& from, info_hash torrent);

/// Who shares what, by name.
using listed_owners = std::map<std::string, std::set<std::string>>;
net::task<std::optional<listed_owners>> ask_for_catalogue(net::environment& from);

/// As `peer get NAME` does: the torrent of that name.
net::task<std::shared_ptr<metainfo::torrent const>> find_by_name(net::environment& from, std::string name);
}  // namespace simulated_swarm
