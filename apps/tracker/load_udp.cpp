#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <variant>
#include <vector>

#include "load.hpp"

namespace load {
namespace {
constexpr std::size_t batch = 64;
constexpr measure::seconds new_id_after{50};  // a tracker honours an id for two minutes, a client uses it for one

class udp_run {
public:
    udp_run(endpoint const& tracker, population const& who, plan const& how)
        : who_(who),
          how_(how),
          family_(tracker.address.is_v4() ? announce::udp_family::v4 : announce::udp_family::v6),
          open_(how.window),
          turns_(who, how) {
        for (std::uint32_t i = how.window; i > 0; --i) free_.push_back(i - 1);
        socket_ = connected_socket(tracker, SOCK_DGRAM);
        int const room = 4 << 20;
        ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        for (std::size_t i = 0; i < batch; ++i) places_[i].resize(4096);
    }
    ~udp_run() { ::close(socket_); }
    udp_run(udp_run const&) = delete;
    udp_run& operator=(udp_run const&) = delete;

    figures run() {
        while (!turns_.is_over(now()) || free_.size() < open_.size()) {
            if (id_given_at_ + new_id_after < now() || !id_) connect();
            send();
            if (wait()) receive();
            give_up();
        }
        came_.took = now();
        return std::move(came_);
    }

private:
    struct request {
        bool is_open = false;
        std::uint32_t peer = 0;
        std::uint32_t round = 0;  // with its place, the transaction
        double since = 0, sent = 0;
    };

    measure::seconds now() const { return time_.elapsed(); }
    bool wait(int milliseconds = 1) const {
        pollfd waited{socket_, POLLIN, 0};
        return ::poll(&waited, 1, milliseconds) > 0;
    }

    void connect() {
        byte_vector packet;
        announce::encode(packet, announce::udp_connect{1});
        for (int i = 0; i < 10; ++i) {
            if (::send(socket_, packet.data(), packet.size(), 0) < 0) fail("the tracker cannot be reached");
            while (wait(500)) {
                auto const got = ::recv(socket_, places_[0].data(), places_[0].size(), 0);
                if (got < 0) fail("the tracker cannot be reached");
                auto const reply =
                    announce::parse_udp_reply(byte_view{places_[0]}.first(static_cast<std::size_t>(got)), family_);
                if (!reply) continue;
                if (auto const* const connected = std::get_if<announce::udp_connected>(&reply.value())) {
                    id_ = connected->connection;
                    id_given_at_ = now();
                    return;
                }
                hear(reply.value());  // of requests that are still open
            }
        }
        throw std::system_error(std::make_error_code(std::errc::timed_out), "the tracker does not answer");
    }

    void send() {
        std::array<mmsghdr, batch> messages{};
        std::array<iovec, batch> parts;
        std::size_t count = 0;
        for (; count < batch && !free_.empty() && turns_.has_next(now()); ++count) {
            auto const place = free_.back();
            free_.pop_back();
            auto& each = open_[place];
            auto const turn = turns_.next(now());
            each = {true, turn.peer, each.round + 1, turn.since, now().count()};
            auto& packet = packets_[count];
            packet.clear();
            announce::encode(packet, announce::udp_announce{*id_, each.round * how_.window + place,
                                                            who_.request_of(turn.peer, turns_.what()),
                                                            how_.path == "/announce" ? std::string{} : how_.path});
            parts[count] = {packet.data(), packet.size()};
            messages[count].msg_hdr.msg_iov = &parts[count];
            messages[count].msg_hdr.msg_iovlen = 1;
        }
        // What the system does not take is lost on the way, as by any network.
        if (count > 0) (void)::sendmmsg(socket_, messages.data(), static_cast<unsigned>(count), 0);
    }

    void receive() {
        std::array<mmsghdr, batch> messages{};
        std::array<iovec, batch> parts;
        for (std::size_t i = 0; i < batch; ++i) {
            parts[i] = {places_[i].data(), places_[i].size()};
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        auto const count = ::recvmmsg(socket_, messages.data(), batch, MSG_DONTWAIT, nullptr);
        if (count < 0 && errno != EAGAIN && errno != EINTR) fail("the tracker cannot be reached");
        for (int i = 0; i < count; ++i) {
            auto const at = static_cast<std::size_t>(i);
            auto const reply = announce::parse_udp_reply(byte_view{places_[at]}.first(messages[at].msg_len), family_);
            if (reply)
                hear(reply.value());
            else
                ++came_.wrong;
        }
    }

    void hear(announce::udp_reply const& reply) {
        auto const* const announced = std::get_if<announce::udp_announced>(&reply);
        auto const* const refused = std::get_if<announce::udp_error>(&reply);
        if (announced == nullptr && refused == nullptr) return;
        auto const transaction = announced != nullptr ? announced->transaction : refused->transaction;
        auto& each = open_[transaction % how_.window];
        if (!each.is_open || each.round * how_.window + transaction % how_.window != transaction) return;
        each.is_open = false;
        free_.push_back(transaction % how_.window);
        if (announced == nullptr || !(how_.is_blind || who_.is_right(each.peer, announced->reply))) {
            ++came_.wrong;
            return;
        }
        ++came_.answered;
        came_.named += announced->reply.peers.size();
        came_.waited.push_back(now().count() - each.since);
    }

    void give_up() {
        if (now() < looked_at_ + lost_after / 4) return;
        looked_at_ = now();
        for (std::uint32_t place = 0; place < open_.size(); ++place) {
            auto& each = open_[place];
            if (!each.is_open || now().count() - each.sent < lost_after.count()) continue;
            each.is_open = false;
            free_.push_back(place);
            ++came_.lost;
        }
    }

    population const& who_;
    plan const& how_;
    announce::udp_family family_;
    int socket_ = -1;
    std::vector<request> open_;
    std::vector<std::uint32_t> free_;  // places of open_
    turns turns_;
    std::optional<std::uint64_t> id_;
    measure::seconds id_given_at_{}, looked_at_{};
    std::array<byte_vector, batch> packets_, places_;
    measure::stopwatch time_;
    figures came_;
};
}  // namespace

figures run_udp(endpoint const& tracker, population const& who, plan const& how) {
    return udp_run{tracker, who, how}.run();
}
}  // namespace load
