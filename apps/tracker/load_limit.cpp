#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "load.hpp"

namespace load {
namespace {
constexpr std::size_t batch = 64;

class blind {
public:
    explicit blind(std::uint32_t peers) {
        announce::announce_reply reply;
        reply.seeders = 1;
        reply.leechers = peers;
        for (std::uint32_t i = 0; i < peers; ++i)
            reply.peers.push_back({ip_address::v4({127, 0, 0, 1}), static_cast<std::uint16_t>(1 + i)});
        auto const body = announce::encode_http_reply(reply, {});
        http_ = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
        byte_vector udp;
        announce::encode_udp_announced(udp, 0, reply, announce::udp_family::v4, 4096);
        udp_size_ = udp.size();
        for (auto& each : out_) std::memcpy(each.data(), udp.data(), udp.size());
    }

    void answer_datagrams(int socket) {
        std::array<mmsghdr, batch> messages{};
        std::array<iovec, batch> parts;
        std::array<sockaddr_storage, batch> from;
        for (std::size_t i = 0; i < batch; ++i) {
            parts[i] = {in_[i].data(), in_[i].size()};
            messages[i].msg_hdr = {&from[i], sizeof from[i], &parts[i], 1, nullptr, 0, 0};
        }
        auto const count = ::recvmmsg(socket, messages.data(), batch, MSG_DONTWAIT, nullptr);
        for (int i = 0; i < count; ++i) {
            auto const at = static_cast<std::size_t>(i);
            std::memcpy(out_[at].data(), in_[at].data() + 8, 8);  // action and transaction
            bool const is_connect = in_[at][11] == 0;
            parts[at] = {out_[at].data(), is_connect ? announce::udp_connect_size : udp_size_};
        }
        if (count > 0) (void)::sendmmsg(socket, messages.data(), static_cast<unsigned>(count), 0);
    }

    void answer_stream(int socket) {
        std::array<char, 4096> request;
        auto const got = ::recv(socket, request.data(), request.size(), MSG_DONTWAIT);
        bool is_last = got <= 0;
        if (!is_last) {
            (void)::send(socket, http_.data(), http_.size(), MSG_NOSIGNAL);
            is_last = std::string_view{request.data(), static_cast<std::size_t>(got)}.find("Connection: close") !=
                      std::string_view::npos;
        }
        if (is_last) ::close(socket);
    }

private:
    std::string http_;
    std::size_t udp_size_ = 0;
    std::array<std::array<std::uint8_t, 4096>, batch> in_{}, out_{};
};
}  // namespace

int serve_blindly(int udp, int tcp, std::uint32_t peers) {
    auto const polled = ::epoll_create1(EPOLL_CLOEXEC);
    auto const watch = [polled](int socket) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = socket;
        ::epoll_ctl(polled, EPOLL_CTL_ADD, socket, &event);
    };
    watch(udp);
    watch(tcp);
    blind answers{peers};
    for (;;) {
        std::array<epoll_event, batch> ready;
        auto const count = ::epoll_wait(polled, ready.data(), ready.size(), -1);
        for (int i = 0; i < count; ++i) {
            auto const socket = ready[static_cast<std::size_t>(i)].data.fd;
            if (socket == udp) {
                answers.answer_datagrams(udp);
            } else if (socket == tcp) {
                auto const connected = ::accept4(tcp, nullptr, nullptr, SOCK_CLOEXEC);
                int const on = 1;
                ::setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                if (connected >= 0) watch(connected);
            } else {
                answers.answer_stream(socket);
            }
        }
    }
}
}  // namespace load
