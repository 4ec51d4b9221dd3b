#pragma once
// A swarm of the real engine in a simulated world, and all that is checked while it runs. Include it last: it imports.
#include <array>
#include <bitset>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "swarm_run.hpp"
#include "troubled_files.hpp"

import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import shoal.testing;

namespace simulated_swarm {
using namespace shoal;
using namespace std::chrono_literals;

inline constexpr std::uint16_t port = 6881;

/// Chance from the seed alone, the same on every standard library.
class chance {
public:
    explicit chance(std::uint64_t seed) : random_(seed) {}
    std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + random_() % (high - low + 1); }
    bool one_in(std::uint64_t n) { return random_() % n == 0; }

private:
    std::mt19937_64 random_;
};

struct peer {
    std::size_t host = 0;
    ip_address address;
    bool is_seeder = false;
    std::uint64_t upload_limit = 0;
    std::shared_ptr<store::simulated_disk> disk;
    std::shared_ptr<disk_troubles> troubles = std::make_shared<disk_troubles>();
    std::shared_ptr<troubled_files> files;  // of the process that runs now
    unsigned process = 0;                   // how many came before
    std::unique_ptr<engine::node> node;
    std::shared_ptr<engine::transfer> transfer;
    std::vector<endpoint> knows;
    bool is_complete = false;
    bool is_changing = false;  // it is stopping, to start again
    bool has_rot = false;      // its disk gives back what was never written, and it may give that to others
    std::set<ip_address> took_wrong_of, banned;
};

class swarm {
public:
    swarm(std::uint64_t seed, troubles with);

    outcome run();
    /// Its tasks have ended; otherwise the world has to be left as it is.
    bool can_end() const noexcept { return can_end_; }

private:
    enum class way { told, dht, local };  // how the honest hear of each other
    enum class ending { clean, crash, power_cut };

    // What the seed says: drawing.cpp, and weather.cpp for the faults.
    void draw_peers(std::uint64_t seed);
    void draw_dishonest(std::uint64_t seed, std::size_t liars, std::size_t silent);
    void draw_lie(testing::lie& how, bool seldom);
    void draw_outsiders();
    void draw_links();
    void draw_weather();
    void draw_network_faults();
    void draw_host_faults(std::size_t host);
    void draw_disk_faults(peer& who);
    void draw_process_faults(peer& who);
    void rot(peer& who);
    bool is_drawn(fault which) const { return drawn_.test(static_cast<std::size_t>(which)); }
    duration some_time();
    duration for_a_while(duration most);
    /// Unless the run is over.
    void later(std::function<void()> what);
    void later(duration when, std::function<void()> what);

    // How it runs: swarm_run.cpp.
    void start(peer& who);
    net::task<void> keep_introducing();
    net::task<void> restart(peer& who, ending how);
    net::task<void> stop_all(bool& stopped);
    endpoint at(std::size_t host);
    std::string name(peer const& who) const { return "peer " + std::to_string(who.host); }
    std::string progress() const;

    // What must hold: checks.cpp.
    void happened(peer& who, engine::transfer_event const& what);
    void look_at_bytes(peer& who, store::file_number file, std::uint64_t offset, byte_view bytes);
    void look_at_block(ip_address const& of, block_ref block, byte_view bytes);
    void check_piece(peer const& who, piece_index piece);
    void check_content(peer const& who);
    std::optional<std::size_t> wrong_file(peer const& who) const;
    void check_bans(peer const& who, outcome& result);
    void watch_memory();
    bool has_all(peer const& who) const;
    bool is_excused(peer const& who) const;
    bool is_done();
    void complain(std::string what);

    chance draw_;
    troubles with_;
    fault_set drawn_;
    std::size_t memory_before_;
    testing::content content_;
    way way_ = way::told;
    bool has_utp_ = false;
    bool is_star_ = false;
    bool is_private_ = false;  // nobody is told of peers but by the tracker
    std::vector<peer> peers_;
    std::set<ip_address> dishonest_;
    std::vector<ip_address> liars_;                        // in the order of how their blocks differ
    std::set<std::pair<ip_address, ip_address>> lied_to_;  // by whom, and who
    std::size_t hosts_ = 0;
    std::string wrong_;
    std::uint64_t rejected_pieces_ = 0;
    std::size_t memory_ = 0, looks_ = 0;
    bool is_over_ = false;
    bool can_end_ = false;
    testing::simulation sim_;  // ends first: its tasks use all the above
};

/// Bytes that the process has from the heap; 0 where the sanitizers have one of their own.
std::size_t heap_in_use();
}  // namespace simulated_swarm
