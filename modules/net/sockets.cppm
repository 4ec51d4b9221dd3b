module;
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

module shoal.net:sockets;
import shoal.asio;
import shoal.core;
import :seam;

// The parts that `system_environment` is put together from. Arguments as in `network`.
namespace shoal::net {
boost::asio::ip::tcp::endpoint to_tcp(endpoint const& from);
endpoint from_tcp(boost::asio::ip::tcp::endpoint const& from);

task<result<std::unique_ptr<stream>>> connect_tcp(asio::any_io_executor executor, endpoint to,
                                                  std::optional<ip_address> from, socket_settings settings);
result<std::unique_ptr<listener>> listen_tcp(asio::any_io_executor const& executor, clock& clock, endpoint const& at,
                                             socket_settings const& settings);
result<std::unique_ptr<datagram_socket>> open_udp(asio::any_io_executor const& executor, endpoint const& at,
                                                  socket_settings const& settings);
result<std::vector<std::unique_ptr<datagram_socket>>> open_udp_threads(asio::any_io_executor const& executor,
                                                                       endpoint const& at, std::size_t threads,
                                                                       socket_settings const& settings);
result<std::unique_ptr<datagram_socket>> join_multicast(asio::any_io_executor const& executor, endpoint const& group,
                                                        std::optional<ip_address> const& from);

/// Writes `to` as the system wants it; the length of what was written.
socklen_t to_storage(endpoint const& to, sockaddr_storage& out) noexcept;
endpoint from_storage(sockaddr_storage const& from) noexcept;
/// A socket that has the address for itself, or shares it with those of this user that are all shared.
result<boost::asio::ip::udp::socket> bind_udp(asio::any_io_executor const& executor, endpoint const& at,
                                              socket_settings const& settings, bool is_shared = false);
/// Lets others that are shared have the address too.
result<void> share(boost::asio::ip::udp::socket& socket);
/// The datagrams of a socket that is open and bound.
std::unique_ptr<datagram_socket> datagrams_of(boost::asio::ip::udp::socket socket);

/// Datagrams that one system call takes: enough to make the call's cost small, and 256 KiB of buffer.
inline constexpr std::size_t batch_max = 64;

/// What the system is shown of a batch.
class batch_call {
public:
    /// What is there, without waiting, into `bytes`, which has room for `batch_max` of the longest; -1 with `errno` for
    /// an error. Those too long are dropped: `kept` says how many are in `out`.
    int receive(int socket, byte_vector& bytes, std::span<datagram> out, std::size_t& kept);
    /// As `datagram_socket::send`.
    result<std::size_t> send(int socket, std::span<datagram const> out);

private:
    void show(std::size_t place, void* bytes, std::size_t length, socklen_t address_length);

    std::array<iovec, batch_max> vectors_{};
    std::array<mmsghdr, batch_max> messages_{};
    std::array<sockaddr_storage, batch_max> addresses_{};
};

/// Asks the system's resolver on threads of its own, which can be left behind: `getaddrinfo` may take half a minute
/// when no server answers, and neither a cancelled task nor the end of the program waits for it. Source: J6.
class resolver {
public:
    resolver();
    ~resolver();
    task<result<std::vector<ip_address>>> resolve(std::string host);

private:
    struct queue;
    struct question;
    std::shared_ptr<queue> queue_;
};
}  // namespace shoal::net
