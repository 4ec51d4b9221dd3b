module;
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

module shoal.net;
import shoal.asio;
import shoal.core;
import :sockets;

namespace shoal::net {
namespace {
using asio::ip::udp;

std::error_code last_error() noexcept {
    return {errno, std::system_category()};
}

template <class T>
bool set_option(int handle, int level, int name, T const& value) noexcept {
    return ::setsockopt(handle, level, name, &value, sizeof value) == 0;
}

/// One interface, by its number, with an address of the group's family.
struct interface {
    unsigned index = 0;
    ip_address address;  ///< Its first one, or the one to send from.
};

/// The interfaces that are up, have an address of the family, and either say that they can multicast or are the
/// loopback: that one does not say so on Linux and can, for IPv4. With `from`, only the one that has this address.
std::vector<interface> interfaces_of(bool is_v4, std::optional<ip_address> const& from) {
    ifaddrs* list = nullptr;
    std::vector<interface> found;
    if (::getifaddrs(&list) != 0) return found;
    std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> const owner{list, &::freeifaddrs};
    for (auto const* each = list; each != nullptr; each = each->ifa_next) {
        if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != (is_v4 ? AF_INET : AF_INET6)) continue;
        if ((each->ifa_flags & IFF_UP) == 0 || (each->ifa_flags & (IFF_MULTICAST | IFF_LOOPBACK)) == 0) continue;
        sockaddr_storage storage{};
        std::memcpy(&storage, each->ifa_addr, is_v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
        auto const address = from_storage(storage).address;
        if (from && address != *from) continue;
        auto const index = ::if_nametoindex(each->ifa_name);
        if (index == 0 || std::ranges::find(found, index, &interface::index) != found.end()) continue;
        found.push_back({index, address});
    }
    return found;
}

/// Whether datagrams to `group` can leave by the interface: asks for the route, and sends nothing.
std::error_code route_by(unsigned index, endpoint const& group) {
    auto const is_v4 = group.address.is_v4();
    auto const probe = ::socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (probe < 0) return last_error();
    sockaddr_storage to{};
    auto const length = to_storage(group, to);
    ip_mreqn by{};
    by.imr_ifindex = static_cast<int>(index);
    bool const is_good = (is_v4 ? set_option(probe, IPPROTO_IP, IP_MULTICAST_IF, by)
                                : set_option(probe, IPPROTO_IPV6, IPV6_MULTICAST_IF, static_cast<int>(index))) &&
                         ::connect(probe, reinterpret_cast<sockaddr const*>(&to), length) == 0;
    auto const why = is_good ? std::error_code{} : last_error();
    ::close(probe);
    return why;
}

class multicast_socket final : public datagram_socket {
public:
    multicast_socket(udp::socket socket, endpoint const& group, std::optional<ip_address> const& from)
        : handle_(socket.native_handle()), inner_(datagrams_of(std::move(socket))), group_(group), from_(from) {}

    /// Joins the interfaces that are up and not joined yet. Why none is joined, or nothing.
    std::error_code join() {
        interfaces_ = interfaces_of(group_.address.is_v4(), from_);
        std::error_code why = std::make_error_code(std::errc::network_unreachable);
        for (auto const& each : interfaces_) {
            if (joined_.contains(each.index)) continue;
            auto const refused = join(each.index);
            if (refused)
                why = refused;
            else
                joined_.insert(each.index);
        }
        // One that went away has taken its membership along, and its number does not come back soon.
        std::erase_if(interfaces_, [this](auto const& each) { return !joined_.contains(each.index); });
        std::erase_if(joined_, [this](auto index) {
            return std::ranges::find(interfaces_, index, &interface::index) == interfaces_.end();
        });
        return interfaces_.empty() ? why : std::error_code{};
    }

    task<result<std::size_t>> receive(std::span<datagram> out) override { return inner_->receive(out); }

    result<std::size_t> send(std::span<datagram const> out) override {
        if (is_closed_) return errc::closed;
        join();  // a laptop changes its networks; this costs some 50 us, and announces are minutes apart
        for (std::size_t taken = 0; taken < out.size(); ++taken) {
            std::size_t refused = 0;
            for (auto const& by : interfaces_) refused += send(out[taken], by) ? 0 : 1;
            if (refused > 0 && refused == interfaces_.size()) return taken;
        }
        return out.size();
    }

    endpoint local() const override { return inner_->local(); }
    void close() override {
        is_closed_ = true;
        inner_->close();
    }

private:
    std::error_code join(unsigned index) const {
        if (auto const why = route_by(index, group_)) return why;
        auto const bytes = group_.address.bytes();
        bool is_joined = false;
        if (group_.address.is_v4()) {
            ip_mreqn request{};
            std::memcpy(&request.imr_multiaddr, bytes.data(), bytes.size());
            request.imr_ifindex = static_cast<int>(index);
            is_joined = set_option(handle_, IPPROTO_IP, IP_ADD_MEMBERSHIP, request);
        } else {
            ipv6_mreq request{};
            std::memcpy(&request.ipv6mr_multiaddr, bytes.data(), bytes.size());
            request.ipv6mr_interface = index;
            is_joined = set_option(handle_, IPPROTO_IPV6, IPV6_JOIN_GROUP, request);
        }
        // An interface that went down and came back is still joined.
        return is_joined || errno == EADDRINUSE ? std::error_code{} : last_error();
    }

    /// False when the system's buffer is full. What is refused for another reason is lost.
    bool send(datagram const& what, interface const& by) const {
        sockaddr_storage to{};
        iovec bytes{const_cast<std::byte*>(what.bytes.data()), what.bytes.size()};
        msghdr message{};
        message.msg_name = &to;
        message.msg_namelen = to_storage(what.peer, to);
        message.msg_iov = &bytes;
        message.msg_iovlen = 1;
        // The interface goes with each datagram, so that one socket does for all of them.
        if (what.peer.address.is_v4()) {
            in_pktinfo way{};
            way.ipi_ifindex = static_cast<int>(by.index);
            // Left to itself the system would name another interface's on the loopback.
            std::memcpy(&way.ipi_spec_dst, by.address.bytes().data(), sizeof way.ipi_spec_dst);
            return transmit(message, IPPROTO_IP, IP_PKTINFO, way);
        }
        in6_pktinfo way{};
        way.ipi6_ifindex = by.index;
        if (from_) std::memcpy(&way.ipi6_addr, from_->bytes().data(), sizeof way.ipi6_addr);
        return transmit(message, IPPROTO_IPV6, IPV6_PKTINFO, way);
    }

    template <class Way>
    bool transmit(msghdr& message, int level, int type, Way const& way) const {
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(Way))> control{};
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        auto* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = level;
        header->cmsg_type = type;
        header->cmsg_len = CMSG_LEN(sizeof way);
        std::memcpy(CMSG_DATA(header), &way, sizeof way);
        ssize_t sent = 0;
        do sent = ::sendmsg(handle_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS);
    }

    int handle_;
    std::unique_ptr<datagram_socket> inner_;
    endpoint group_;
    std::optional<ip_address> from_;
    bool is_closed_ = false;
    std::vector<interface> interfaces_;  // joined, as they were at the last `join`
    std::set<unsigned> joined_;
};
}  // namespace

result<std::unique_ptr<datagram_socket>> join_multicast(asio::any_io_executor const& executor, endpoint const& group,
                                                        std::optional<ip_address> const& from) {
    if (!group.address.is_multicast() || (from && from->is_v4() != group.address.is_v4()))
        return std::make_error_code(std::errc::invalid_argument);
    auto const where = to_tcp(group);
    // Bound to the group and not to any address: what is sent to this machine alone does not arrive here.
    udp::endpoint const bound{where.address(), where.port()};
    udp::socket socket{executor};
    boost::system::error_code ec;
    socket.open(bound.protocol(), ec);
    if (ec) return translate(ec);
    auto const handle = socket.native_handle();
    // Other programs of the machine hear the group too. All of them get each datagram of a multicast; which of the two
    // options they have set is not known, and each one is enough only for those who have set the same.
    bool is_set = set_option(handle, SOL_SOCKET, SO_REUSEADDR, 1) && set_option(handle, SOL_SOCKET, SO_REUSEPORT, 1);
    if (group.address.is_v4())
        is_set = is_set && set_option(handle, IPPROTO_IP, IP_MULTICAST_TTL, 1) &&
                 set_option(handle, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
    else
        is_set = is_set && set_option(handle, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
                 set_option(handle, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1) &&
                 set_option(handle, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
    if (!is_set) return last_error();
    socket.bind(bound, ec);
    if (ec) return translate(ec);
    auto made = std::make_unique<multicast_socket>(std::move(socket), group, from);
    if (auto const why = made->join()) return why;
    return made;
}
}  // namespace shoal::net
