module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module shoal.testing:world;
import shoal.asio;
import shoal.core;
import shoal.net;
import :simulation;

// What the simulated network and the simulation share.
namespace shoal::testing {
struct world;
struct connection;
struct pipe;
class simulated_listener;
class simulated_datagrams;

/// Numbers that depend on the seed alone.
class repeatable_random final : public net::random {
public:
    explicit repeatable_random(std::uint64_t seed) : state_(seed) {}
    void fill(mutable_byte_view out) override;
    std::uint64_t number();
    /// From 0 to 1.
    double fraction();

private:
    std::uint64_t state_;
};

/// Runs work on the event loop, one after the other, and a while later where it is slow.
class inline_workers final : public net::worker_pool {
public:
    explicit inline_workers(world& world) : world_(world) {}
    void run(std::function<void()> work) override;
    std::size_t size() const override { return 1; }

    duration slow_by{};
    time_point held_until{};

private:
    world& world_;
};

/// A host's own clock.
class simulated_clock final : public net::clock {
public:
    explicit simulated_clock(world& world) : world_(world) {}
    time_point now() const override;
    net::task<bool> wait(net::signal& notice, time_point until) override;
    void jump(duration ahead);

    time_point held_until{};  // nobody wakes before

private:
    world& world_;
    duration ahead_{};
    std::list<net::signal*> sleeping_;
};

class simulated_network final : public net::network {
public:
    simulated_network(world& world, std::size_t host) : world_(world), host_(host) {}
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, std::optional<ip_address> from) override;
    result<std::unique_ptr<net::listener>> listen(endpoint at) override;
    result<std::unique_ptr<net::datagram_socket>> open_datagram(endpoint at) override;
    result<std::unique_ptr<net::datagram_socket>> open_multicast(endpoint group,
                                                                 std::optional<ip_address> from) override;
    net::task<result<std::vector<ip_address>>> resolve(std::string host) override;

private:
    world& world_;
    std::size_t host_;
};

struct simulated_host {
    simulated_host(world& world, std::size_t index, std::uint64_t seed);
    std::uint16_t free_port();

    std::size_t index;
    ip_address address;
    host_link link;
    simulated_network network;
    repeatable_random random;
    simulated_clock clock;
    inline_workers workers;
    net::environment outside;

    std::map<std::uint16_t, simulated_listener*> listeners;
    std::map<std::uint16_t, simulated_datagrams*> datagrams;
    std::multimap<endpoint, simulated_datagrams*> members;  // of the multicast groups that they joined
    std::uint16_t last_port = 49151;
    std::deque<std::shared_ptr<pipe>> uplink;  // pipes with something to send, each once: taken in turn
    bool uplink_busy = false;
    time_point downlink_free{};
    time_point clogged_until{}, frozen_until{};
    bool has_no_descriptors = false;
    std::map<std::uint16_t, std::uint16_t> shown_ports;   // own: as others see it
    std::map<std::uint16_t, std::uint16_t> hidden_ports;  // as others see it: own
    std::map<endpoint, std::uint16_t> spoken_to;          // to which of them somebody spoke last
    time_point own_ports_closed_until{};
};

struct world {
    explicit world(std::uint64_t seed);

    using event_key = std::pair<time_point, std::uint64_t>;
    event_key at(time_point when, std::function<void()> what);
    void note(std::string_view kind, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0);
    /// Somebody sends these.
    void note_bytes(byte_view bytes);
    bool are_bytes_traced = true;
    void tell(std::string const& what);
    /// From none to `most`.
    duration some_of(duration most);
    simulated_host& host(std::size_t n);
    simulated_host* host_at(ip_address const& address);
    bool is_cut(std::size_t from, std::size_t to) const;
    bool holds_back(std::size_t from, std::size_t to);
    duration latency(std::size_t a, std::size_t b) const;
    bool run(std::function<bool()> const& done, time_point limit);
    /// Lets every task run that can run at the present time.
    void settle();

    std::uint64_t const seed;
    asio::io_context io;  // outlives all that waits in it
    repeatable_random random;
    time_point now{std::chrono::hours{1000}};  // far from 0: times in the past can be named
    std::uint64_t trace = 0xcbf29ce484222325;
    std::uint64_t event_count = 0;
    fault_rates faults;
    name_fault names_are = name_fault::none;
    simulated_clock clock;  // of the world itself
    std::vector<std::unique_ptr<simulated_host>> hosts;
    std::map<ip_address, std::size_t> index_of;
    std::map<std::string, std::vector<ip_address>> names;
    std::set<std::pair<std::size_t, std::size_t>> cut;  // from, to
    std::vector<std::weak_ptr<connection>> connections;
    std::map<event_key, std::function<void()>> events;
    std::exception_ptr failure;
    std::function<void()> on_handler;
    std::function<void(std::string const&)> on_event;
    net::task_group tasks;
};

/// Delivers what was held back and need not be any more.
void deliver_held(world& world);
void reset_all(world& world, std::size_t host);
void end_half(world& world, std::size_t host);
void clog(world& world, std::size_t host, duration length);
/// Descriptors are free again: whoever waits for the listeners gets in.
void let_in(simulated_host& host);
}  // namespace shoal::testing
