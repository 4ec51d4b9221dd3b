module;
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

module shoal.net;
import shoal.asio;
import shoal.core;
import :sockets;
import :waiting;

namespace shoal::net {
namespace {
using asio::ip::tcp;

/// Calls in a row that may be answered without waiting; then others get their turn, and a cancellation is noticed.
constexpr int quick_max = 8;
/// Pause of a listener that found no descriptor free. Source: failure class L10.
constexpr auto accept_pause = std::chrono::milliseconds{200};

std::error_code last_error() noexcept {
    return {errno, std::system_category()};
}
bool would_block(int error) noexcept {
    return error == EAGAIN || error == EWOULDBLOCK;
}

/// One `recvmsg` or `sendmsg` over `runs`; the system takes at most `buffers_max` of them.
template <class View, class Call>
ssize_t call_with(std::span<View const> runs, Call call) noexcept {
    std::array<iovec, buffers_max> vectors;  // filled below; zeroing it would cost as much as the rest
    auto const count = std::min(runs.size(), buffers_max);
    for (std::size_t i = 0; i < count; ++i)
        vectors[i] = {const_cast<std::byte*>(static_cast<std::byte const*>(runs[i].data())), runs[i].size()};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    for (;;) {
        auto const done = call(message);
        if (done >= 0 || errno != EINTR) return done;
    }
}

void set_options(tcp::socket& socket, socket_settings const& settings) {
    boost::system::error_code ignored;  // a socket without them works too
    socket.set_option(tcp::no_delay{true}, ignored);
    if (settings.stream_buffer == 0) return;
    socket.set_option(asio::socket_base::send_buffer_size{settings.stream_buffer}, ignored);
    socket.set_option(asio::socket_base::receive_buffer_size{settings.stream_buffer}, ignored);
}

class tcp_stream final : public stream {
public:
    tcp_stream(tcp::socket socket, endpoint const& remote) : socket_(std::move(socket)), remote_(remote) {}
    ~tcp_stream() override { close(); }

    task<result<std::size_t>> read_some(std::span<mutable_byte_view const> places) override {
        if (++quick_reads_ > quick_max) co_await yield(quick_reads_);
        for (;;) {
            if (!socket_.is_open()) co_return errc::closed;
            if (!is_drained_ || places.size() != 1) {
                auto const count =
                    call_with(places, [&](msghdr& m) { return ::recvmsg(socket_.native_handle(), &m, MSG_DONTWAIT); });
                if (count > 0) co_return taken(places, static_cast<std::size_t>(count));
                if (count == 0) co_return errc::closed;
                if (!would_block(errno)) co_return last_error();
            }
            quick_reads_ = 0;
            if (places.size() != 1) {
                if (auto const ec = co_await ready(tcp::socket::wait_read)) co_return ec;
                continue;
            }
            is_drained_ = false;  // after an end Asio would wait for another
            handler_place place;
            auto const [ec, count] = co_await surely(place, [&](auto handler) {
                socket_.async_receive(asio::buffer(places[0].data(), places[0].size()), std::move(handler));
            });
            if (!socket_.is_open() || ec == asio::error::eof) co_return errc::closed;
            if (ec) co_return translate(ec);
            co_return taken(places, count);
        }
    }

    task<result<std::size_t>> write_some(std::span<byte_view const> runs) override {
        if (++quick_writes_ > quick_max) co_await yield(quick_writes_);
        for (;;) {
            if (!socket_.is_open()) co_return errc::closed;
            auto const count = call_with(
                runs, [&](msghdr& m) { return ::sendmsg(socket_.native_handle(), &m, MSG_DONTWAIT | MSG_NOSIGNAL); });
            if (count >= 0) co_return static_cast<std::size_t>(count);
            if (!would_block(errno)) co_return last_error();
            quick_writes_ = 0;
            if (auto const ec = co_await ready(tcp::socket::wait_write)) co_return ec;
        }
    }

    void close() override {
        boost::system::error_code ignored;
        socket_.shutdown(tcp::socket::shutdown_both, ignored);
        socket_.close(ignored);
    }
    endpoint local() const override {
        boost::system::error_code ignored;
        return from_tcp(socket_.local_endpoint(ignored));
    }
    endpoint remote() const override { return remote_; }

private:
    /// Who asks one after the other, as clients of a tracker do, has seldom sent more already: then the next read lets
    /// Asio take what comes, which spares a call of the system.
    std::size_t taken(std::span<mutable_byte_view const> places, std::size_t count) noexcept {
        is_drained_ = count < places[0].size();
        return count;
    }
    static task<void> yield(int& count) {
        count = 0;
        co_await asio::post(asio::use_awaitable);
    }
    task<std::error_code> ready(tcp::socket::wait_type what) {
        handler_place place;
        auto const [ec, none] =
            co_await surely(place, [&](auto handler) { socket_.async_wait(what, std::move(handler)); });
        co_return ec && !socket_.is_open() ? make_error_code(errc::closed) : translate(ec);
    }

    tcp::socket socket_;
    endpoint remote_;
    int quick_reads_ = 0;
    bool is_drained_ = false;  // the last read took all there was
    int quick_writes_ = 0;
};

class tcp_listener final : public listener {
public:
    tcp_listener(tcp::acceptor acceptor, clock& clock, socket_settings const& settings)
        : acceptor_(std::move(acceptor)), clock_(clock), settings_(settings) {}

    task<result<std::unique_ptr<stream>>> accept() override {
        if (++quick_ > quick_max) {
            quick_ = 0;
            co_await asio::post(asio::use_awaitable);
        }
        for (;;) {
            if (!acceptor_.is_open()) co_return errc::closed;
            tcp::endpoint from;
            auto size = static_cast<socklen_t>(from.capacity());
            int const fd = ::accept4(acceptor_.native_handle(), from.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                from.resize(size);
                tcp::socket socket{acceptor_.get_executor()};
                boost::system::error_code ec;
                socket.assign(from.protocol(), fd, ec);
                if (ec) {
                    ::close(fd);
                    co_return translate(ec);
                }
                set_options(socket, settings_);
                co_return std::make_unique<tcp_stream>(std::move(socket), from_tcp(from));
            }
            if (auto const ec = co_await wait_after(errno)) co_return ec;
        }
    }

    endpoint local() const override {
        boost::system::error_code ignored;
        return from_tcp(acceptor_.local_endpoint(ignored));
    }
    void close() override {
        boost::system::error_code ignored;
        acceptor_.close(ignored);
    }

private:
    /// Waits for what can end the failure `error` of accept; an error when nothing will.
    task<std::error_code> wait_after(int error) {
        quick_ = 0;
        switch (error) {
            case EAGAIN: {
                handler_place place;
                auto const [ec, none] = co_await surely(
                    place, [&](auto handler) { acceptor_.async_wait(tcp::acceptor::wait_read, std::move(handler)); });
                if (ec == no_memory()) break;
                co_return ec && !acceptor_.is_open() ? make_error_code(errc::closed) : translate(ec);
            }
            case EMFILE:
            case ENFILE:
            case ENOBUFS:
            case ENOMEM:
                break;
            case EBADF:
            case EINVAL:
            case ENOTSOCK:
            case EOPNOTSUPP:
                co_return std::error_code(error, std::system_category());
            default:  // what accept(2) lists besides belongs to the one connection that failed
                co_await asio::post(asio::use_awaitable);
                co_return std::error_code{};
        }
        co_await clock_.sleep(accept_pause);
        co_return std::error_code{};
    }

    tcp::acceptor acceptor_;
    clock& clock_;
    socket_settings settings_;
    int quick_ = 0;
};
}  // namespace

tcp::endpoint to_tcp(endpoint const& from) {
    auto const bytes = from.address.bytes();
    if (from.address.is_v4()) return {asio::ip::address_v4{load_be<std::uint32_t>(bytes)}, from.port};
    asio::ip::address_v6::bytes_type octets;
    std::transform(bytes.begin(), bytes.end(), octets.begin(),
                   [](std::byte b) { return std::to_integer<unsigned char>(b); });
    return {asio::ip::address_v6{octets}, from.port};
}

endpoint from_tcp(tcp::endpoint const& from) {
    auto const address = from.address();
    if (address.is_v4()) return {ip_address::v4(address.to_v4().to_bytes()), from.port()};
    return {ip_address::v6(address.to_v6().to_bytes()), from.port()};
}

task<result<std::unique_ptr<stream>>> connect_tcp(asio::any_io_executor executor, endpoint to,
                                                  std::optional<ip_address> from, socket_settings settings) {
    tcp::socket socket{std::move(executor)};
    auto const target = to_tcp(to);
    boost::system::error_code ec;
    socket.open(target.protocol(), ec);
    if (ec) co_return translate(ec);
    set_options(socket, settings);
    if (from) {
        socket.bind(to_tcp({*from, 0}), ec);
        if (ec) co_return translate(ec);
    }
    auto const [failed] = co_await socket.async_connect(target, asio::as_tuple(asio::use_awaitable));
    if (failed) co_return translate(failed);
    co_return std::make_unique<tcp_stream>(std::move(socket), to);
}

result<std::unique_ptr<listener>> listen_tcp(asio::any_io_executor const& executor, clock& clock, endpoint const& at,
                                             socket_settings const& settings) {
    tcp::acceptor acceptor{executor};
    auto const where = to_tcp(at);
    boost::system::error_code ec;
    acceptor.open(where.protocol(), ec);
    if (!ec) acceptor.set_option(asio::socket_base::reuse_address{true}, ec);
    if (!ec && !at.address.is_v4()) acceptor.set_option(asio::ip::v6_only{true}, ec);
    if (!ec) acceptor.bind(where, ec);
    if (!ec) acceptor.listen(settings.backlog, ec);
    if (!ec) acceptor.native_non_blocking(true, ec);
    if (ec) return translate(ec);
    return std::make_unique<tcp_listener>(std::move(acceptor), clock, settings);
}
}  // namespace shoal::net
