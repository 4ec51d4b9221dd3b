// Sends a hub more UDP packets than a script can, and counts what comes back.
//
//   udp_flood HOST PORT KIND COUNT RATE
//
// KIND valid: announces of random info-hashes, under connection ids that the hub gave; forged: the same under ids that
// it did not give; rubbish: random bytes. COUNT of them at RATE a second, from 64 addresses. Prints one line of JSON.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

namespace {
using clock_type = std::chrono::steady_clock;
constexpr std::size_t batch = 64, sources = 64, announce_size = 98, reply_max = 2048, rubbish_max = 200;
constexpr std::uint64_t protocol_id = 0x41727101980;  // BEP 15
constexpr auto id_lasts = std::chrono::seconds{50};   // BEP 15: a client may use it for a minute

struct packet {
    std::array<unsigned char, rubbish_max> bytes;
    std::size_t size;
};

struct totals {
    std::uint64_t sent = 0, refused = 0, bytes_out = 0;                       // of the flood; `refused` by the kernel
    std::uint64_t replies = 0, bytes_in = 0;                                  // to the flood
    std::uint64_t connects = 0, connect_bytes_out = 0, connect_bytes_in = 0;  // for connection ids
};

template <class Number>
void put(packet& to, std::size_t at, Number value) {
    for (std::size_t i = 0; i < sizeof value; ++i)
        to.bytes[at + i] = static_cast<unsigned char>(value >> (8 * (sizeof value - 1 - i)));
}

[[noreturn]] void fail(char const* what) {
    std::perror(what);
    std::exit(1);
}

class flood {
public:
    flood(char const* host, unsigned port, std::string_view kind, std::uint64_t seed) : kind_(kind), random_(seed) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(static_cast<std::uint16_t>(port));
        if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail(host);
        for (std::size_t i = 0; i < sources; ++i) {
            int const each = socket(AF_INET, SOCK_DGRAM, 0);
            sockaddr_in from{};
            from.sin_family = AF_INET;
            from.sin_addr.s_addr = htonl(0x7f020001u + static_cast<std::uint32_t>(i));
            int const room = 4 << 20;
            setsockopt(each, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
            if (bind(each, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) fail("bind");
            if (connect(each, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
            sockets_.push_back(each);
        }
        ids_.resize(sources);
    }

    totals run(std::uint64_t count, double rate) {
        auto const begin = clock_type::now();
        auto renew_at = begin;
        for (std::uint64_t at = 0; at < count;) {
            if (kind_ == "valid" && clock_type::now() >= renew_at) {
                for (std::size_t i = 0; i < sources; ++i) ids_[i] = ask_for_id(i);
                renew_at = clock_type::now() + id_lasts;
            }
            auto const source = at / batch % sources;
            at += send(source);
            drain(source);
            auto const due = begin + std::chrono::duration<double>(static_cast<double>(at) / rate);
            if (auto const now = clock_type::now(); due > now) std::this_thread::sleep_until(due);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{500});
        for (std::size_t i = 0; i < sources; ++i) drain(i);
        return totals_;
    }

private:
    std::uint64_t ask_for_id(std::size_t source) {
        for (int tries = 0; tries < 50; ++tries) {
            packet ask{};
            auto const transaction = static_cast<std::uint32_t>(random_());
            put(ask, 0, protocol_id);
            put(ask, 12, transaction);
            if (::send(sockets_[source], ask.bytes.data(), 16, 0) != 16) fail("send");
            ++totals_.connects, totals_.connect_bytes_out += 16;
            timeval const patience{0, 200'000};
            setsockopt(sockets_[source], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            std::array<unsigned char, reply_max> reply;
            for (ssize_t got; (got = recv(sockets_[source], reply.data(), reply.size(), 0)) >= 0;) {
                bool const is_it = got == 16 && std::memcmp(reply.data() + 4, ask.bytes.data() + 12, 4) == 0;
                if (!is_it) {
                    ++totals_.replies, totals_.bytes_in += static_cast<std::uint64_t>(got);
                    continue;
                }
                totals_.connect_bytes_in += 16;
                std::uint64_t id = 0;
                for (std::size_t i = 0; i < 8; ++i) id = id << 8 | reply[8 + i];
                return id;
            }
        }
        std::fputs("the hub gives no connection id\n", stderr);
        std::exit(1);
    }

    void make(packet& next, std::size_t source) {
        for (std::size_t i = 0; i < next.bytes.size(); i += 8) {
            auto const drawn = random_();
            std::memcpy(next.bytes.data() + i, &drawn, 8);
        }
        next.size = announce_size;
        if (kind_ == "rubbish") {
            next.size = random_() % (rubbish_max + 1);
            return;
        }
        if (kind_ == "valid") put(next, 0, ids_[source]);
        put(next, 8, std::uint32_t{1});  // announce; the hash, the peer and its port stay random
        put(next, 80, std::uint32_t{0});
        put(next, 84, std::uint32_t{0});
        put(next, 92, std::uint32_t{50});
    }

    std::size_t send(std::size_t source) {
        std::array<packet, batch> packets;
        std::array<iovec, batch> parts{};
        std::array<mmsghdr, batch> messages{};
        for (std::size_t i = 0; i < batch; ++i) {
            make(packets[i], source);
            parts[i] = {packets[i].bytes.data(), packets[i].size};
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        int const done = sendmmsg(sockets_[source], messages.data(), batch, 0);
        if (done <= 0) {
            ++totals_.refused;
            return 0;
        }
        for (int i = 0; i < done; ++i) totals_.bytes_out += packets[static_cast<std::size_t>(i)].size;
        totals_.sent += static_cast<std::uint64_t>(done);
        return static_cast<std::size_t>(done);
    }

    void drain(std::size_t source) {
        std::array<unsigned char, reply_max> reply;
        for (ssize_t got; (got = recv(sockets_[source], reply.data(), reply.size(), MSG_DONTWAIT)) >= 0;)
            ++totals_.replies, totals_.bytes_in += static_cast<std::uint64_t>(got);
    }

    std::string_view kind_;
    std::mt19937_64 random_;
    std::vector<int> sockets_;
    std::vector<std::uint64_t> ids_;
    totals totals_;
};
}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) return 2;
    auto const begin = clock_type::now();
    auto const all = flood{argv[1], static_cast<unsigned>(std::atoi(argv[2])), argv[3], std::random_device{}()}.run(
        std::strtoull(argv[4], nullptr, 10), std::atof(argv[5]));
    std::printf(
        "{\"sent\": %llu, \"bytes_out\": %llu, \"replies\": %llu, \"bytes_in\": %llu, \"connects\": %llu, "
        "\"connect_bytes_out\": %llu, "
        "\"connect_bytes_in\": %llu, \"seconds\": %.1f}\n",
        static_cast<unsigned long long>(all.sent), static_cast<unsigned long long>(all.bytes_out),
        static_cast<unsigned long long>(all.replies), static_cast<unsigned long long>(all.bytes_in),
        static_cast<unsigned long long>(all.connects), static_cast<unsigned long long>(all.connect_bytes_out),
        static_cast<unsigned long long>(all.connect_bytes_in),
        std::chrono::duration<double>(clock_type::now() - begin).count());
}
