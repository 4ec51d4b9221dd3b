module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

export module shoal.testing:simulation;
import shoal.asio;
import shoal.core;
import shoal.net;

export namespace shoal::testing {
/// How a host is connected to the others.
struct host_link {
    std::uint64_t upload = 0;    ///< Bytes per second, shared fairly by its connections; 0: no limit.
    std::uint64_t download = 0;  ///< Bytes per second, first come first served; 0: no limit.
    duration latency = std::chrono::milliseconds{5};  ///< One way to the middle; a path takes the sum of both ends'.
};

/// What goes wrong by chance, from the moment it is set.
struct fault_rates {
    std::uint64_t reset_after_mean = 0;  ///< A new connection breaks after about so many bytes; 0: never.
    bool short_transfers = false;        ///< Reads and writes move random small counts of bytes.
    double datagram_loss = 0;            ///< Fraction of datagrams that vanish.
    double datagram_copies = 0;          ///< Fraction that arrives twice.
    double datagram_damage = 0;          ///< Fraction that arrives with one bit changed.
    std::size_t datagram_bytes = 0;      ///< Larger ones vanish, as where a path is narrow and says nothing; 0: none.
    duration jitter{};            ///< So much more latency at most, drawn for each: a datagram overtakes another by it.
    duration overtaking{};        ///< As `jitter`, for one datagram in ten only, and no stream.
    bool only_datagrams = false;  ///< No new connection gets through, as behind some firewalls.
};

/// What the resolver does to names; addresses it knows by themselves.
enum class name_fault { none, fails, is_slow, is_wrong };

/// A world of hosts on one thread and on a time of its own. The same seed and the same calls give the same events.
///
/// Streams keep their order, hold at most 256 KiB a direction, break and close as TCP does. Blocking work runs inline
/// and takes no time. Names resolve as told by `name`. Datagrams are delayed and lost, but use no bandwidth; one to a
/// multicast group of IPv4 goes to every host, and is lost or not for each by itself.
class simulation {
public:
    explicit simulation(std::uint64_t seed);
    simulation(simulation const&) = delete;
    simulation& operator=(simulation const&) = delete;
    /// Cancels and joins what was spawned; everything that the tasks use has to outlive the simulation.
    ~simulation();

    // The world.
    /// The outside as host `n` sees it, from 0; hosts appear when first named. Addresses are 10.0.0.1, 10.0.0.2, ...
    net::environment& host(std::size_t n);
    ip_address address_of(std::size_t n);
    /// Gives host `n` another address, before anything knows the one it has.
    void place(std::size_t n, ip_address address);
    void connect_by(std::size_t n, host_link link);
    void set_faults(fault_rates rates);
    void name(std::string name, ip_address address);

    // Things that happen.
    /// Nothing passes between the two hosts, in either direction, until they are joined again. What was under way
    /// arrives then; connection attempts go on waiting.
    void separate(std::size_t a, std::size_t b);
    void rejoin(std::size_t a, std::size_t b);
    /// Nothing that `from` sends reaches `to`, until they are joined again.
    void separate_one_way(std::size_t from, std::size_t to);
    /// Every connection of the host is reset.
    void reset_connections(std::size_t n);
    /// Each of its connections comes to an end in one direction: it reads no more, while the other side still may.
    void end_half(std::size_t n);
    /// What the host sends waits for so long; its datagrams are lost.
    void clog(std::size_t n, duration length);
    /// The host's datagrams come from another port from now on, as behind a router, and its own lets nothing in for so
    /// long. Whoever says something to a port is answered from that.
    void move_ports(std::size_t n, duration closed);
    void spoil_names(name_fault how);
    /// The host's process stands still: nothing arrives there, no time-out strikes, no work is done.
    void freeze(std::size_t n, duration length);
    /// The host's clock is so much later at once.
    void jump_clock(std::size_t n, duration ahead);
    /// Work on the host's pool takes up to so long from now on.
    void slow_down_work(std::size_t n, duration most);
    /// The host can open nothing, until it may again.
    void take_descriptors(std::size_t n, bool are_taken);
    /// Calls `what` after `delay`, between two events.
    void after(duration delay, std::function<void()> what);
    /// Calls `what` whenever a task has run to its next wait, instead of only after events as `run_until` asks.
    void after_each_handler(std::function<void()> what);

    // Running.
    asio::any_io_executor executor();
    /// Starts a task that the simulation owns. An exception that escapes it is thrown by the call that runs it.
    void spawn(std::string name, net::task<void> work);
    /// Runs until `done`, asked after each event, says yes, or `limit` of simulated time has passed: then false.
    bool run_until(std::function<bool()> done, duration limit);
    void run_for(duration length);
    /// Runs until this task has ended; false when that takes longer than `limit`.
    bool run_to_end(net::task<void> work, duration limit);
    time_point now() const noexcept;
    std::uint64_t seed() const noexcept;
    /// A hash of all events so far, their times, and all bytes that anybody sent: equal for equal runs.
    std::uint64_t trace() const noexcept;
    /// From now on the trace holds how much is sent, and not what: where web sockets are, which mask all that they say
    /// with numbers that nobody can foresee (RFC 6455 section 5.3).
    void trace_no_bytes();
    /// From now on every event is told, as a line with its time.
    void tell_events(std::function<void(std::string const& line)> to);
    /// Something that the test knows of becomes an event.
    void remark(std::string const& what);

private:
    std::unique_ptr<struct world> world_;
};
}  // namespace shoal::testing
