#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

import shoal.core;

using namespace shoal;
using namespace std::string_view_literals;

namespace {
ip_address address(std::string_view text) {
    CAPTURE(text);
    auto const parsed = ip_address::parse(text);
    REQUIRE(parsed);
    return *parsed;
}
}  // namespace

TEST_CASE("an address is read and written in its canonical form", "[core]") {
    struct row {
        std::string_view text, canonical;
    };
    for (auto const& [text, canonical] :
         {row{"0.0.0.0", "0.0.0.0"}, row{"127.0.0.1", "127.0.0.1"}, row{"255.255.255.255", "255.255.255.255"},
          row{"::", "::"}, row{"::1", "::1"}, row{"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
          row{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"}, row{"fe80::1", "fe80::1"}, row{"::ffff:1.2.3.4", "1.2.3.4"},
          row{"::FFFF:0102:0304", "1.2.3.4"}, row{"0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4"},
          row{"64:ff9b::1.2.3.4", "64:ff9b::102:304"}}) {
        CAPTURE(text);
        auto const parsed = ip_address::parse(text);
        REQUIRE(parsed);
        CHECK(parsed->to_string() == canonical);
        CHECK(parsed->is_v4() == (canonical.find(':') == std::string_view::npos));
        CHECK(address(parsed->to_string()) == *parsed);
    }
}

TEST_CASE("text that is no plain address is refused", "[core]") {
    for (auto const text :
         {""sv, " "sv, "localhost"sv, "1"sv, "1.2.3"sv, "1.2.3.4.5"sv, "1.2.3.256"sv, "1.2.3.-4"sv, "1..2.3"sv,
          "1.2.3.4 "sv, " 1.2.3.4"sv, "1.2.3.4\n"sv, "01.2.3.4"sv, "1.2.3.04"sv, "0x1.2.3.4"sv, "0177.0.0.1"sv,
          "2130706433"sv, "1.2.3.4/8"sv, "1.2.3.4:80"sv, "1.2.3.4\0"sv, "1.2.3.4\0x"sv, "\0"sv,
          // IPv6
          ":"sv, ":::"sv, "1::2::3"sv, "1:2:3:4:5:6:7"sv, "1:2:3:4:5:6:7:8:9"sv, "12345::"sv, "g::"sv, "[::1]"sv,
          "::1/64"sv, "::1 "sv, "::ffff:1.2.3"sv, "::ffff:1.2.3.256"sv, "::1\0"sv,
          // zone ids name an interface of this machine: no stranger may choose one
          "fe80::1%eth0"sv, "fe80::1%1"sv, "fe80::1%"sv, "::1%lo"sv, "1.2.3.4%lo"sv,
          // digits that are not ASCII
          "\xef\xbc\x91.2.3.4"sv}) {
        CAPTURE(text);
        CHECK_FALSE(ip_address::parse(text));
        if (!text.starts_with('[')) CHECK_FALSE(endpoint::parse(std::string{text} + ":80"));
    }
}

TEST_CASE("a v4-mapped address is the IPv4 address", "[core]") {
    auto const plain = ip_address::v4({1, 2, 3, 4});
    std::array<std::uint8_t, 16> const mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4};
    for (auto const& same : {ip_address::v6(mapped), address("::ffff:1.2.3.4"), address("::ffff:102:304"),
                             ip_address::from(as_bytes("\1\2\3\4"sv)).value(),
                             ip_address::from(as_bytes("\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4"sv)).value()}) {
        CHECK(same == plain);
        CHECK(same.is_v4());
        CHECK(same.bytes().size() == 4);
        CHECK(std::hash<ip_address>{}(same) == std::hash<ip_address>{}(plain));
    }
    CHECK(endpoint::parse("[::ffff:1.2.3.4]:80") == endpoint::parse("1.2.3.4:80"));
    // near misses stay IPv6
    for (auto const other : {"::fffe:1.2.3.4", "::1.2.3.4", "1::ffff:1.2.3.4", "::ffff:0:1.2.3.4"}) {
        CHECK(address(other) != plain);
        CHECK_FALSE(address(other).is_v4());
        CHECK(address(other).bytes().size() == 16);
    }
}

TEST_CASE("an address comes from 4 or 16 bytes and gives them back", "[core]") {
    for (std::size_t size = 0; size <= 18; ++size) {
        byte_vector bytes;
        for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<std::byte>(0x20 + i));
        auto const made = ip_address::from(bytes);
        REQUIRE(made.has_value() == (size == 4 || size == 16));
        if (made) CHECK(equal(made->bytes(), bytes));
    }
}

TEST_CASE("addresses know what they are for", "[core]") {
    struct row {
        std::string_view text;
        bool unspecified, loopback, local, multicast;
    };
    for (auto const& [text, unspecified, loopback, local, multicast] :
         {row{"0.0.0.0", true, false, true, false},
          row{"::", true, false, true, false},
          row{"::ffff:0.0.0.0", true, false, true, false},
          row{"0.0.0.1", false, false, true, false},
          row{"126.255.255.255", false, false, false, false},
          row{"127.0.0.0", false, true, true, false},
          row{"127.255.255.255", false, true, true, false},
          row{"128.0.0.0", false, false, false, false},
          row{"::ffff:127.0.0.1", false, true, true, false},
          row{"::1", false, true, true, false},
          row{"::2", false, false, false, false},
          row{"1::1", false, false, false, false},
          row{"9.255.255.255", false, false, false, false},
          row{"10.0.0.0", false, false, true, false},
          row{"10.255.255.255", false, false, true, false},
          row{"11.0.0.0", false, false, false, false},
          row{"172.15.255.255", false, false, false, false},
          row{"172.16.0.0", false, false, true, false},
          row{"172.31.255.255", false, false, true, false},
          row{"172.32.0.0", false, false, false, false},
          row{"192.167.255.255", false, false, false, false},
          row{"192.168.0.0", false, false, true, false},
          row{"192.168.255.255", false, false, true, false},
          row{"192.169.0.0", false, false, false, false},
          row{"169.253.255.255", false, false, false, false},
          row{"169.254.0.0", false, false, true, false},
          row{"169.255.0.0", false, false, false, false},
          row{"223.255.255.255", false, false, false, false},
          row{"224.0.0.0", false, false, false, true},
          row{"239.255.255.255", false, false, false, true},
          row{"240.0.0.0", false, false, false, false},
          row{"fbff::", false, false, false, false},
          row{"fc00::", false, false, true, false},
          row{"fdff::", false, false, true, false},
          row{"fe00::", false, false, false, false},
          row{"fe7f::", false, false, false, false},
          row{"fe80::", false, false, true, false},
          row{"febf::", false, false, true, false},
          row{"fec0::", false, false, false, false},
          row{"feff::", false, false, false, false},
          row{"ff00::", false, false, false, true},
          row{"ff02::1", false, false, false, true},
          row{"2001:db8::1", false, false, false, false}}) {
        CAPTURE(text);
        auto const at = address(text);
        CHECK(at.is_unspecified() == unspecified);
        CHECK(at.is_loopback() == loopback);
        CHECK(at.is_local() == local);
        CHECK(at.is_multicast() == multicast);
    }
}

TEST_CASE("an endpoint is read and written, IPv6 in brackets", "[core]") {
    struct row {
        std::string_view text, canonical;
        std::uint16_t port;
    };
    for (auto const& [text, canonical, port] :
         {row{"1.2.3.4:80", "1.2.3.4:80", 80}, row{"1.2.3.4:0", "1.2.3.4:0", 0},
          row{"1.2.3.4:65535", "1.2.3.4:65535", 65535}, row{"[::1]:6881", "[::1]:6881", 6881},
          row{"[::]:1", "[::]:1", 1}, row{"[2001:DB8::0:1]:65535", "[2001:db8::1]:65535", 65535},
          row{"[::ffff:1.2.3.4]:80", "1.2.3.4:80", 80}}) {
        CAPTURE(text);
        auto const parsed = endpoint::parse(text);
        REQUIRE(parsed);
        CHECK(parsed->port == port);
        CHECK(parsed->to_string() == canonical);
        CHECK(endpoint::parse(parsed->to_string()) == parsed);
    }
}

TEST_CASE("text that is no endpoint is refused", "[core]") {
    for (auto const text : {""sv, ":"sv, ":80"sv, "80"sv, "1.2.3.4"sv, "1.2.3.4:"sv, "host:80"sv, " 1.2.3.4:80"sv,
                            "1.2.3.4:80 "sv, "1.2.3.4 :80"sv, "1.2.3.4: 80"sv, "1.2.3.4:+80"sv, "1.2.3.4:-1"sv,
                            "1.2.3.4:0x50"sv, "1.2.3.4:8a"sv, "1.2.3.4:65536"sv, "1.2.3.4:99999999999999999999"sv,
                            "1.2.3.4:80:"sv, "1.2.3.4::80"sv, "1.2.3.4:80\0"sv, "1.2.3.4:8\0"sv, "1.2.3.4\0:80"sv,
                            // brackets are for IPv6, and IPv6 needs them
                            "::1"sv, "::1:80"sv, "2001:db8::1:80"sv, "[1.2.3.4]:80"sv, "[]:80"sv, "[:80"sv, "]:80"sv,
                            "[::1:80"sv, "::1]:80"sv, "[[::1]]:80"sv, "[::1]80"sv, "[::1]"sv, "[::1]:"sv, "[::1] :80"sv,
                            "[ ::1]:80"sv, "[::1]x:80"sv, "x[::1]:80"sv, "[::1]:80:80"sv, "(::1):80"sv,
                            // zone ids
                            "[fe80::1%eth0]:80"sv, "[fe80::1%25eth0]:80"sv, "[fe80::1]%eth0:80"sv}) {
        CAPTURE(text);
        CHECK_FALSE(endpoint::parse(text));
    }
}

TEST_CASE("the customer of an address is the address, or the /64 of an IPv6 one", "[core]") {
    auto const of = [](std::string_view text) { return ip_address::parse(text).value().customer(); };
    CHECK(of("192.0.2.1") == ip_address::parse("192.0.2.1"));
    CHECK(of("192.0.2.1") != of("192.0.2.2"));
    CHECK(of("2001:db8:1:2:3:4:5:6") == ip_address::parse("2001:db8:1:2::"));
    CHECK(of("2001:db8:1:2:ffff::") == of("2001:db8:1:2::1"));
    CHECK(of("2001:db8:1:3::1") != of("2001:db8:1:2::1"));
    CHECK(of("127.0.0.1").is_loopback());
}

TEST_CASE("the site of an address is the address, or the /48 of an IPv6 one", "[core]") {
    auto const of = [](std::string_view text) { return ip_address::parse(text).value().site(); };
    CHECK(of("192.0.2.1") == ip_address::parse("192.0.2.1"));
    CHECK(of("::ffff:192.0.2.1") == ip_address::parse("192.0.2.1"));
    CHECK(of("2001:db8:1:2:3:4:5:6") == ip_address::parse("2001:db8:1::"));
    CHECK(of("2001:db8:1:ffff::") == of("2001:db8:1::1"));
    CHECK(of("2001:db8:2::1") != of("2001:db8:1::1"));
    CHECK(of("2001:db8:1:2::1") == of("2001:db8:1:2::1").site());
}

TEST_CASE("of a crowd each customer has a share, and all of an IPv6 site four", "[core]") {
    struct row {
        char const* address;
        bool is_let_in;
    };
    // Two for each customer.
    for (auto const& rows : std::vector<std::vector<row>>{
             {{"192.0.2.1", true}, {"192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true}},
             {{"::ffff:192.0.2.1", true}, {"192.0.2.1", true}, {"::ffff:192.0.2.1", false}},
             {{"2001:db8:1:1::1", true}, {"2001:db8:1:1:ff::2", true}, {"2001:db8:1:1::3", false}},
             {{"2001:db8:1:1::", true},
              {"2001:db8:1:2::", true},
              {"2001:db8:1:3::", true},
              {"2001:db8:1:4::", true},
              {"2001:db8:1:5::", true},
              {"2001:db8:1:6::", true},
              {"2001:db8:1:7::", true},
              {"2001:db8:1:8::", true},
              {"2001:db8:1:9::", false},
              {"2001:db8:2:9::", true}}}) {
        crowd there;
        std::vector<ip_address> in;
        for (auto const& [text, is_let_in] : rows) {
            INFO(text);
            auto const who = ip_address::parse(text).value();
            CHECK(there.has_room_for(who, 2) == is_let_in);
            if (!is_let_in) continue;
            there.add(who);
            in.push_back(who);
        }
        for (auto const& each : in) there.remove(each);
        for (auto const& each : in) CHECK(there.has_room_for(each, 1));
    }
}

TEST_CASE("endpoints are ordered by address, then port, and differ in both", "[core]") {
    auto const at = [](std::string_view text) { return endpoint::parse(text).value(); };
    CHECK(at("1.2.3.4:80") < at("1.2.3.4:81"));
    CHECK(at("1.2.3.4:65535") < at("1.2.3.5:1"));
    CHECK(at("1.2.3.4:80") != at("1.2.3.5:80"));
    CHECK(endpoint{} == at("0.0.0.0:0"));
    std::set<std::size_t> hashes;
    for (auto const text : {"1.2.3.4:80", "1.2.3.4:81", "1.2.3.5:80", "[::1]:80", "[::1.2.3.4]:80"})
        hashes.insert(std::hash<endpoint>{}(at(text)));
    CHECK(hashes.size() == 5);
}
