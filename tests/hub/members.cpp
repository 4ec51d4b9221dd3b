#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

import shoal.announce;
import shoal.core;
import shoal.hub;
import shoal.net;
import shoal.testing;

using namespace shoal;

namespace {
constexpr std::string_view anna = "0123456789abcdef0123456789abcdef";
constexpr std::string_view ben = "fedcba9876543210fedcba9876543210";

hub::member_list anna_alone() {
    hub::member_list members;
    REQUIRE(members.add("anna", anna));
    return members;
}

/// The passkey that a request with this target, and this Authorization field where there is one, shows.
std::string shown(std::string_view target, std::string_view authorization = {}) {
    std::vector<net::http_field> fields;
    if (!authorization.empty()) fields.push_back({"authorization", authorization});
    return hub::passkey_of(net::http_request{"GET", target, fields, {}, *endpoint::parse("192.0.2.1:5000")});
}

struct tracker {
    explicit tracker(hub::access who) : core({.who = who}, {}) { core.entrance.let_in(anna_alone()); }
    std::string get(std::string target) {
        net::http_request const request{"GET", target, {}, {}, *endpoint::parse("192.0.2.1:5000")};
        return core.answer(request, time_point{}).body;
    }
    std::string announce(std::string url) {
        announce::announce_request request;
        request.port = 1;
        return get(announce::announce_target(url, request));
    }
    /// The action of the reply to an announce by UDP with this URL data: 1 for an answer, 3 for an error.
    std::uint32_t announce_by_udp(std::string_view url_data) {
        auto const from = *endpoint::parse("192.0.2.1:5000");
        byte_vector packet, reply;
        announce::encode(packet, announce::udp_connect{7});
        core.answer({from, packet}, time_point{}, reply);
        auto const connected = announce::parse_udp_reply(reply, announce::udp_family::v4);
        packet.clear();
        reply.clear();
        announce::udp_announce asked;
        asked.connection = std::get<announce::udp_connected>(connected.value()).connection;
        asked.request.port = 1;
        asked.url_data = url_data;
        announce::encode(packet, asked);
        core.answer({from, packet}, time_point{}, reply);
        REQUIRE(reply.size() >= 4);
        return load_be<std::uint32_t>(byte_view{reply}.first<4>());
    }
    hub::service core;
};
bool is_refused(std::string const& body) {
    return body.find("14:failure reason") != std::string::npos &&
           body.find(announce::not_permitted) != std::string::npos;
}
}  // namespace

TEST_CASE("a member is known by the passkey, and the list keeps none", "[hub]") {
    auto const members = anna_alone();
    CHECK(members.member_with(anna).name == "anna");
    for (auto const& wrong : {std::string{}, std::string{ben}, std::string{anna}.substr(1), std::string{anna} + "0",
                              std::string(100'000, 'a')})
        CHECK(members.member_with(wrong).name.empty());
    auto const text = members.text();
    CHECK(text.find(anna) == std::string::npos);
    auto const read = hub::member_list::parse(text);
    REQUIRE(read);
    CHECK(read.value() == members);
}

TEST_CASE("a member who was taken out is known no more", "[hub]") {
    auto members = anna_alone();
    REQUIRE(members.add("ben", ben));
    CHECK(members.add("ben", "another").error() == hub::errc::member_exists);
    CHECK(members.names() == std::vector<std::string>{"anna", "ben"});
    CHECK(members.remove("anna"));
    CHECK_FALSE(members.remove("anna"));
    CHECK(members.member_with(anna).name.empty());
    CHECK(members.member_with(ben).name == "ben");
    REQUIRE(members.add("anna", "a new one"));
    CHECK(members.member_with(anna).name.empty());
}

TEST_CASE("a member's name is short and fit for a line of a file", "[hub]") {
    hub::member_list members;
    for (auto const& bad : {std::string{}, std::string(hub::member_name_max + 1, 'a'), std::string{"a b"},
                            std::string{"a\nb"}, std::string{"#a"}, std::string{"ä"}})
        CHECK(members.add(bad, anna).error() == hub::errc::bad_member_name);
    CHECK(members.add(std::string(hub::member_name_max, 'a'), anna));
    CHECK(members.add("b.c-d_e@example", ben));
}

TEST_CASE("a file of members that is damaged is refused whole", "[hub]") {
    auto const digest = std::string(64, 'a');
    CHECK(hub::member_list::parse("# comment\n\nanna " + digest + "\n"));
    CHECK(hub::member_list::parse("anna " + digest));
    for (auto const& bad :
         {std::string{"anna"}, "anna " + digest.substr(2), "anna  " + digest, "anna " + digest + " ", " " + digest,
          "anna " + digest + "\nanna " + std::string(64, 'b'), "anna " + digest + "\nben " + digest, "an/na " + digest})
        CHECK(hub::member_list::parse(bad).error() == hub::errc::bad_members);
}

TEST_CASE("a file of members that is not there has none, and one that cannot be read is an error", "[hub]") {
    testing::temporary_folder folder;
    auto const none = hub::load_members(folder.path() / "members");
    REQUIRE(none);
    CHECK(none.value().empty());
    CHECK_FALSE(hub::load_members(folder.path()));
    std::ofstream{folder.path() / "members"} << anna_alone().text();
    CHECK(hub::load_members(folder.path() / "members").value() == anna_alone());
}

TEST_CASE("a passkey is shown in the query, as a Basic password, or as a Bearer token", "[hub]") {
    CHECK(shown("/announce?passkey=abc&x=1") == "abc");
    CHECK(shown("/", "Basic YW5uYTphYmM=") == "abc");  // anna:abc
    CHECK(shown("/", "basic OmFiYw==") == "abc");      // :abc
    CHECK(shown("/", "Basic YW5uYTphOmI=") == "a:b");  // anna:a:b
    CHECK(shown("/", "Bearer abc") == "abc");
    CHECK(shown("/?passkey=abc", "Bearer other") == "abc");
    for (auto const* const odd : {"Basic", "Basic ", "Basic !!!!", "Basic YW5uYQ==", "Basic YW5uYTphYmM", "Digest abc",
                                  "Negotiate YW5uYTphYmM="})
        CHECK(shown("/", odd).empty());
    CHECK(shown("/", "Basic " + std::string(1u << 20, 'A')).empty());
}

TEST_CASE("who may go where without a passkey depends on the kind of hub", "[hub]") {
    using hub::room;
    auto const admits = [](hub::access who, room where, std::string_view passkey) {
        hub::gate entrance{who};
        entrance.let_in(anna_alone());
        return entrance.admits(where, passkey);
    };
    for (auto const where : {room::announces, room::counts, room::all}) {
        CHECK(admits(hub::access::open, where, ""));
        CHECK(admits(hub::access::counts, where, "") == (where != room::all));
        CHECK_FALSE(admits(hub::access::members, where, ""));
        CHECK_FALSE(admits(hub::access::members, where, ben));
        for (auto const who : {hub::access::open, hub::access::counts, hub::access::members})
            CHECK(admits(who, where, anna));
    }
}

TEST_CASE("a private hub answers announces of members alone, by HTTP and by UDP", "[hub]") {
    tracker at{hub::access::members};
    auto const with_key = "/announce?passkey=" + std::string{anna};
    CHECK(is_refused(at.announce("/announce")));
    CHECK(is_refused(at.announce("/announce?passkey=" + std::string{ben})));
    CHECK_FALSE(is_refused(at.announce(with_key)));
    CHECK(is_refused(at.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa")));
    CHECK_FALSE(is_refused(at.get("/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa&passkey=" + std::string{anna})));
    CHECK(at.get("/healthz") == "ok\n");
    CHECK(at.announce_by_udp("/announce") == 3);
    CHECK(at.announce_by_udp(with_key) == 1);
    CHECK(at.core.numbers().http_announces == 1);
    CHECK(at.core.numbers().udp_announces == 1);
    CHECK(at.core.numbers().not_permitted == 4);
}

TEST_CASE("a session is offered to whom it would be given", "[hub]") {
    auto const offers = [](hub::access who, std::string const& url) {
        tracker at{who};
        announce::announce_request request;
        request.port = 1;
        std::string_view const shoal = "-SL0001-";
        std::ranges::copy(as_bytes(shoal), request.peer.bytes.begin());
        return at.get(announce::announce_target(url, request)).find("shoal session") != std::string::npos;
    };
    CHECK(offers(hub::access::open, "/announce"));
    CHECK_FALSE(offers(hub::access::counts, "/announce"));
    CHECK(offers(hub::access::counts, "/announce?passkey=" + std::string{anna}));
    CHECK(offers(hub::access::members, "/announce?passkey=" + std::string{anna}));
}

TEST_CASE("who came with a passkey that was replaced is out, though there is a member of that name", "[hub]") {
    hub::gate entrance{hub::access::members};
    auto members = anna_alone();
    entrance.let_in(members);
    auto const card = entrance.card_of(anna);
    CHECK(entrance.is_still_in(card));
    members.remove("anna");
    REQUIRE(members.add("anna", ben));
    entrance.let_in(members);
    CHECK_FALSE(entrance.is_still_in(card));
    CHECK(entrance.is_still_in(entrance.card_of(ben)));
    CHECK_FALSE(entrance.is_still_in(entrance.card_of("")));
}
