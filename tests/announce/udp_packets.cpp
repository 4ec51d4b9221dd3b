#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

import shoal.core;
import shoal.announce;

using namespace shoal;
using namespace shoal::announce;
using namespace std::chrono_literals;

namespace {
template <class Packet>
byte_vector bytes_of(Packet const& packet) {
    byte_vector out;
    encode(out, packet);
    return out;
}
byte_vector hex(std::string_view digits) {
    return *from_hex(digits);
}
std::error_code error_of(byte_view packet) {
    auto const parsed = parse_udp_request(packet);
    return parsed ? std::error_code{} : parsed.error();
}
}  // namespace

TEST_CASE("a connect packet has the bytes of BEP 15", "[announce]") {
    auto const packet = bytes_of(udp_connect{0x01020304});
    CHECK(packet == hex("00000417271019800000000001020304"));
    CHECK(std::get<udp_connect>(parse_udp_request(packet).value()).transaction == 0x01020304);
    byte_vector reply;
    encode_udp_connected(reply, {0x01020304, 0x1122334455667788});
    CHECK(reply == hex("00000000010203041122334455667788"));
    CHECK(reply.size() <= packet.size());
}

TEST_CASE("an announce packet is read as it was written, with its URL", "[announce]") {
    udp_announce sent{0x1122334455667788, 7, {}, {}};
    sent.request.torrent.bytes.fill(std::byte{0xaa});
    sent.request.peer.bytes.fill(std::byte{0xbb});
    sent.request.port = 6881;
    sent.request.uploaded = 1;
    sent.request.downloaded = 2;
    sent.request.left = 3;
    sent.request.what = event::started;
    sent.request.peers_wanted = 30;
    sent.request.key = 0xfeed;
    CHECK(bytes_of(sent).size() == udp_announce_size);
    CHECK(bytes_of(sent) ==
          hex("11223344556677880000000100000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
              "bbbbbbbb000000000000000200000000000000030000000000000001000000020000"
              "00000000feed0000001e1ae1"));
    for (std::size_t const length : {0U, 1U, 254U, 255U, 256U, 600U, 1023U, 1024U}) {
        sent.url_data = std::string(length, 'u');
        auto const read = std::get<udp_announce>(parse_udp_request(bytes_of(sent)).value());
        CHECK(read.connection == sent.connection);
        CHECK(read.transaction == 7);
        CHECK(read.request.torrent == sent.request.torrent);
        CHECK(read.request.peer == sent.request.peer);
        CHECK(read.request.port == 6881);
        CHECK(read.request.uploaded == 1);
        CHECK(read.request.downloaded == 2);
        CHECK(read.request.left == 3);
        CHECK(read.request.what == event::started);
        CHECK(read.request.peers_wanted == 30U);
        CHECK(read.request.key == 0xfeed);
        CHECK_FALSE(read.request.ip);
        CHECK(read.url_data == sent.url_data);
    }
    auto elsewhere = sent;
    elsewhere.request.ip = ip_address::v4({198, 51, 100, 7});
    CHECK(std::get<udp_announce>(parse_udp_request(bytes_of(elsewhere)).value()).request.ip == elsewhere.request.ip);
    elsewhere.request.ip = ip_address::parse("2001:db8::1");  // has no place in it
    CHECK_FALSE(std::get<udp_announce>(parse_udp_request(bytes_of(elsewhere)).value()).request.ip);
    sent.url_data = std::string(url_data_max + 1, 'u');
    CHECK(std::get<udp_announce>(parse_udp_request(bytes_of(sent)).value()).url_data.size() == url_data_max);
}

TEST_CASE("options of an announce are read in any order and never past the end", "[announce]") {
    auto const url_data = [](std::string_view options) {
        auto packet = bytes_of(udp_announce{});
        auto const more = hex(options);
        packet.insert(packet.end(), more.begin(), more.end());
        return std::get<udp_announce>(parse_udp_request(packet).value()).url_data;
    };
    CHECK(url_data("").empty());
    CHECK(url_data("00").empty());
    CHECK(url_data("0101020161"
                   "0101"
                   "020162"
                   "00"
                   "020163") == "ab");
    CHECK(url_data("020361").empty());
    CHECK(url_data("02").empty());
    CHECK(url_data("0200").empty());
    CHECK(url_data("7702ffff020161") == "a");  // an unknown option has a length too
    CHECK(url_data("ff").empty());
    std::string flood;
    for (int i = 0; i < 5000; ++i) flood += "02ff" + std::string(510, '6');
    CHECK(url_data(flood).size() == url_data_max);
}

TEST_CASE("negative numbers of an announce packet are clamped", "[announce]") {
    udp_announce sent;
    auto packet = bytes_of(sent);
    for (std::size_t i = 56; i < 80; ++i) packet[i] = std::byte{0xff};
    for (std::size_t i = 80; i < 84; ++i) packet[i] = std::byte{0x7f};
    for (std::size_t i = 92; i < 96; ++i) packet[i] = std::byte{0xff};
    auto const read = std::get<udp_announce>(parse_udp_request(packet).value()).request;
    CHECK(read.downloaded == 0);
    CHECK(read.uploaded == 0);
    CHECK(read.left == left_unknown);
    CHECK(read.what == event::none);
    CHECK_FALSE(read.peers_wanted);
}

TEST_CASE("requests that are cut or of no known kind are refused", "[announce]") {
    for (auto const& whole :
         {bytes_of(udp_connect{1}), bytes_of(udp_announce{}), bytes_of(udp_scrape{1, 2, {info_hash{}}, false})})
        for (std::size_t size = 0; size < whole.size(); ++size)
            CHECK(error_of(byte_view{whole}.first(size)) == errc::truncated);
    CHECK(error_of(hex("00000000000000000000000000000000")) == errc::unknown_action);  // not the protocol's number
    CHECK(error_of(hex("00000417271019800000000300000000")) == errc::unknown_action);
    CHECK(error_of(hex("0000041727101980ffffffff00000000")) == errc::unknown_action);
}

TEST_CASE("a scrape packet carries torrents up to a limit", "[announce]") {
    auto const scrape = [](std::size_t count) {
        byte_vector packet = bytes_of(udp_scrape{5, 6, {}, false});
        packet.resize(packet.size() + count * 20, std::byte{1});
        return std::get<udp_scrape>(parse_udp_request(packet).value());
    };
    CHECK(scrape(scrape_hashes_max - 1).torrents.size() == scrape_hashes_max - 1);
    CHECK(scrape(scrape_hashes_max).torrents.size() == scrape_hashes_max);
    CHECK_FALSE(scrape(scrape_hashes_max).is_cut);
    CHECK(scrape(scrape_hashes_max + 1).torrents.size() == scrape_hashes_max);
    CHECK(scrape(scrape_hashes_max + 1).is_cut);
    CHECK(scrape(1).connection == 5);
}

TEST_CASE("an announce reply holds the peers of its family that fit", "[announce]") {
    announce_reply reply;
    reply.interval = 1800s;
    reply.seeders = 1;
    reply.leechers = 2;
    for (std::uint8_t i = 1; i <= 10; ++i) reply.peers.push_back({ip_address::v4({10, 0, 0, i}), 80});
    auto const six = *endpoint::parse("[2001:db8::1]:80");
    reply.peers.push_back(six);
    auto const encoded = [&](udp_family family, std::size_t bytes_max) {
        byte_vector out;
        encode_udp_announced(out, 9, reply, family, bytes_max);
        return out;
    };
    auto const v4 = encoded(udp_family::v4, 1400);
    CHECK(v4.size() == 20 + 10 * 6);
    auto const read = std::get<udp_announced>(parse_udp_reply(v4, udp_family::v4).value());
    CHECK(read.transaction == 9);
    CHECK(read.reply.interval == 1800s);
    CHECK(read.reply.seeders == 1U);
    CHECK(read.reply.leechers == 2U);
    CHECK(read.reply.peers.size() == 10);
    CHECK(read.reply.peers[2] == *endpoint::parse("10.0.0.3:80"));
    auto const v6 = encoded(udp_family::v6, 1400);
    CHECK(std::get<udp_announced>(parse_udp_reply(v6, udp_family::v6).value()).reply.peers == std::vector{six});
    CHECK(encoded(udp_family::v4, 20 + 6 * 4 - 1).size() == 20 + 6 * 3);
    CHECK(encoded(udp_family::v4, 20 + 6 * 4).size() == 20 + 6 * 4);
    CHECK(encoded(udp_family::v4, 20 + 6 * 4 + 1).size() == 20 + 6 * 4);
    CHECK(encoded(udp_family::v4, 0).size() == 20);
}

TEST_CASE("replies that are cut or of no known kind are refused", "[announce]") {
    for (auto const text :
         {"", "00", "0000000000000001", "00000000000000010000000000000", "00000001000000010000000000",
          "0000000100000001000000000000000000000000aabbccddee", "00000002000000010000", "0000000400000001"}) {
        auto const packet = from_hex(text);
        INFO(text);
        if (packet) CHECK_FALSE(parse_udp_reply(*packet, udp_family::v4));
    }
    auto const error = std::get<udp_error>(parse_udp_reply(hex("00000003000000016e6f"), udp_family::v4).value());
    CHECK(error.message == "no");
    byte_vector endless = hex("0000000300000001");
    endless.resize(60'000, std::byte{'x'});
    CHECK(std::get<udp_error>(parse_udp_reply(endless, udp_family::v4).value()).message.size() == reply_text_max);
    auto flood = hex("0000000100000001000000000000000000000000");
    flood.resize(20 + 6 * 5000, std::byte{1});
    auto const read = std::get<udp_announced>(parse_udp_reply(flood, udp_family::v4).value()).reply;
    CHECK(read.peers.size() == reply_peers_max);
    CHECK(read.interval == interval_min);
}

TEST_CASE("a UDP tracker is told of every event but the pause, for which there is no number", "[announce]") {
    for (auto const what : {event::none, event::started, event::completed, event::stopped, event::paused}) {
        udp_announce sent{1, 2, {}, {}};
        sent.request.what = what;
        auto const read = std::get<udp_announce>(parse_udp_request(bytes_of(sent)).value()).request.what;
        CHECK(read == (what == event::paused ? event::none : what));
    }
}
