#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cctype>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

import shoal.core;
import shoal.hash;
import shoal.metainfo;

using namespace shoal;
using metainfo::errc;
using metainfo::magnet;
using metainfo::parse_magnet;

namespace {
constexpr std::string_view v1_hex = "cdf2a6dd4ae1a8a7e1e7d4dc5e7f2f0a1b2c3d4e";
constexpr std::string_view v2_hex = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e";
std::string const v1_link = "magnet:?xt=urn:btih:" + std::string{v1_hex};

std::string base32(byte_view bytes) {
    std::string out;
    unsigned bits = 0, count = 0;
    for (auto const b : bytes) {
        bits = bits << 8 | std::to_integer<unsigned>(b);
        for (count += 8; count >= 5; count -= 5) out += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[bits >> (count - 5) & 31];
    }
    return out;
}
}  // namespace

TEST_CASE("a magnet link is read in all its parts", "[metainfo]") {
    auto const read = parse_magnet(
        "magnet:?xt=urn:btih:" + std::string{v1_hex} + "&xt=urn:btmh:1220" + std::string{v2_hex} +
        "&dn=a+file%20name&tr=http%3A%2F%2Ft.example%2Fannounce%3Fk%3D1&tr=udp://u.example:80&tr=wss://w.example" +
        "&x.pe=1.2.3.4:80&x.pe=[2001:db8::1]:6881&x.pe=host.example:1&ws=https%3a%2f%2fseed.example%2fa&so=0,2,4-6&xl="
        "12");
    REQUIRE(read);
    auto const& link = read.value();
    CHECK(to_hex(link.info_hash_v1->view()) == v1_hex);
    CHECK(to_hex(link.info_hash_v2->view()) == v2_hex);
    CHECK(link.name == "a file name");
    CHECK(link.trackers ==
          std::vector<std::string>{"http://t.example/announce?k=1", "udp://u.example:80", "wss://w.example"});
    CHECK(link.peers == std::vector<metainfo::host_port>{{"1.2.3.4", 80}, {"2001:db8::1", 6881}, {"host.example", 1}});
    CHECK(link.web_seeds == std::vector<std::string>{"https://seed.example/a"});
    CHECK(link.select_only == std::vector<metainfo::index_range>{{0, 0}, {2, 2}, {4, 6}});
    CHECK(to_hex(link.swarm_hash().view()) == v1_hex);

    CHECK(parse_magnet(to_string(link)).value() == link);
}

TEST_CASE("an info-hash is read in every form it is written in", "[metainfo]") {
    auto const digest = *sha1_digest::from(*from_hex(v1_hex));
    std::string upper{v1_hex}, small = base32(digest.view());
    for (auto& c : upper) c = static_cast<char>(std::toupper(c));
    for (auto& c : small) c = static_cast<char>(std::tolower(c));
    for (auto const& link :
         {v1_link, "magnet:?xt=urn:btih:" + upper, "magnet:?xt=urn:btih:" + base32(digest.view()),
          "magnet:?xt=urn:btih:" + small, "MAGNET:?xt=urn:BTIH:" + upper, "magnet:?xt=urn%3Abtih%3A" + upper,
          "magnet:?xt.1=urn:btih:" + upper, "magnet:?dn=x&&xt=urn:btih:" + upper + "&",
          "magnet:?xt=urn:sha1:ABC&xt=urn:btih:" + upper, v1_link + "&xt=urn:btih:" + std::string(40, '0')}) {
        INFO(link);
        auto const read = parse_magnet(link);
        REQUIRE(read);
        CHECK(read.value().info_hash_v1 == digest);
    }
    auto const v2 = parse_magnet("magnet:?xt=urn:btmh:1220" + std::string{v2_hex});
    REQUIRE(v2);
    CHECK(to_hex(v2.value().swarm_hash().view()) == v2_hex.substr(0, 40));
}

TEST_CASE("a link without a usable info-hash is refused", "[metainfo]") {
    struct row {
        std::string link;
        errc why;
    };
    std::string const v1{v1_hex}, v2{v2_hex};
    for (auto const& [link, why] : {
             row{"", errc::not_a_magnet},
             row{"magnet:", errc::not_a_magnet},
             row{"http://x/?xt=urn:btih:" + v1, errc::not_a_magnet},
             row{v1, errc::not_a_magnet},
             row{"magnet:?", errc::no_info_hash},
             row{"magnet:?dn=x", errc::no_info_hash},
             row{"magnet:?xt=urn:sha1:" + v1, errc::no_info_hash},
             row{"magnet:?xt=urn:btih", errc::no_info_hash},
             row{"magnet:?XT=urn:btih:" + v1, errc::no_info_hash},
             row{"magnet:?xt=urn:btih:", errc::bad_info_hash},
             row{"magnet:?xt=urn:btih:" + v1.substr(1), errc::bad_info_hash},
             row{"magnet:?xt=urn:btih:" + v1 + "0", errc::bad_info_hash},
             row{"magnet:?xt=urn:btih:" + v1.substr(1) + "g", errc::bad_info_hash},
             row{"magnet:?xt=urn:btih:" + std::string(31, 'A'), errc::bad_info_hash},
             row{"magnet:?xt=urn:btih:" + std::string(33, 'A'), errc::bad_info_hash},
             row{"magnet:?xt=urn:btih:" + std::string(31, 'A') + "1", errc::bad_info_hash},
             row{"magnet:?xt=urn:btih:" + std::string(60'000, 'A'), errc::bad_info_hash},
             row{"magnet:?xt=urn:btmh:1220" + v2.substr(2), errc::bad_info_hash},
             row{"magnet:?xt=urn:btmh:1220" + v2 + "00", errc::bad_info_hash},
             row{"magnet:?xt=urn:btmh:1114" + v1, errc::no_info_hash},  // SHA-1 as a multihash
             row{"magnet:?xt=urn:btih:%zz" + v1, errc::no_info_hash},
             row{"magnet:?xt=urn:btih:" + v1 + "%", errc::no_info_hash},
             row{"magnet:?xt=urn:btih:" + v1 + "%4", errc::no_info_hash},
         }) {
        INFO(link);
        auto const read = parse_magnet(link);
        REQUIRE_FALSE(read);
        CHECK(read.error() == why);
        CHECK(read.error() == condition::peer_fault);
    }
}

TEST_CASE("what a magnet link should not hold is left out", "[metainfo]") {
    auto const nothing = parse_magnet(v1_link).value();
    for (std::string const parameter : {"tr=file:///etc/passwd",
                                        "tr=ftp://x",
                                        "tr=javascript:alert(1)",
                                        "tr=http://",
                                        "tr=http:///x",
                                        "tr=http://a%20b/",
                                        "tr=http://a%0d%0aHost:b/",
                                        "tr=",
                                        "tr=x",
                                        "tr=://x",
                                        "tr=http%zz://x",
                                        "tr=http://:80/",
                                        "tr=http://user@/",
                                        "ws=udp://x",
                                        "ws=file:///x",
                                        "ws=",
                                        "x.pe=",
                                        "x.pe=1.2.3.4",
                                        "x.pe=1.2.3.4:0",
                                        "x.pe=1.2.3.4:65536",
                                        "x.pe=1.2.3.4:-1",
                                        "x.pe=1.2.3.4:8x",
                                        "x.pe=::1:80",
                                        "x.pe=[::1:80",
                                        "x.pe=[1.2.3.4.5]:80",
                                        "x.pe=[host]:80",
                                        "x.pe=a%2fb:80",
                                        "x.pe=a%00b:80",
                                        "x.pe=:80",
                                        "so=",
                                        "so=-",
                                        "so=a",
                                        "so=1-",
                                        "so=-1",
                                        "so=3-2",
                                        "so=4294967296",
                                        "so=1-2-3",
                                        "so=+1",
                                        "so=%201",
                                        "dn=",
                                        "unknown=1",
                                        "xt=urn:ed2k:31D6CFE0D16AE931B73C59D7E0C089C0",
                                        "=",
                                        "&&&",
                                        "%=1"}) {
        INFO(parameter);
        auto const read = parse_magnet(v1_link + "&" + parameter);
        REQUIRE(read);
        CHECK(read.value() == nothing);
    }
    CHECK(parse_magnet(v1_link + "&so=1,x,3").value().select_only ==
          std::vector<metainfo::index_range>{{1, 1}, {3, 3}});
}

TEST_CASE("the name of a magnet link is sanitised like every other", "[metainfo]") {
    CHECK(parse_magnet(v1_link + "&dn=..%2f..%2fetc%2fpasswd").value().name == ".._.._etc_passwd");
    CHECK(parse_magnet(v1_link + "&dn=..").value().name == "_");
    CHECK(parse_magnet(v1_link + "&dn=a%1b%5bm%ff").value().name == "a_[m_");
}

TEST_CASE("a magnet link is bounded in size and in the number of its items", "[metainfo]") {
    for (std::size_t const count : {99, 100, 101, 3000}) {
        std::string link = v1_link;
        for (std::size_t i = 0; i < count; ++i) link += "&tr=udp://" + std::to_string(i);
        CHECK(parse_magnet(link).value().trackers.size() == std::min<std::size_t>(count, metainfo::magnet_items_max));
    }
    for (std::size_t const count : {99, 100, 101, 2000}) {
        std::string seeds = v1_link, peers = v1_link;
        for (std::size_t i = 1; i <= count; ++i) {
            seeds += "&ws=http://" + std::to_string(i);
            peers += "&x.pe=host:" + std::to_string(i);
        }
        auto const expected = std::min<std::size_t>(count, metainfo::magnet_items_max);
        CHECK(parse_magnet(seeds).value().web_seeds.size() == expected);
        CHECK(parse_magnet(peers).value().peers.size() == expected);
    }
    std::string ranges = v1_link + "&so=0";
    for (int i = 1; i < 150; ++i) ranges += "," + std::to_string(i);
    CHECK(parse_magnet(ranges).value().select_only.size() == metainfo::magnet_items_max);

    auto const padded = [](std::size_t size) { return v1_link + "&x=" + std::string(size - v1_link.size() - 3, 'x'); };
    CHECK(parse_magnet(padded(metainfo::magnet_bytes_max - 1)));
    CHECK(parse_magnet(padded(metainfo::magnet_bytes_max)));
    CHECK(parse_magnet(padded(metainfo::magnet_bytes_max + 1)).error() == errc::input_too_large);
}

TEST_CASE("any text is read as a magnet link or refused, and what is read is stable", "[metainfo]") {
    std::mt19937 random{11};
    std::string const seed = v1_link + "&xt=urn:btmh:1220" + std::string{v2_hex} +
                             "&dn=a%20b&tr=udp://t:1&x.pe=[::1]:2&so=1-2,4&ws=http://w/";
    for (int round = 0; round < 5'000; ++round) {
        auto link = seed;
        for (auto changes = 1 + random() % 4; changes > 0; --changes) {
            auto const at = random() % link.size();
            switch (random() % 3) {
                case 0:
                    link[at] = static_cast<char>(random());
                    break;
                case 1:
                    link.erase(at, random() % 9);
                    break;
                default:
                    link.insert(at, 1, "%&=:?+[]-,.\0"[random() % 12]);
                    break;
            }
        }
        if (auto const read = parse_magnet(link); read) {
            auto const again = parse_magnet(to_string(read.value()));
            REQUIRE(again);
            REQUIRE(again.value() == read.value());
        }
    }
}

TEST_CASE("an info dictionary becomes the torrent that its link names, with the link's trackers and seeds",
          "[metainfo]") {
    auto const info = as_bytes("d6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae");
    magnet link;
    link.info_hash_v1 = hash::sha1_of(info);
    link.trackers = {"http://t.example/announce", "udp://u.example:80/"};
    link.web_seeds = {"https://seed.example/a", "https://other.example/b"};
    auto const made = metainfo::torrent_of(link, info);
    REQUIRE(made);
    CHECK(made.value().name() == "a");
    CHECK(made.value().trackers() == std::vector<std::vector<std::string>>{{link.trackers[0]}, {link.trackers[1]}});
    CHECK(made.value().web_seeds() == link.web_seeds);

    auto const refusal = [&] { return metainfo::torrent_of(link, info).error(); };
    link.info_hash_v2.emplace();
    CHECK(refusal() == errc::hybrid_mismatch);  // one half is right
    link.info_hash_v1.reset();
    CHECK(refusal() == errc::other_torrent);
    link.info_hash_v1.emplace();
    CHECK(refusal() == errc::other_torrent);
}
