#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

import shoal.core;
import shoal.announce;

using namespace shoal;
using namespace shoal::announce;
using namespace std::chrono_literals;

namespace {
constexpr std::string_view first_line = "BT-SEARCH * HTTP/1.1\r\n";
std::string const digits = "0123456789abcdef0123456789ABCDEF01234567";

info_hash torrent(std::size_t number) {
    info_hash result;
    store_be(mutable_byte_view{result.bytes}, static_cast<std::uint32_t>(number));
    return result;
}
std::vector<info_hash> torrents(std::size_t count) {
    std::vector<info_hash> result;
    for (std::size_t i = 0; i < count; ++i) result.push_back(torrent(i));
    return result;
}
result<local_announce> parsed(std::string const& text) {
    return parse_local_announce(as_bytes(text));
}
std::error_code refusal(std::string const& text) {
    auto const read = parsed(text);
    return read ? std::error_code{} : read.error();
}
std::string with(std::string const& headers) {
    return std::string{first_line} + headers + "\r\n\r\n";
}
std::string const named = "Infohash: " + digits + "\r\n";

endpoint at(char const* text) {
    return *endpoint::parse(text);
}

/// The torrents of each of several datagrams.
using datagrams = std::vector<std::vector<info_hash>>;

/// Our peer with port 6881, and others who say what they are told to.
struct neighbourhood {
    local_discovery ours{local_group_v4(), 6881, 0x1234};
    time_point now{1000h};

    /// The torrents of each datagram that is due.
    datagrams sent() {
        datagrams all;
        while (auto const out = ours.next_datagram(now)) {
            CHECK(out->size() <= local_announce_bytes_max);
            auto const read = parsed(*out);
            REQUIRE(read);
            CHECK(read.value().port == 6881);
            all.push_back(read.value().torrents);
        }
        return all;
    }
    std::vector<local_peer> hear(std::vector<info_hash> which, char const* from, std::uint16_t port = 7000) {
        return ours.receive(as_bytes(encode({port, std::move(which), "other"}, local_group_v4())), at(from), now);
    }
};
}  // namespace

TEST_CASE("a local announce is the lines of BEP 14 and reads as what it was made of", "[announce]") {
    auto const hash = *info_hash::from(*from_hex(digits));
    local_announce const said{6881, {hash, torrent(1)}, "a-cookie"};
    CHECK(encode(said, local_group_v4()) ==
          "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\ncookie: a-cookie\r\n"
          "Infohash: 0123456789abcdef0123456789abcdef01234567\r\n"
          "Infohash: 0000000100000000000000000000000000000000\r\n\r\n\r\n");
    CHECK(encode(said, local_group_v6()).find("\r\nHost: [ff15::efc0:988f]:6771\r\n") != std::string::npos);
    CHECK(parsed(encode(said, local_group_v6())).value() == said);
}

TEST_CASE("a local announce is read as other clients write it", "[announce]") {
    auto const hash = *info_hash::from(*from_hex(digits));
    local_announce const expected{6881, {hash}, ""};
    CHECK(parsed(with("Host: 239.192.152.143:6771\r\nPort: 6881\r\n" + named)).value() == expected);
    CHECK(parsed(with("INFOHASH:" + digits + "\r\npOrT:\t6881  \r\n")).value() == expected);
    CHECK(parsed("BT-SEARCH * HTTP/1.1\nport: 6881\ninfohash : " + digits).value() == expected);
    CHECK(parsed(with("Port: 6881\r\nX-New: thing: y\r\n" + named + named)).value() == expected);
    CHECK(parsed(with("Port: 6881\r\nPort: 1\r\n" + named)).value() == expected);
    CHECK(parsed(with("Port: 6881\r\n" + named + "\r\n\r\nno header")).value() == expected);
    CHECK(parsed(with("cookie: x y\r\nPort: 6881\r\ncookie: z\r\n" + named)).value().cookie == "x y");
}

TEST_CASE("what is no local announce is refused for its reason", "[announce]") {
    CHECK(refusal("") == errc::bad_announce);
    CHECK(refusal("GET * HTTP/1.1\r\nPort: 1\r\n" + named) == errc::bad_announce);
    CHECK(refusal("BT-SEARCH * HTTP/1.0\r\nPort: 1\r\n" + named) == errc::bad_announce);
    CHECK(refusal(with("Port: 1\r\nnonsense\r\n" + named)) == errc::bad_announce);
    CHECK(refusal(with("Port: 1\r\n" + named + "x: " + std::string(1, '\0') + "\r\n")) == errc::bad_announce);
    CHECK(refusal(with(named)) == errc::bad_port);
    for (auto const* const port : {"0", "", "65536", "-1", "+1", "1x", "0x1", "99999999999"})
        CHECK(refusal(with("Port: " + std::string{port} + "\r\n" + named)) == errc::bad_port);
    CHECK(refusal(with("Port: 1\r\n")) == errc::bad_info_hash);
    for (auto const& hash :
         {std::string{}, digits.substr(1), digits + "0", digits + digits.substr(16), 'g' + digits.substr(1)})
        CHECK(refusal(with("Port: 1\r\nInfohash: " + hash + "\r\n")) == errc::bad_info_hash);
    CHECK(make_error_code(errc::bad_announce) == condition::peer_fault);
    CHECK_FALSE(make_error_code(errc::bad_announce).message().empty());
}

TEST_CASE("a local announce is read up to its limits and not beyond", "[announce]") {
    auto const start = with("Port: 1\r\n" + named);
    for (auto const size : {local_announce_bytes_max - 1, local_announce_bytes_max})
        CHECK(parsed(start + std::string(size - start.size(), 'x')));
    CHECK(refusal(start + std::string(local_announce_bytes_max + 1 - start.size(), 'x')) == errc::too_long);

    auto const of = [](std::size_t count) {
        std::string text = "BT-SEARCH * HTTP/1.1\nport:1\n";
        for (auto const& each : torrents(count)) text += "infohash:" + to_hex(each.view()) + "\n";
        return text;
    };
    CHECK(parsed(of(local_torrents_max - 1)).value().torrents.size() == local_torrents_max - 1);
    CHECK(parsed(of(local_torrents_max)).value().torrents == torrents(local_torrents_max));
    CHECK(refusal(of(local_torrents_max + 1)) == errc::too_many_hashes);

    auto const cookie_of = [](std::size_t size) {
        return parsed(with("Port: 1\r\ncookie: " + std::string(size, 'c') + "\r\n" + named)).value().cookie.size();
    };
    CHECK(cookie_of(local_cookie_max - 1) == local_cookie_max - 1);
    CHECK(cookie_of(local_cookie_max) == local_cookie_max);
    CHECK(cookie_of(local_cookie_max + 1) == 0);
}

TEST_CASE("a datagram takes as many torrents as fit, and no cookie that would break its lines", "[announce]") {
    for (auto const& group : {local_group_v4(), local_group_v6()}) {
        for (std::size_t const cookie : {0, 16, 64}) {
            local_announce const said{65535, torrents(40), std::string(cookie, 'c')};
            auto const text = encode(said, group);
            CHECK(text.size() <= local_announce_bytes_max);
            CHECK(text.size() + 2 * 52 > local_announce_bytes_max);
            CHECK(parsed(text).value().torrents == torrents(local_torrents_that_fit(group, said.cookie)));
            CHECK(parsed(text).value().cookie == said.cookie);
        }
    }
    for (auto const& cookie : {std::string{"a\r\nPort: 9"}, std::string(65, 'c'), std::string{"\xff"}})
        CHECK(parsed(encode({1, torrents(1), cookie}, local_group_v4())).value().cookie.empty());
}

TEST_CASE("a torrent is announced locally at once and every five minutes", "[announce]") {
    neighbourhood here;
    CHECK(here.ours.deadline() == time_point::max());
    CHECK(here.sent().empty());
    here.ours.add(torrent(1), here.now);
    CHECK(here.ours.deadline() == here.now);
    CHECK(here.sent() == datagrams{{torrent(1)}});
    for (int round = 0; round < 3; ++round) {
        CHECK(here.ours.deadline() == here.now + 5min);
        here.now += 5min - 1s;
        CHECK(here.sent().empty());
        here.now += 1s;
        CHECK(here.sent() == datagrams{{torrent(1)}});
    }
    here.ours.remove(torrent(1), here.now);
    CHECK(here.ours.deadline() == time_point::max());
    here.now += 5min;
    CHECK(here.sent().empty());
}

TEST_CASE("many torrents share datagrams, and those added one by one come to share them", "[announce]") {
    neighbourhood here;
    for (auto const& each : torrents(100)) here.ours.add(each, here.now);
    auto const all = here.sent();
    CHECK(all.size() == 4);
    std::set<info_hash> named_once;
    for (auto const& each : all)
        for (auto const& which : each) CHECK(named_once.insert(which).second);
    CHECK(named_once.size() == 100);

    neighbourhood slow;
    for (auto const& each : torrents(10)) {
        slow.ours.add(each, slow.now);
        CHECK(slow.sent().size() == 1);
        slow.now += 5s;
    }
    slow.now += 5min - 50s;
    CHECK(slow.sent() == datagrams{torrents(10)});
}

TEST_CASE("no torrent is announced locally twice within a minute, whatever happens", "[announce]") {
    neighbourhood here;
    std::map<info_hash, time_point> last;
    std::size_t sent = 0;
    for (unsigned second = 0; second < 1200; ++second, here.now += 1s) {
        auto const which = torrent(second % 7);
        if (second % 11 == 0) here.ours.remove(which, here.now);
        if (second % 3 == 0) here.ours.add(which, here.now);
        here.hear({which}, "192.168.0.7:1", static_cast<std::uint16_t>(1 + second));  // always somebody new
        for (auto const& datagram : here.sent()) {
            for (auto const& each : datagram) {
                if (last.contains(each)) CHECK(here.now - last[each] >= 60s);
                last[each] = here.now;
                ++sent;
            }
        }
    }
    CHECK(sent > 7 * 10);
}

TEST_CASE("who is heard in a swarm of ours is named with the port he announced", "[announce]") {
    neighbourhood here;
    here.ours.add(torrent(1), here.now);
    here.ours.add(torrent(2), here.now);
    CHECK(here.hear({torrent(3), torrent(2), torrent(1)}, "192.168.0.7:6771") ==
          std::vector<local_peer>{{torrent(2), at("192.168.0.7:7000")}, {torrent(1), at("192.168.0.7:7000")}});
    CHECK(here.hear({torrent(3)}, "192.168.0.7:6771").empty());
    CHECK(here.hear({torrent(1)}, "192.168.0.7:6771").size() == 1);
    here.ours.remove(torrent(1), here.now);
    CHECK(here.hear({torrent(1)}, "192.168.0.7:6771").empty());
    CHECK(here.ours.receive(as_bytes("nonsense"), at("192.168.0.7:6771"), here.now).empty());
}

TEST_CASE("neighbours are heeded whatever their address, but for those where nobody can connect", "[announce]") {
    neighbourhood here;
    here.ours.add(torrent(1), here.now);
    for (auto const* const near :
         {"127.0.0.1:1", "10.1.2.3:1", "169.254.1.1:1", "[::1]:1", "[fd00::2]:1", "8.8.8.8:1", "[2001:db8::1]:1"})
        CHECK(here.hear({torrent(1)}, near).size() == 1);
    for (auto const* const nowhere : {"0.0.0.0:1", "[::]:1", "[fe80::1]:1", "239.1.1.1:1"})
        CHECK(here.hear({torrent(1)}, nowhere).empty());
}

TEST_CASE("our own announces, which multicast brings back, are ignored", "[announce]") {
    neighbourhood here;
    here.ours.add(torrent(1), here.now);
    auto const own = here.ours.next_datagram(here.now);
    REQUIRE(own);
    for (int i = 0; i < 1000; ++i) CHECK(here.ours.receive(as_bytes(*own), at("10.0.0.1:6771"), here.now).empty());
    // They have not used up what another program at the same address may send.
    CHECK(here.hear({torrent(1)}, "10.0.0.1:6771").size() == 1);
    local_discovery other{local_group_v4(), 6881, 0x1235};
    other.add(torrent(1), here.now);
    CHECK(other.receive(as_bytes(*own), at("10.0.0.1:6771"), here.now).size() == 1);
}

TEST_CASE("one who is new is answered soon, but only once and not within the minute", "[announce]") {
    neighbourhood here;
    here.ours.add(torrent(1), here.now);
    CHECK(here.sent().size() == 1);
    here.now += 30s;
    here.hear({torrent(1)}, "10.0.0.2:6771");
    CHECK(here.ours.deadline() == here.now + 30s);  // a minute after the last
    here.now += 30s;
    CHECK(here.sent().size() == 1);

    here.now += 2min;
    here.hear({torrent(1)}, "10.0.0.3:6771");
    CHECK(here.ours.deadline() >= here.now);
    CHECK(here.ours.deadline() < here.now + local_answer_within);
    here.now += local_answer_within;
    CHECK(here.sent().size() == 1);

    here.now += 2min;
    here.hear({torrent(1)}, "10.0.0.3:6771");  // known
    CHECK(here.ours.deadline() == here.now + 3min);
    here.now += local_memory + 1s;
    CHECK(here.sent().size() == 1);
    here.now += 2min;
    here.hear({torrent(1)}, "10.0.0.3:6771");  // silent for so long that he is new
    CHECK(here.ours.deadline() < here.now + local_answer_within);
}

TEST_CASE("peers that hear each other do not keep each other talking", "[announce]") {
    std::vector<local_discovery> peers;
    time_point now{1000h};
    constexpr unsigned count = 5;
    for (unsigned i = 0; i < count; ++i) {
        peers.emplace_back(local_group_v4(), static_cast<std::uint16_t>(7000 + i), i + 1);
        peers.back().add(torrent(1), now);
    }
    std::size_t sent = 0;
    std::vector<std::set<endpoint>> known(count);
    for (auto const end = now + 1h; now < end; now += 1s) {
        for (unsigned i = 0; i < count; ++i) {
            while (auto const out = peers[i].next_datagram(now)) {
                ++sent;
                for (unsigned j = 0; j < count; ++j)
                    for (auto const& peer : peers[j].receive(as_bytes(*out), at("10.0.0.1:6771"), now))
                        known[j].insert(peer.at);
            }
        }
    }
    for (auto const& each : known) CHECK(each.size() == count - 1);
    CHECK(sent >= count * 12);
    CHECK(sent <= count * 14);  // twelve rounds, and an answer to the first announces
}

TEST_CASE("a flood from one neighbour or from many is read at a bounded rate", "[announce]") {
    neighbourhood here;
    here.ours.add(torrent(1), here.now);
    auto const heard = [&](auto const& source, unsigned times) {
        std::size_t count = 0;
        for (unsigned i = 0; i < times; ++i) count += here.hear({torrent(1)}, source(i).c_str()).size();
        return count;
    };
    auto const one = [](unsigned) { return std::string{"10.0.0.1:1"}; };
    auto const many = [](unsigned i) {
        return "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":1";
    };
    CHECK(heard(one, 1000) == local_datagrams_of_one.burst);
    CHECK(here.hear({torrent(1)}, "10.0.0.2:1").size() == 1);  // others still are
    here.now += 1s;
    CHECK(heard(one, 1000) == local_datagrams_of_one.per_second);
    here.now += 10s;
    CHECK(heard(many, 1000) == local_datagrams.burst);
    here.now += 1s;
    CHECK(heard(many, 1000) == local_datagrams.per_second);
    // With the table of sources full, a new one is heard only when others have been silent.
    neighbourhood full;
    full.ours.add(torrent(1), full.now);
    for (unsigned i = 0; i < local_sources_max; ++i) full.hear({torrent(1)}, many(i).c_str());
    full.now += 40ms;
    CHECK(full.hear({torrent(1)}, "10.0.0.1:1").empty());
    CHECK(full.hear({torrent(1)}, many(0).c_str()).size() == 1);
    full.now += 1s;
    CHECK(full.hear({torrent(1)}, "10.0.0.1:1").size() == 1);
}

TEST_CASE("with all neighbours remembered that may be a new one is answered when others were silent for long",
          "[announce]") {
    neighbourhood here;
    here.ours.add(torrent(1), here.now);
    auto const is_answered = [&](char const* who) {
        here.now += local_interval;
        (void)here.sent();  // the next is due in five minutes, if nobody is answered
        here.now += 2min;
        here.hear({torrent(1)}, who);
        return here.ours.deadline() < here.now + local_answer_within;
    };
    CHECK(is_answered("10.0.0.1:1"));
    for (std::size_t i = 0; i < local_neighbours_max; ++i) {
        here.now += 50ms;
        here.hear({torrent(1)}, "10.0.0.2:1", static_cast<std::uint16_t>(1 + i));
    }
    CHECK_FALSE(is_answered("10.0.0.3:1"));
    here.now += local_memory;
    CHECK(is_answered("10.0.0.4:1"));
}

TEST_CASE("a peer that takes no connections only listens for others", "[announce]") {
    local_discovery listener{local_group_v4(), 0, 9};
    time_point const now{1000h};
    listener.add(torrent(1), now);
    CHECK(listener.deadline() == time_point::max());
    CHECK_FALSE(listener.next_datagram(now + 1h));
    auto const said = encode({7000, {torrent(1)}, ""}, local_group_v4());
    CHECK(listener.receive(as_bytes(said), at("10.0.0.1:6771"), now).size() == 1);
}
