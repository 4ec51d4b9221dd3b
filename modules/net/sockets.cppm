module;
#include <sys/socket.h>

#include <coroutine>
#include <memory>
#include <optional>
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
result<std::unique_ptr<datagram_socket>> join_multicast(asio::any_io_executor const& executor, endpoint const& group,
                                                        std::optional<ip_address> const& from);

/// Writes `to` as the system wants it; the length of what was written.
socklen_t to_storage(endpoint const& to, sockaddr_storage& out) noexcept;
endpoint from_storage(sockaddr_storage const& from) noexcept;
/// The datagrams of a socket that is open and bound.
std::unique_ptr<datagram_socket> datagrams_of(boost::asio::ip::udp::socket socket);

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
