module;
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

export module shoal.net:seam;
import shoal.asio;
import shoal.core;

export namespace shoal::net {
/// Why the outside did not do as asked. System errors (refused, reset, no descriptors) keep their own codes.
enum class errc {
    closed = 1,            ///< The other side, or we, ended the connection.
    timed_out,             ///< The deadline given by the caller passed first.
    host_unknown,          ///< The name does not resolve.
    refused_address,       ///< The caller's rule does not let us connect to this address.
    bad_url,               ///< Not an http or https URL (for a web socket also ws or wss) that we can use.
    tls_failed,            ///< The TLS handshake or the certificate was not good.
    http_malformed,        ///< Not HTTP/1.0 or 1.1.
    http_too_large,        ///< A line, the headers, or the body exceed their limit.
    http_redirects,        ///< More redirects than allowed, or one that names no target.
    web_socket_refused,    ///< The server did not agree to speak RFC 6455.
    web_socket_malformed,  ///< Not RFC 6455, or text that is not UTF-8.
    web_socket_too_large,  ///< A message exceeds the limit.
    not_permitted,         ///< The server wants a credential, or another one (HTTP 401 and 403).
};
std::error_code make_error_code(errc) noexcept;

/// What Asio reports, as the rest of the program sees it: eof is `errc::closed`, a name that does not resolve
/// `errc::host_unknown`, system errors keep their number.
std::error_code translate(boost::system::error_code const& code) noexcept;

/// Whether this is how a cancelled coroutine ends: Asio's `operation_aborted`, thrown.
bool is_cancellation(std::exception_ptr const& thrown) noexcept;
}  // namespace shoal::net
export template <>
struct std::is_error_code_enum<shoal::net::errc> : std::true_type {};

export namespace shoal::net {
class clock;

/// A coroutine. It starts when awaited or spawned; cancelled, it throws `operation_aborted` at its next `co_await`.
template <class T>
using task = asio::awaitable<T>;

/// Tells one waiting task that there is something to do. A notice given before the wait is kept, several are one.
///
/// One waiter at a time. All calls come from the executor it was made with.
class signal {
public:
    explicit signal(asio::any_io_executor const& executor);

    /// Wakes the waiter, or lets the next wait return at once.
    void notify();
    /// Returns when notified since the last wait. Takes no memory once it was called: a wait that must not fail is made
    /// before there is something to wait for.
    task<void> wait();
    /// Takes a kept notice without waiting; false when there is none.
    bool take() noexcept;

    // For makers of clocks.
    /// Sleeps until `wake`, `notify`, the system's time `until`, or cancellation; the caller looks which it was.
    task<void> park(time_point until = time_point::max());
    /// Ends a `park` without a notice.
    void wake();

private:
    friend class task_group;  // waits without a frame of its own
    asio::steady_timer timer_;
    bool raised_ = false;
};

/// Owns tasks: cancels them, and waits for their end. All calls come from its executor.
///
///     task_group sessions{executor};
///     sessions.spawn("session 192.0.2.1:6881", run_session(...));
///     ...
///     sessions.cancel();
///     co_await sessions.join();
///
/// A cancelled owner cannot `co_await` any more: let `in_task_group` own the group where anything but `join` is
/// awaited between `spawn` and `join`.
class task_group {
public:
    explicit task_group(asio::any_io_executor executor);
    task_group(task_group const&) = delete;
    task_group& operator=(task_group const&) = delete;
    /// Every task must have ended.
    ~task_group();

    /// Starts `child` on the group's executor, not inside this call. `name` is for `on_failure`. Where there is no
    /// memory for that it throws, and the group is as before.
    void spawn(std::string name, task<void> child);
    /// The same for work that nobody else would take up: when an exception has ended it, `on_failure` is told, and it
    /// is begun again after a pause. `work` makes a new coroutine each time, and lives as long as this task.
    void spawn_lasting(std::string name, clock& clock, std::function<task<void>()> work);
    /// Asks every task that was spawned so far to end. They run on until their next wait.
    void cancel();
    /// Returns when no task is left. When the awaiting task is cancelled meanwhile, the children are too, and the
    /// awaiting task gets its cancellation at its next `co_await`. Takes no memory once it was called: who cannot do
    /// without it calls it before the first `spawn`, and awaits it later.
    task<void> join();

    std::size_t size() const noexcept { return children_.size(); }
    asio::any_io_executor const& executor() const noexcept { return executor_; }

    /// Told of an exception that escaped from a task, other than the cancellation. Only that task has ended.
    std::function<void(std::string_view name, std::exception_ptr const& why)> on_failure;

private:
    struct child {
        std::string name;
        asio::cancellation_signal cancelled;
    };
    void ended(std::list<child>::iterator which, std::exception_ptr const& why);
    void tell(std::string_view name, std::exception_ptr const& why) noexcept;
    task<void> last(std::string name, clock& clock, std::function<task<void>()> work);

    asio::any_io_executor executor_;
    std::list<child> children_;
    signal emptied_;
};

/// Runs `body` with a group on the current executor; when the body returns, throws or is cancelled, the group is
/// cancelled and joined, and then the outcome of the body handed on. `body` and what it captures live until then.
task<void> in_task_group(std::function<task<void>(task_group&)> body);

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
    /// Sockets on one address that share what is sent to it, for more than one thread can receive and send: at most
    /// `threads` (at least 1), each with a thread of its own for its system calls. They are used like any other; the
    /// system chooses one for each sender, by the addresses. Where there are no threads to be had it is one socket
    /// without: that is what the base does. An address that somebody has is an error, shared or not.
    virtual result<std::vector<std::unique_ptr<datagram_socket>>> open_datagram_threads(endpoint at,
                                                                                        std::size_t threads);
    /// Hears what is sent to `group`, an address of IPv4 or IPv6 multicast with its port, beside all others on this
    /// machine who do the same, and sends to it through every interface of that family, the loopback too. With `from`,
    /// only by the interface that has this address, and from it.
    ///
    /// What is sent stays on the links (TTL 1) and comes back to ourselves too, and to others of this machine once for
    /// each interface: with the address of the interface as its source, 127.0.0.1 for the loopback. `local()` is the
    /// group. Interfaces that come up later are joined at the next `send`. Fails with the system's code where no
    /// interface has a way to the group; that may be otherwise later.
    virtual result<std::unique_ptr<datagram_socket>> open_multicast(endpoint group, std::optional<ip_address> from) = 0;
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

namespace shoal::net {
template <class T>
task<void> keep_result(task<result<T>> inner, std::optional<result<T>>& out) {
    out.emplace(co_await std::move(inner));
}
}  // namespace shoal::net

export namespace shoal::net {
/// Runs `inner` and cancels it when `when` passes first. True when it ended by itself; what it throws is handed on.
/// Either way `inner` has ended on return.
task<bool> ends_before(clock& clock, time_point when, task<void> inner);

/// The result of `inner`, or `errc::timed_out` when `when` passes first; `inner` has then been cancelled and has ended.
template <class T>
task<result<T>> with_deadline(clock& clock, time_point when, task<result<T>> inner) {
    std::optional<result<T>> out;
    if (!co_await ends_before(clock, when, keep_result(std::move(inner), out))) co_return errc::timed_out;
    co_return std::move(*out);
}

/// Runs both until one of them ends, and cancels the other; both have ended on return. What the first one throws is
/// handed on.
task<void> until_one_ends(task<void> one, task<void> other);

/// Runs `inner` to its end even when the caller is cancelled meanwhile: its waits go on. The caller then gets its
/// cancellation at its next `co_await`.
task<void> uninterrupted(task<void> inner);

/// Runs `work` on the pool and returns on the caller's executor; an exception of the work is handed on.
///
/// Cancellation does not end it: what the work refers to stays alive until the work is done.
task<void> on_pool(worker_pool& pool, std::function<void()> work);

/// How the real sockets are set up.
struct socket_settings {
    /// SO_SNDBUF and SO_RCVBUF of streams, bytes; 0 leaves it to the system, which adapts them.
    int stream_buffer = 0;
    /// SO_RCVBUF and SO_SNDBUF of datagram sockets, bytes: a burst of a thousand announces must wait somewhere.
    int datagram_buffer = 1 << 20;
    /// TCP connections that may wait to be accepted: the kernel's own cap (net.core.somaxconn).
    int backlog = 4096;
};

/// Threads of our own. Its end waits for all work that was queued.
std::unique_ptr<worker_pool> make_worker_pool(std::size_t thread_count);

/// The machine's time, sockets, randomness and threads.
class system_environment {
public:
    /// Sockets live on `executor`, which one thread runs, and which outlives this object.
    system_environment(asio::any_io_executor executor, std::size_t worker_count, socket_settings settings = {});
    /// The same with a pool that several environments share.
    system_environment(asio::any_io_executor executor, worker_pool& workers, socket_settings settings = {});
    system_environment(system_environment const&) = delete;
    system_environment& operator=(system_environment const&) = delete;
    ~system_environment();

    environment& get() noexcept;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};
}  // namespace shoal::net
