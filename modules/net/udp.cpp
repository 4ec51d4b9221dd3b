module;
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.net;
import shoal.asio;
import shoal.core;
import :sockets;
import :waiting;

namespace shoal::net {
using asio::ip::udp;

endpoint from_storage(sockaddr_storage const& from) noexcept {
    if (from.ss_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &from, sizeof v4);
        return {*ip_address::from(std::as_bytes(std::span{&v4.sin_addr, 1})), ntohs(v4.sin_port)};
    }
    sockaddr_in6 v6;
    std::memcpy(&v6, &from, sizeof v6);
    return {*ip_address::from(std::as_bytes(std::span{&v6.sin6_addr, 1})), ntohs(v6.sin6_port)};
}

socklen_t to_storage(endpoint const& to, sockaddr_storage& out) noexcept {
    auto const bytes = to.address.bytes();
    if (to.address.is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(to.port);
        std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
        std::memcpy(&out, &v4, sizeof v4);
        return sizeof v4;
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(to.port);
    std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&out, &v6, sizeof v6);
    return sizeof v6;
}

void batch_call::show(std::size_t place, void* bytes, std::size_t length, socklen_t address_length) {
    vectors_[place] = {bytes, length};
    messages_[place] = {};
    messages_[place].msg_hdr.msg_name = &addresses_[place];
    messages_[place].msg_hdr.msg_namelen = address_length;
    messages_[place].msg_hdr.msg_iov = &vectors_[place];
    messages_[place].msg_hdr.msg_iovlen = 1;
}

int batch_call::receive(int socket, byte_vector& bytes, std::span<datagram> out, std::size_t& kept) {
    auto const room = std::min(out.size(), batch_max);
    for (std::size_t i = 0; i < room; ++i)
        show(i, bytes.data() + i * datagram_bytes_max, datagram_bytes_max, sizeof addresses_[i]);
    auto const got = ::recvmmsg(socket, messages_.data(), static_cast<unsigned>(room), MSG_DONTWAIT, nullptr);
    kept = 0;
    for (int i = 0; i < got; ++i) {
        auto const& message = messages_[static_cast<std::size_t>(i)];
        if ((message.msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
        byte_view const all{bytes};
        out[kept++] = {from_storage(addresses_[static_cast<std::size_t>(i)]),
                       all.subspan(static_cast<std::size_t>(i) * datagram_bytes_max, message.msg_len)};
    }
    return got;
}

result<std::size_t> batch_call::send(int socket, std::span<datagram const> out) {
    std::size_t taken = 0;
    while (taken < out.size()) {
        auto const part = out.subspan(taken, std::min(out.size() - taken, batch_max));
        for (std::size_t i = 0; i < part.size(); ++i)
            show(i, const_cast<std::byte*>(part[i].bytes.data()), part[i].bytes.size(),
                 to_storage(part[i].peer, addresses_[i]));
        auto const sent =
            ::sendmmsg(socket, messages_.data(), static_cast<unsigned>(part.size()), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            taken += static_cast<std::size_t>(sent);
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            break;
        } else if (errno == EBADF || errno == ENOTSOCK) {
            return std::error_code(errno, std::system_category());
        } else if (errno != EINTR) {
            ++taken;  // the first of the rest is refused; it must not hold up the others
        }
    }
    return taken;
}

namespace {
class udp_socket final : public datagram_socket {
public:
    explicit udp_socket(udp::socket socket) : socket_(std::move(socket)), bytes_(batch_max * datagram_bytes_max) {}
    ~udp_socket() override { close(); }

    task<result<std::size_t>> receive(std::span<datagram> out) override {
        for (;;) {
            if (!socket_.is_open()) co_return errc::closed;
            handler_place place;
            auto const [ec, none] = co_await surely(
                place, [&](auto handler) { socket_.async_wait(udp::socket::wait_read, std::move(handler)); });
            if (ec) co_return socket_.is_open() ? translate(ec) : make_error_code(errc::closed);
            std::size_t kept = 0;  // errors of single datagrams (ICMP) are of no interest
            if (calls_.receive(socket_.native_handle(), bytes_, out, kept) > 0 && kept > 0) co_return kept;
        }
    }

    result<std::size_t> send(std::span<datagram const> out) override {
        if (!socket_.is_open()) return errc::closed;
        return calls_.send(socket_.native_handle(), out);
    }

    endpoint local() const override {
        boost::system::error_code ignored;
        auto const at = socket_.local_endpoint(ignored);
        return from_tcp({at.address(), at.port()});
    }
    void close() override {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }

private:
    udp::socket socket_;
    byte_vector bytes_;
    batch_call calls_;
};
}  // namespace

std::unique_ptr<datagram_socket> datagrams_of(udp::socket socket) {
    return std::make_unique<udp_socket>(std::move(socket));
}

result<udp::socket> bind_udp(asio::any_io_executor const& executor, endpoint const& at, socket_settings const& settings,
                             bool is_shared) {
    auto const where = to_tcp(at);
    udp::endpoint const bound{where.address(), where.port()};
    udp::socket socket{executor};
    boost::system::error_code ec, ignored;
    socket.open(bound.protocol(), ec);
    if (!ec && !at.address.is_v4()) socket.set_option(asio::ip::v6_only{true}, ec);
    if (!ec && is_shared) {
        SHOAL_TRY(share(socket));
    }
    if (!ec) socket.bind(bound, ec);
    if (ec) return translate(ec);
    if (settings.datagram_buffer != 0) {
        socket.set_option(asio::socket_base::send_buffer_size{settings.datagram_buffer}, ignored);
        socket.set_option(asio::socket_base::receive_buffer_size{settings.datagram_buffer}, ignored);
    }
    return socket;
}

result<void> share(udp::socket& socket) {
    int const yes = 1;
    if (::setsockopt(socket.native_handle(), SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0) return success();
    return std::error_code(errno, std::system_category());
}

result<std::unique_ptr<datagram_socket>> open_udp(asio::any_io_executor const& executor, endpoint const& at,
                                                  socket_settings const& settings) {
    SHOAL_TRY(auto socket, bind_udp(executor, at, settings));
    return datagrams_of(std::move(socket));
}
}  // namespace shoal::net
