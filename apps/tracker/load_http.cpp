#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "load.hpp"

namespace load {
namespace {
/// The body of the reply that `text` begins with, once it is whole; bytes of head and body together.
struct whole_reply {
    std::string_view body;
    std::size_t size;
    bool is_last;  ///< The tracker closes behind it.
};
std::optional<whole_reply> whole(std::string_view text) {
    auto const end = text.find("\r\n\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    std::size_t length = 0;
    bool is_last = false;
    for (std::size_t at = text.find("\r\n"); at < end; at = text.find("\r\n", at + 2)) {
        auto const line = text.substr(at + 2, text.find("\r\n", at + 2) - at - 2);
        auto const value = line.substr(std::min(line.size(), line.find(':') + 1));
        auto const digits = value.substr(std::min(value.size(), value.find_first_not_of(' ')));
        if (equal_without_case(line.substr(0, 15), "content-length:"))
            std::from_chars(digits.data(), digits.data() + digits.size(), length);
        is_last =
            is_last || (equal_without_case(line.substr(0, 11), "connection:") && equal_without_case(digits, "close"));
    }
    auto const size = end + 4 + length;
    if (text.size() < size) return std::nullopt;
    return whole_reply{text.substr(end + 4, length), size, is_last};
}

class http_run {
public:
    http_run(endpoint const& tracker, population const& who, plan const& how)
        : tracker_(tracker),
          who_(who),
          how_(how),
          turns_(who, how),
          all_(how.window),
          polled_(::epoll_create1(EPOLL_CLOEXEC)) {
        if (polled_ < 0) fail("epoll");
    }
    ~http_run() {
        for (auto const& each : all_)
            if (each.socket >= 0) ::close(each.socket);
        ::close(polled_);
    }
    http_run(http_run const&) = delete;
    http_run& operator=(http_run const&) = delete;

    figures run() {
        std::vector<epoll_event> ready(all_.size());
        for (;;) {
            std::size_t busy = 0;
            for (auto& each : all_) {
                if (!each.is_open && turns_.has_next(now())) ask(each);
                busy += each.is_open ? 1 : 0;
                if (each.is_open && now().count() - each.sent > lost_after.count()) lose(each);
            }
            if (busy == 0 && turns_.is_over(now())) break;
            auto const count = ::epoll_wait(polled_, ready.data(), static_cast<int>(ready.size()), 1);
            for (int i = 0; i < count; ++i) hear(all_[ready[static_cast<std::size_t>(i)].data.u32]);
        }
        came_.took = now();
        return std::move(came_);
    }

private:
    struct connection {
        int socket = -1;
        bool is_open = false;  // a request is
        std::uint32_t peer = 0;
        double since = 0, sent = 0;
        std::string received;
    };

    measure::seconds now() const { return time_.elapsed(); }

    /// Blocks until the tracker has taken it, which is at once on a machine's own network.
    void connect(connection& with) {
        with.socket = connected_socket(tracker_, SOCK_STREAM);
        int const on = 1;
        ::setsockopt(with.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u32 = static_cast<std::uint32_t>(&with - all_.data());
        if (::epoll_ctl(polled_, EPOLL_CTL_ADD, with.socket, &event) != 0) fail("epoll");
    }
    void close(connection& with) {
        if (with.socket >= 0) ::close(std::exchange(with.socket, -1));
        with.received.clear();
    }

    void ask(connection& with) {
        if (with.socket < 0) connect(with);
        auto const turn = turns_.next(now());
        with.is_open = true;
        with.peer = turn.peer;
        with.since = turn.since;
        with.sent = now().count();
        auto text = "GET " + announce::announce_target(how_.path, who_.request_of(turn.peer, turns_.what())) +
                    " HTTP/1.1\r\nHost: tracker\r\n";
        text += how_.by == transport::http_close ? "Connection: close\r\n\r\n" : "\r\n";
        (void)::send(with.socket, text.data(), text.size(), MSG_NOSIGNAL);
    }

    void lose(connection& with) {
        ++came_.lost;
        with.is_open = false;
        close(with);
    }

    void hear(connection& with) {
        std::array<char, 16384> more;
        auto const got = ::recv(with.socket, more.data(), more.size(), MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            if (with.is_open) return lose(with);
            return close(with);
        }
        with.received.append(more.data(), static_cast<std::size_t>(got));
        auto const reply = whole(with.received);
        if (!reply || !with.is_open) return;
        with.is_open = false;
        judge(with, announce::parse_http_reply(as_bytes(reply->body)));
        bool const is_last = reply->is_last || how_.by == transport::http_close;
        with.received.erase(0, reply->size);
        if (is_last) close(with);
    }

    void judge(connection const& with, result<std::variant<announce::announce_reply, announce::failure>> const& reply) {
        auto const* const answer = reply ? std::get_if<announce::announce_reply>(&reply.value()) : nullptr;
        if (answer == nullptr || !(how_.is_blind || who_.is_right(with.peer, *answer))) {
            ++came_.wrong;
            return;
        }
        ++came_.answered;
        came_.named += answer->peers.size();
        came_.waited.push_back(now().count() - with.since);
    }

    endpoint tracker_;
    population const& who_;
    plan const& how_;
    turns turns_;
    std::vector<connection> all_;
    int polled_;
    measure::stopwatch time_;
    figures came_;
};
}  // namespace

figures run_http(endpoint const& tracker, population const& who, plan const& how) {
    return http_run{tracker, who, how}.run();
}
}  // namespace load
