#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "network.hpp"

namespace {
using namespace shoal;
using testing::at;

dht::node_id id_of(std::string_view letters) {
    return *dht::node_id::from(as_bytes(letters));
}
template <class Kind>
Kind read(std::string_view datagram) {
    auto const parsed = dht::parse(as_bytes(datagram));
    REQUIRE(parsed);
    CHECK(as_text(parsed.value().transaction) == "aa");
    REQUIRE(std::holds_alternative<Kind>(parsed.value().content));
    return std::get<Kind>(parsed.value().content);
}
}  // namespace

TEST_CASE("the queries of BEP 5's examples are read", "[dht]") {
    auto const ping = read<dht::query>("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
    CHECK(ping.what == dht::method::ping);
    CHECK(ping.id == id_of("abcdefghij0123456789"));
    auto const find = read<dht::query>(
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe");
    CHECK(find.what == dht::method::find_node);
    CHECK(find.target == id_of("mnopqrstuvwxyz123456"));
    auto const get = read<dht::query>(
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe");
    CHECK(get.what == dht::method::get_peers);
    CHECK(get.target == id_of("mnopqrstuvwxyz123456"));
    auto const announce = read<dht::query>(
        "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:"
        "aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe");
    CHECK(announce.what == dht::method::announce_peer);
    CHECK(announce.implied_port);
    CHECK(announce.port == 6881);
    CHECK(as_text(announce.token) == "aoeusnth");
}

TEST_CASE("the replies of BEP 5's examples are read", "[dht]") {
    auto const told =
        read<dht::reply>("d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re");
    CHECK(told.id == id_of("abcdefghij0123456789"));
    REQUIRE(told.token);
    CHECK(as_text(*told.token) == "aoeusnth");
    CHECK(told.values == std::vector{at("97.120.106.101:11893"), at("105.100.104.116:28269")});
    CHECK(read<dht::failure>("d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee").code == 201);
}

TEST_CASE("what a node writes is read back as it was meant", "[dht]") {
    dht::reply told;
    told.id = id_of("abcdefghij0123456789");
    told.nodes = {{id_of("mnopqrstuvwxyz123456"), at("1.2.3.4:5")},
                  {id_of("mnopqrstuvwxyz123457"), at("[2001:db8::1]:6")}};
    told.values = {at("5.6.7.8:9"), at("[2001:db8::2]:10")};
    auto const token = as_bytes("12345678");
    told.token = token;
    auto const bytes = dht::encode(as_bytes("aa"), told, at("9.9.9.9:1"));
    auto const back = read<dht::reply>(as_text(bytes));
    CHECK(back.nodes == told.nodes);
    CHECK(back.values == told.values);
    CHECK(back.seen_as == at("9.9.9.9:1").address);
    CHECK(equal(*back.token, token));

    dht::query asked;
    asked.what = dht::method::announce_peer;
    asked.id = told.id;
    asked.target = id_of("mnopqrstuvwxyz123456");
    asked.port = 77;
    asked.implied_port = true;
    asked.token = token;
    auto const query = dht::encode(as_bytes("aa"), asked);
    auto const again = read<dht::query>(as_text(query));
    CHECK(again.what == asked.what);
    CHECK(again.target == asked.target);
    CHECK(again.port == 77);
    CHECK(again.implied_port);
}

TEST_CASE("what is no message of the DHT is refused", "[dht]") {
    std::string const id = "2:id20:abcdefghij0123456789";
    for (std::string const& each : std::vector<std::string>{
             "",
             "x",
             "le",
             "i1e",
             "de",
             "d1:t2:aae",
             "d1:t2:aa1:y1:qe",
             "d1:t2:aa1:y1:xe",
             "d1:t2:aa1:y1:re",
             "d1:ade1:q4:ping1:t2:aa1:y1:qe",
             "d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe",
             "d1:ad" + id + "e1:q9:find_node1:t2:aa1:y1:qe",
             "d1:ad" + id + "6:target3:abce1:q9:find_node1:t2:aa1:y1:qe",
             "d1:ad" + id + "9:info_hash20:mnopqrstuvwxyz1234564:porti0e5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe",
             "d1:ad" + id +
                 "9:info_hash20:mnopqrstuvwxyz1234564:porti65536e5:token1:xe1:q13:announce_peer1:t2:aa1:y1:qe",
             "d1:ad" + id + "9:info_hash20:mnopqrstuvwxyz1234564:porti80ee1:q13:announce_peer1:t2:aa1:y1:qe",
             "d1:rd2:id3:abce1:t2:aa1:y1:re",
             "d1:rle1:t2:aa1:y1:re",
             "d1:ad" + id + "e1:q4:ping1:t33:" + std::string(33, 't') + "1:y1:qe",
             "d1:ad" + id + "e1:q4:ping1:t2:aa1:y1:qex",
             std::string(150'000, 'l'),
             "d" + std::string(3000, 'd')}) {
        INFO(each.substr(0, 80));
        auto const read = dht::parse(as_bytes(each));
        CHECK_FALSE(read);
        if (!read) CHECK(is(read.error(), condition::peer_fault));
    }
}

TEST_CASE("of a reply what makes no sense is left out and the rest taken", "[dht]") {
    std::string const node = "mnopqrstuvwxyz123456\x01\x02\x03\x04";
    auto const told = read<dht::reply>("d1:rd2:id20:abcdefghij01234567895:nodes57:" + node +
                                       std::string("\x00\x00", 2) + node + std::string("\x00\x05", 2) +
                                       "short6:valuesl2:xx6:" + std::string("\x01\x02\x03\x04\x00\x00", 6) +
                                       "i5e6:axje.uee1:t2:aa1:y1:re");
    CHECK(told.nodes == std::vector<dht::contact>{{id_of("mnopqrstuvwxyz123456"), at("1.2.3.4:5")}});
    CHECK(told.values == std::vector{at("97.120.106.101:11893")});
    CHECK_FALSE(told.token);
}
