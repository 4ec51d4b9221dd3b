module;
#include <cstddef>
#include <memory>

export module shoal.net:system;
import shoal.asio;
import :seam;

export namespace shoal::net {
/// How the real sockets are set up.
struct socket_settings {
    /// SO_SNDBUF and SO_RCVBUF of streams, bytes; 0 leaves it to the system, which adapts them.
    int stream_buffer = 0;
    /// SO_RCVBUF and SO_SNDBUF of datagram sockets, bytes: a burst of a thousand announces must wait somewhere.
    int datagram_buffer = 1 << 20;
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
