module;
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

export module shoal.net:seam;
import shoal.asio;
import shoal.core;
import :task;

export namespace shoal::net {
/// Buffers that one gather or scatter call may name; more are ignored by that call. Asio and most drivers stop at 64.
inline constexpr std::size_t buffers_max = 64;
/// Bytes of the longest datagram that is received; longer ones are dropped. A UDP tracker's reply with 200 IPv6 peers
/// has 3620 (BEP 15), all else that we speak stays under 1500.
inline constexpr std::size_t datagram_bytes_max = 4096;

/// The only source of time.
class clock {
public:
    virtual ~clock();
    /// Monotonic.
    virtual time_point now() const = 0;
    /// Waits for a notice or for `until`, whichever is first; true for a notice. Several waits need several signals.
    virtual task<bool> wait(signal& notice, time_point until) = 0;
    /// Returns at `when`, at once when that is past.
    task<void> sleep_until(time_point when);
    task<void> sleep(duration length);
};

/// A connection that carries bytes in order, both ways. One reader and one writer at a time.
///
/// Destruction closes it; nobody may be waiting in it then. After `close` every wait in it ends with `errc::closed`.
class stream {
public:
    virtual ~stream();
    /// Fills `places` from the front with what has arrived; waits when there is nothing. Never 0 bytes: the end of
    /// the stream is `errc::closed`. A place on a dead page of a mapped file gives the system's `EFAULT`.
    /// At least one place must have room. Views and bytes must stay until the return.
    virtual task<result<std::size_t>> read_some(std::span<mutable_byte_view const> places) = 0;
    /// Takes bytes from the front of `runs`, as many as fit; waits when none do. Rules as in `read_some`.
    virtual task<result<std::size_t>> write_some(std::span<byte_view const> runs) = 0;
    /// Ends the connection both ways.
    virtual void close() = 0;
    virtual endpoint local() const = 0;
    virtual endpoint remote() const = 0;

    /// One place, and one run.
    task<result<std::size_t>> read_some(mutable_byte_view place);
    /// Writes all of `bytes`.
    task<result<void>> write_all(byte_view bytes);
    /// Fills all of `place`.
    task<result<void>> read_all(mutable_byte_view place);
};

/// Accepts connections. One waiter at a time.
class listener {
public:
    virtual ~listener();
    /// The next connection. When descriptors run out it waits and tries again, so the caller never spins; an error is
    /// final (`errc::closed` after `close`).
    virtual task<result<std::unique_ptr<stream>>> accept() = 0;
    virtual endpoint local() const = 0;
    virtual void close() = 0;
};

/// One datagram; `peer` is its source or its destination. The bytes belong to somebody else.
struct datagram {
    endpoint peer;
    byte_view bytes;
};

/// Datagrams in batches. One receiver at a time.
class datagram_socket {
public:
    virtual ~datagram_socket();
    /// Waits for one datagram and takes as many as there are, up to `out.size()`. Views are good until the next call.
    virtual task<result<std::size_t>> receive(std::span<datagram> out) = 0;
    /// Hands datagrams to the system without waiting; how many were taken, from the front. Fewer than all means that
    /// its buffer is full. One that the system refuses (no route, too long) counts as taken: datagrams get lost.
    virtual result<std::size_t> send(std::span<datagram const> out) = 0;
    virtual endpoint local() const = 0;
    virtual void close() = 0;
};

/// Makes connections. All calls, and all waits in what it makes, come from one executor.
class network {
public:
    virtual ~network();
    /// Connects; `from` is the local address to use. The deadline is the caller's (`with_deadline`).
    virtual task<result<std::unique_ptr<stream>>> connect(endpoint to, std::optional<ip_address> from) = 0;
    /// Port 0 lets the system choose. An IPv6 endpoint means IPv6 only.
    virtual result<std::unique_ptr<listener>> listen(endpoint at) = 0;
    virtual result<std::unique_ptr<datagram_socket>> open_datagram(endpoint at) = 0;
    /// The addresses of a name, or the address that `host` spells; at least one, `errc::host_unknown` otherwise.
    virtual task<result<std::vector<ip_address>>> resolve(std::string host) = 0;
};

/// Numbers that nobody can guess (in a simulation: that everybody can repeat).
class random {
public:
    virtual ~random();
    virtual void fill(mutable_byte_view out) = 0;
    std::uint64_t next();
};

/// Threads for work that blocks or computes long.
class worker_pool {
public:
    virtual ~worker_pool();
    /// Queues `work`, which must not throw. May be called from any thread. Order of start is order of the calls.
    virtual void run(std::function<void()> work) = 0;
    /// How many works can run at once.
    virtual std::size_t size() const = 0;
};

/// The outside, as an engine or a hub is given it. What it names outlives them.
struct environment {
    net::clock& clock;
    net::network& network;
    net::random& random;
    net::worker_pool& workers;
};
}  // namespace shoal::net
