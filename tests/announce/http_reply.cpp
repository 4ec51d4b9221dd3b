#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

import shoal.core;
import shoal.bencode;
import shoal.announce;

using namespace shoal;
using namespace shoal::announce;
using namespace std::chrono_literals;

namespace {
auto parse(std::string_view body) {
    return parse_http_reply(as_bytes(body));
}
announce_reply reply_of(std::string_view body) {
    return std::get<announce_reply>(parse(body).value());
}
failure failure_of(std::string_view body) {
    return std::get<failure>(parse(body).value());
}
endpoint at(std::string_view text) {
    return *endpoint::parse(text);
}
std::string string_of(std::string_view content) {
    return std::to_string(content.size()) + ":" + std::string{content};
}
}  // namespace

TEST_CASE("a reply is read as it was written, compact or not", "[announce]") {
    announce_reply reply;
    reply.interval = 1800s;
    reply.min_interval = 900s;
    reply.seeders = 3;
    reply.leechers = 4;
    reply.downloaded = 5;
    reply.peers = {at("10.1.2.3:6881"), at("[2001:db8::1]:80")};
    reply.warning = "careful";
    reply.tracker_id = std::string("t\0x", 3);
    reply.external_ip = ip_address::parse("192.0.2.9");
    for (bool const is_compact : {true, false}) {
        announce_request asked;
        asked.is_compact = is_compact;
        auto const body = encode_http_reply(reply, asked);
        CHECK(bencode::decode(as_bytes(body)));  // canonical
        auto const read = reply_of(body);
        CHECK(read.interval == reply.interval);
        CHECK(read.min_interval == reply.min_interval);
        CHECK(read.seeders == 3U);
        CHECK(read.leechers == 4U);
        CHECK(read.downloaded == 5U);
        CHECK(read.peers == reply.peers);
        CHECK(read.warning == reply.warning);
        CHECK(read.tracker_id == reply.tracker_id);
        CHECK(read.external_ip == reply.external_ip);
    }
}

TEST_CASE("peer ids are given where they are known and wanted", "[announce]") {
    announce_reply reply;
    reply.peers = {at("10.1.2.3:6881"), at("10.1.2.4:6881")};
    reply.ids = {std::nullopt, peer_id{}};
    announce_request asked;
    asked.is_compact = false;
    CHECK(reply_of(encode_http_reply(reply, asked)).ids == reply.ids);
    asked.no_peer_id = true;
    CHECK(reply_of(encode_http_reply(reply, asked)).ids == std::vector<std::optional<peer_id>>(2));
}

TEST_CASE("an answer without peers still has a list of them", "[announce]") {
    CHECK(encode_http_reply({}, {}) == "d8:intervali1800e5:peers0:e");
}

TEST_CASE("intervals are clamped", "[announce]") {
    auto const interval = [](std::string_view number) {
        return reply_of("d8:intervali" + std::string{number} + "e5:peers0:e").interval;
    };
    CHECK(interval("0") == 60s);
    CHECK(interval("-1") == 60s);
    CHECK(interval("-9223372036854775808") == 60s);
    CHECK(interval("59") == 60s);
    CHECK(interval("60") == 60s);
    CHECK(interval("61") == 61s);
    CHECK(interval("86399") == 86399s);
    CHECK(interval("86400") == 86400s);
    CHECK(interval("86401") == 86400s);
    CHECK(interval("2147483648") == 86400s);
    CHECK(interval("9223372036854775807") == 86400s);
    CHECK(reply_of("d5:peers0:e").interval == 1800s);
    CHECK(reply_of("d8:interval4:soon5:peers0:e").interval == 1800s);
    CHECK(reply_of("d8:intervali300e12:min intervali1e5:peers0:e").min_interval == 60s);
}

TEST_CASE("peers that nobody can connect to are dropped", "[announce]") {
    std::string const compact = std::string("\x0a\0\0\1\0\0", 6) + std::string("\x0a\0\0\2\x1a\xe1", 6) +
                                std::string("\0\0\0\0\x1a\xe1", 6) + std::string("\xe0\0\0\1\x1a\xe1", 6);
    CHECK(reply_of("d5:peers" + string_of(compact) + "e").peers == std::vector{at("10.0.0.2:6881")});
    auto const listed = reply_of(
        "d5:peersl"
        "d2:ip8:10.0.0.34:porti0ee"
        "d2:ip8:10.0.0.34:porti65536ee"
        "d2:ip8:10.0.0.34:porti-1ee"
        "d2:ip8:10.0.0.3e"
        "d4:porti80ee"
        "d2:ip11:example.com4:porti80ee"
        "d2:ipi1e4:porti80ee"
        "i7e"
        "le"
        "d2:ip8:10.0.0.37:peer id3:abc4:porti80ee"
        "d2:ip3:::17:peer id20:abcdefghijklmnopqrst4:porti81ee"
        "ee");
    CHECK(listed.peers == std::vector{at("10.0.0.3:80"), at("[::1]:81")});
    REQUIRE(listed.ids.size() == 2);
    CHECK_FALSE(listed.ids[0]);
    CHECK(listed.ids[1]);
}

TEST_CASE("replies that are not understood are refused", "[announce]") {
    for (std::string_view const body :
         {"", "i1e", "le", "de", "d3:foo3:bare", "d8:intervali1", "d8:intervali1e", "<html></html>", "d5:peersi1ee",
          "d5:peersdee", "d5:peers5:abcdee", "d5:peers7:abcdefge", "d6:peers617:aaaaaaaaaaaaaaaaae", "d6:peers6lee",
          "d6:peers6i1ee", "d5:peers99999999999:e", "d5:peers-1:e", "d5:peers0:e0:", "d8:intervali--1e5:peers0:e"}) {
        INFO(body);
        CHECK_FALSE(parse(body));
    }
    auto const deep = "d5:peers" + std::string(150'000, 'l') + std::string(150'000, 'e') + "e";
    CHECK_FALSE(parse(deep));
    std::string many = "d5:peersl";
    for (int i = 0; i < 300'000; ++i) many += "0:";
    CHECK_FALSE(parse(many + "ee"));
    CHECK(is(parse("de").error(), condition::peer_fault));
}

TEST_CASE("a reply has a length limit", "[announce]") {
    auto const padded = [](std::size_t size) {
        std::string const frame = "d5:peers0:1:x1048000:e";
        return "d5:peers0:1:x" + std::to_string(size - frame.size()) + ":" + std::string(size - frame.size(), 'x') +
               "e";
    };
    CHECK(padded(reply_bytes_max).size() == reply_bytes_max);
    CHECK(parse(padded(reply_bytes_max - 1)));
    CHECK(parse(padded(reply_bytes_max)));
    CHECK(parse(padded(reply_bytes_max + 1)).error() == errc::too_long);
}

TEST_CASE("peers beyond the limit are dropped, in every form", "[announce]") {
    auto const compact = [](std::size_t count) {
        std::string list;
        for (std::size_t i = 0; i < count; ++i) list += std::string("\x0a\0\0\1\1\1", 6);
        return reply_of("d5:peers" + string_of(list) + "e").peers.size();
    };
    CHECK(compact(reply_peers_max - 1) == reply_peers_max - 1);
    CHECK(compact(reply_peers_max) == reply_peers_max);
    CHECK(compact(reply_peers_max + 1) == reply_peers_max);
    CHECK(compact(150'000) == reply_peers_max);
    std::string listed = "d5:peersl";
    for (std::size_t i = 0; i < 2000; ++i) listed += "d2:ip8:10.0.0.34:porti80ee";
    CHECK(reply_of(listed + "ee").peers.size() == reply_peers_max);
    std::string six;
    for (std::size_t i = 0; i < 600; ++i) six += std::string(17, '\1') + "\2";
    CHECK(reply_of("d5:peers6:abcdef6:peers6" + string_of(six) + "e").peers.size() == reply_peers_max);
}

TEST_CASE("a failure says why and when to come again", "[announce]") {
    CHECK(failure_of("d14:failure reason4:nopee").reason == "nope");
    CHECK(failure_of("d14:failure reason2:no8:retry ini7ee").retry_in == 7min);
    CHECK(failure_of("d14:failure reason2:no8:retry in2:12e").retry_in == 12min);
    CHECK(failure_of("d14:failure reason2:no8:retry in5:nevere").is_final);
    CHECK_FALSE(failure_of("d14:failure reason2:no8:retry in3:whye").is_final);
    CHECK_FALSE(failure_of("d14:failure reason2:no8:retry ini-3ee").retry_in);
    CHECK(failure_of("d14:failure reason2:no8:retry ini9223372036854775807ee").retry_in == 1440min);
    CHECK(failure_of("d14:failure reason" + string_of(std::string(5000, 'x')) + "e").reason.size() == reply_text_max);
    for (failure const& why :
         {failure{"a", std::nullopt, false}, failure{"b", 5min, false}, failure{"c", std::nullopt, true}}) {
        auto const read = failure_of(encode_http_failure(why));
        CHECK(read.reason == why.reason);
        CHECK(read.retry_in == why.retry_in);
        CHECK(read.is_final == why.is_final);
    }
}

TEST_CASE("texts and ids of a tracker are bounded", "[announce]") {
    CHECK(reply_of("d5:peers0:15:warning message" + string_of(std::string(2000, 'w')) + "e").warning.size() ==
          reply_text_max);
    auto const id = [](std::size_t size) {
        return reply_of("d5:peers0:10:tracker id" + string_of(std::string(size, 'i')) + "e").tracker_id.size();
    };
    CHECK(id(tracker_id_max - 1) == tracker_id_max - 1);
    CHECK(id(tracker_id_max) == tracker_id_max);
    CHECK(id(tracker_id_max + 1) == 0);
    CHECK_FALSE(reply_of("d11:external ip3:abc5:peers0:e").external_ip);
    CHECK_FALSE(reply_of("d8:completei-4e5:peers0:e").seeders);
    CHECK(reply_of("d8:completei99999999999e5:peers0:e").seeders == 0xffff'ffffU);
}

TEST_CASE("a scrape reply is read as it was written", "[announce]") {
    scrape_reply reply;
    info_hash other;
    other.bytes.fill(std::byte{0xff});
    reply.torrents = {{other, 1, 2, 3}, {{}, 4, 5, 6}, {other, 7, 8, 9}};
    reply.min_interval = 120s;
    auto const body = encode_http_scrape_reply(reply);
    CHECK(bencode::decode(as_bytes(body)));
    auto const read = std::get<scrape_reply>(parse_http_scrape_reply(as_bytes(body)).value());
    CHECK(read.torrents == std::vector<scrape_entry>{{{}, 4, 5, 6}, {other, 1, 2, 3}});
    CHECK(read.min_interval == 120s);
    for (std::string_view const bad : {"", "de", "d5:filesle", "d5:filesi1ee", "d5:fileslee"})
        CHECK_FALSE(parse_http_scrape_reply(as_bytes(bad)));
    for (auto const count : {scrape_hashes_max - 1, scrape_hashes_max, scrape_hashes_max + 1, std::size_t{1000}}) {
        std::string many = "d5:filesd";
        for (std::size_t i = 0; i < count; ++i)
            many += "20:" + std::to_string(1000 + i) + std::string(16, 'h') + "d8:completei1ee";
        CHECK(std::get<scrape_reply>(parse_http_scrape_reply(as_bytes(many + "ee")).value()).torrents.size() ==
              std::min(count, scrape_hashes_max));
    }
    CHECK(std::get<scrape_reply>(parse_http_scrape_reply(as_bytes("d5:filesd3:abcdeee")).value()).torrents.empty());
    CHECK(std::holds_alternative<failure>(parse_http_scrape_reply(as_bytes("d14:failure reason1:xe")).value()));
}
