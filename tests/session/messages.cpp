#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "values.hpp"

import shoal.bencode;
import shoal.core;
import shoal.session;

using namespace shoal;
using namespace shoal::session;
using namespace values;
using namespace std::chrono_literals;

namespace {
std::error_code error_of(std::string_view message) {
    auto const parsed = parse_peer_message(as_bytes(message));
    return parsed ? std::error_code{} : parsed.error();
}
std::string string_of(std::string_view content) {
    return std::to_string(content.size()) + ":" + std::string{content};
}
template <class Any, class Message>
void survives(Message const& message, result<Any> (*parse)(byte_view)) {
    auto const bytes = encode(Any{message});
    auto const back = parse(bytes);
    REQUIRE(back);
    REQUIRE(std::holds_alternative<Message>(back.value()));
    CHECK(std::get<Message>(back.value()) == message);
}
status some_status() {
    status said;
    said.torrent = hash_of('s');
    said.number = 1u << 20;
    said.gained = {piece_index{0}, piece_index{1}, piece_index{7}};
    said.lost = {piece_index{3}};
    said.uploaded = 10, said.downloaded = 20, said.up_rate = 30, said.down_rate = 40;
    said.serving.emplace({served{at("192.0.2.1:6881"), 5, 6}, served{at("[2001:db8::1]:1"), 7, 8}});
    said.is_asked = true;
    return said;
}
}  // namespace

TEST_CASE("every message of a peer is read as it was written", "[session]") {
    hello first;
    first.id = *peer_id::from(as_bytes("-SL0010-abcdefghijkl"));
    first.port = 6881;
    first.client = "Shoal 0.1";
    survives<peer_message>(first, parse_peer_message);
    first.resume.emplace();
    first.resume->fill(std::byte{7});
    survives<peer_message>(first, parse_peer_message);
    survives<peer_message>(join{hash_of('j'), 1'000'000, pieces_of(17, {0, 16}), 1, 2}, parse_peer_message);
    survives<peer_message>(some_status(), parse_peer_message);
    survives<peer_message>(leave{hash_of('l'), true}, parse_peer_message);
    survives<peer_message>(leave{hash_of('l'), false}, parse_peer_message);
    survives<peer_message>(ask_peers{hash_of('a')}, parse_peer_message);
    survives<peer_message>(publish{hash_of('p'), byte_vector(100, std::byte{1})}, parse_peer_message);
    survives<peer_message>(unpublish{hash_of('u')}, parse_peer_message);
}

TEST_CASE("every message of a hub is read as it was written", "[session]") {
    welcome hello_back;
    hello_back.seen_as = *ip_address::parse("2001:db8::7");
    hello_back.every = 250ms;
    hello_back.torrents = {{hash_of('r'), 12}};
    survives<hub_message>(hello_back, parse_hub_message);
    survives<hub_message>(wait{30s, 4}, parse_hub_message);
    peer_set set;
    set.torrent = hash_of('s');
    set.is_whole = true;
    set.peers.push_back({at("192.0.2.1:6881"), "Shoal", true, true, 1, 2, pieces_of(9, {8}), {}});
    set.peers.push_back({at("[2001:db8::1]:51413"), "", false, false, 0, 0, std::nullopt, {piece_index{4}}});
    set.gone = {at("192.0.2.9:1")};
    survives<hub_message>(set, parse_hub_message);
    for (auto const what : {request::hello, request::join, request::status, request::leave, request::peers,
                            request::publish, request::unpublish}) {
        survives<hub_message>(done{what, hash_of('d')}, parse_hub_message);
        survives<hub_message>(refused{what, hash_of('d'), "no room"}, parse_hub_message);
    }
}

TEST_CASE("pieces that follow each other are told as one range", "[session]") {
    status said;
    said.torrent = hash_of('s');
    for (std::uint32_t i = 0; i < 10'000; ++i) said.gained.push_back(piece_index{i});
    CHECK(encode(peer_message{said}).size() < 200);
    survives<peer_message>(said, parse_peer_message);
}

TEST_CASE("messages of later versions are told from broken ones", "[session]") {
    CHECK(error_of("d1:t7:somedaye") == errc::unknown_kind);
    CHECK(error_of("d1:t7:welcomee") == errc::unknown_kind);                           // the hub's word, not a peer's
    CHECK(parse_hub_message(as_bytes("d1:t5:helloe")).error() == errc::unknown_kind);  // nor the other way round
    CHECK(error_of("d6:client1:x2:id20:" + std::string(20, 'i') + "4:porti1e1:t5:hello1:vi2ee") ==
          errc::unsupported_version);
    // A key that this version does not know is passed over.
    CHECK_FALSE(error_of("d1:h20:" + std::string(20, 'h') + "5:later3:abc1:t9:ask_peerse"));
}

TEST_CASE("broken messages are refused", "[session]") {
    auto const about = "1:h20:" + std::string(20, 'h');
    auto const joined = [&](std::string const& have, std::string const& count) {
        return "d" + about + "4:have" + string_of(have) + "1:ni" + count + "e4:sizei1e1:t4:joine";
    };
    auto const told = [&](std::string const& got) {
        return "d4:downi0e3:got" + got + about + "3:seqi1e1:t6:status2:upi0ee";
    };
    CHECK_FALSE(error_of(joined("\x80", "8")));
    CHECK_FALSE(error_of(told("li0ei1ee")));
    for (auto const& bad : {std::string{}, std::string{"i1e"}, std::string{"le"}, std::string{"de"},
                            std::string{"d1:ti1ee"}, std::string{"d1:t5:leave"}, std::string{"d1:t5:leavee"},
                            "d1:h19:" + std::string(19, 'h') + "1:t5:leavee", std::string(100'000, 'l')})
        CHECK(error_of(bad) == errc::malformed);
    for (auto const& bad : {joined("\x80", "0"), joined("\x80", "-1"), joined("\x80", "9"), joined("\x81", "7"),
                            joined("", "1"), joined("\x80", "2097153"), told("li-1ei1ee"), told("li0ei0ee"),
                            told("li2097152ei1ee"), told("li0ei9223372036854775807ee")})
        CHECK(error_of(bad) == errc::out_of_range);
    CHECK(error_of(told("li0ee")) == errc::malformed);
    CHECK(error_of(told("l1:xi1ee")) == errc::malformed);
    CHECK(error_of(told("i1e")) == errc::malformed);
}

TEST_CASE("limits hold at their edge", "[session]") {
    auto const with_changes = [](std::size_t count) {
        auto said = some_status();
        said.gained.clear();
        for (std::uint32_t i = 0; i < count; ++i) said.gained.push_back(piece_index{2 * i});
        return parse_peer_message(encode(peer_message{said}));
    };
    CHECK(with_changes(changes_max));
    CHECK(with_changes(changes_max + 1).error() == errc::too_large);

    auto const serving = [](std::size_t count) {
        auto said = some_status();
        said.serving->assign(count, served{at("192.0.2.1:1"), 1, 1});
        return parse_peer_message(encode(peer_message{said}));
    };
    CHECK(serving(served_max));
    CHECK(serving(served_max + 1).error() == errc::too_large);

    auto const named = [](std::size_t length) {
        hello said;
        said.client.assign(length, 'x');
        return parse_peer_message(encode(peer_message{said}));
    };
    CHECK(named(text_max));
    CHECK(named(text_max + 1).error() == errc::too_large);

    auto const published = [](std::size_t length) {
        return parse_peer_message(encode(peer_message{publish{hash_of('p'), byte_vector(length)}}));
    };
    CHECK(published(metainfo_max));
    CHECK(published(metainfo_max + 1).error() == errc::too_large);

    auto const of_set = [](std::size_t count) {
        peer_set set;
        set_member one;
        one.at = at("192.0.2.1:1");
        set.peers.assign(count, one);
        return parse_hub_message(encode(hub_message{set}));
    };
    CHECK(of_set(set_max));
    CHECK(of_set(set_max + 1).error() == errc::too_large);
}

TEST_CASE("a message cut anywhere is refused", "[session]") {
    auto const whole = encode(peer_message{some_status()});
    for (std::size_t length = 0; length < whole.size(); ++length)
        CHECK_FALSE(parse_peer_message(byte_view{whole}.first(length)));
}

TEST_CASE("each refusal of the session protocol has a sentence of its own", "[session]") {
    std::set<std::string> sentences;
    for (int i = 1; i <= static_cast<int>(errc::unsupported_version); ++i) {
        auto const code = make_error_code(static_cast<errc>(i));
        CHECK(code == condition::peer_fault);
        CHECK(sentences.insert(code.message()).second);
    }
    CHECK(make_error_code(errc::malformed).category().name() == std::string_view{"shoal.session"});
    CHECK_FALSE(sentences.contains(make_error_code(static_cast<errc>(99)).message()));
}
