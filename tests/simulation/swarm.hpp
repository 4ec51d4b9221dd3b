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
#include <map>
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

#include "hub_machine.hpp"
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

/// What a process has to do with a hub.
struct hub_part {
    hub_part(net::environment& outside, asio::any_io_executor const& home, engine::node const& of);
    engine::hub_session session;
    net::task_group tasks;
};

/// A small content that only its owner has, and that he may share at the hub for a while.
struct own_content {
    testing::content content;
    bool is_shared = true;
    unsigned offered_by = 0;    // the process that did last
    bool is_forgotten = false;  // that it was withdrawn: the process that offered it had ended
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
    std::set<ip_address> took_wrong_of;
    std::map<ip_address, time_point> banned;                        // when last, by its own clock
    std::optional<std::pair<unsigned, std::uint64_t>> compared_at;  // its files: by process and calls of its disk
    bool was_wrong = false;                                         // by that
    // Where there is a hub.
    std::unique_ptr<hub_part> part;
    std::optional<own_content> own;
    bitfield ever_had;                  // pieces, in any process
    std::size_t completions = 0;        // downloads; a piece that was lost and fetched again makes no further one
    unsigned completed_by = 0;          // the process that did last
    unsigned welcomed_by = 0;           // the process whose session was there last
    bool is_known_anew = false;         // the hub has forgotten it since
    std::optional<time_point> gone_at;  // its process has ended, and no other has begun
    duration down_for = std::chrono::seconds{3};  // between two of its processes
};

class swarm {
public:
    swarm(std::uint64_t seed, troubles with);

    outcome run();
    /// Its tasks have ended; otherwise the world has to be left as it is.
    bool can_end() const noexcept { return can_end_; }

private:
    enum class way { told, dht, local, hub };  // how the honest hear of each other
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
    void draw_hub(std::uint64_t seed);
    void draw_hub_faults();
    bool is_drawn(fault which) const { return drawn_.test(static_cast<std::size_t>(which)); }
    duration some_time();
    duration for_a_while(duration most);
    /// Unless the run is over.
    void later(std::function<void()> what);
    void later(duration when, std::function<void()> what);

    // How it runs: swarm_run.cpp.
    void start(peer& who);
    void add(peer& who, std::shared_ptr<metainfo::torrent const> torrent);
    void task_failed(std::string_view task, std::exception_ptr const& why);
    net::task<void> keep_introducing();
    net::task<void> restart(peer& who, ending how);
    net::task<void> stop_all(bool& stopped);
    endpoint at(std::size_t host);
    std::string name(peer const& who) const { return "peer " + std::to_string(who.host); }
    std::string progress() const;

    // Where there is a hub: hub_swarm.cpp.
    void join_hub(peer& who);
    net::task<void> leave_hub(peer& who);
    net::task<void> take_part(peer& who);
    net::task<void> share_own(peer& who);
    void withdraw_own(peer& who);
    static net::task<void> withdraw(engine::hub_session& from, info_hash torrent);
    net::task<void> publish(peer& who, testing::content const& what);
    net::task<void> restart_hub(ending how, duration down);
    net::task<void> watch_hub();
    net::task<bool> look_at_hub(net::environment& from);
    bool is_listed_right(std::vector<listed_node> const& nodes, time_point asked_at);
    bool is_listed_right(listed_torrent const& torrent);
    bool is_listed_right(listed_owners const& owners) const;
    void look_at_set(peer& who);
    void count_download(peer& who);
    bool knows_all_others(peer const& who) const;
    bitfield const& had_by(peer& who);
    peer* peer_at(endpoint const& at);

    // What must hold: checks.cpp.
    void happened(peer& who, engine::transfer_event const& what);
    void look_at_bytes(peer& who, store::file_number file, std::uint64_t offset, byte_view bytes);
    void look_at_block(ip_address const& of, block_ref block, byte_view bytes);
    void check_piece(peer const& who, piece_index piece);
    void check_content(peer const& who);
    std::optional<std::size_t> wrong_file(peer const& who) const;
    bool has_wrong_file(peer& who) const;
    void check_bans(peer const& who, outcome& result);
    void watch_memory();
    bool has_all(peer const& who) const;
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
    std::unique_ptr<hub_machine> hub_;
    std::size_t hub_host_ = SIZE_MAX;
    bool is_announced_ = false;        // peers announce to the hub besides
    bool hub_will_restart_ = false;    // and the run waits for that
    bool hub_is_changing_ = false;     // it is down, to start again
    bool hub_is_right_ = false;        // when it was last asked, it listed everybody, and all as complete
    std::string_view hub_lacks_;       // when it was not right
    time_point hub_troubled_until_{};  // it could not notice who went
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
