#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import shoal.hub;

using namespace shoal::hub;

TEST_CASE("browsers may call a hub by address, as localhost, or by a name it was given", "[hub]") {
    std::vector<std::string> const names{"hub.example", "HUB"};
    for (auto const* ours :
         {"127.0.0.1", "127.0.0.1:6969", "192.0.2.7:80", "[::1]", "[::1]:6969", "[2001:db8::1]:1", "localhost",
          "localhost:6969", "LOCALHOST", "hub.example", "hub.example:6969", "HUB.EXAMPLE", "hub:1"}) {
        INFO(ours);
        CHECK(is_our_host(ours, names));
    }
    for (auto const* strange : {"",
                                "evil.test",
                                "evil.test:6969",
                                "127.0.0.1.evil.test",
                                "localhost.evil.test",
                                "hub.example.evil.test",
                                "evil.test:localhost",
                                "[::1",
                                "[::1]x",
                                "[evil.test]",
                                "127.0.0.1:",
                                "127.0.0.1:80:80",
                                "127.0.0.1:x",
                                "::1",
                                "localhost ",
                                " localhost",
                                "0x7f000001",
                                "127.1",
                                "hub.example@evil.test",
                                "a:123456"}) {
        INFO(strange);
        CHECK_FALSE(is_our_host(strange, names));
    }
    CHECK_FALSE(is_our_host("hub.example", {}));
    CHECK_FALSE(is_our_host("", {""}));
}

TEST_CASE("only pages that the hub served may ask it", "[hub]") {
    for (auto const& [origin, host] :
         std::vector<std::pair<std::string, std::string>>{{"", "127.0.0.1:6969"},
                                                          {"http://127.0.0.1:6969", "127.0.0.1:6969"},
                                                          {"https://hub.example", "hub.example"},
                                                          {"http://HUB.example", "hub.EXAMPLE"}}) {
        INFO(origin);
        CHECK(is_our_origin(origin, host));
    }
    for (auto const& [origin, host] :
         std::vector<std::pair<std::string, std::string>>{{"null", "127.0.0.1:6969"},
                                                          {"http://evil.test", "127.0.0.1:6969"},
                                                          {"http://127.0.0.1", "127.0.0.1:6969"},
                                                          {"http://127.0.0.1:6970", "127.0.0.1:6969"},
                                                          {"ftp://127.0.0.1:6969", "127.0.0.1:6969"},
                                                          {"http://127.0.0.1:6969/", "127.0.0.1:6969"},
                                                          {"127.0.0.1:6969", "127.0.0.1:6969"},
                                                          {"http://127.0.0.1:6969.evil.test", "127.0.0.1:6969"}}) {
        INFO(origin);
        CHECK_FALSE(is_our_origin(origin, host));
    }
}
