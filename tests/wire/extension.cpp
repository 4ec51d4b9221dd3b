#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;
using namespace std::chrono_literals;

namespace {
extension_handshake_message parsed(std::string_view text) {
    auto read = parse_extension_handshake(as_bytes(text));
    REQUIRE(read);
    return std::move(read).value();
}
std::error_code refused(std::string_view text) {
    auto const read = parse_extension_handshake(as_bytes(text));
    return read ? std::error_code{} : read.error();
}
std::string string_of(std::string const& text) {
    return std::to_string(text.size()) + ":" + text;
}
std::string names(int count) {
    std::string out = "d1:md";
    for (int i = 0; i < count; ++i)
        out += string_of("name" + std::to_string(1000 + i)) + "i" + std::to_string(i + 1) + "e";
    return out + "ee";
}
byte_vector handshake_of(std::string const& dictionary) {
    return message_of(20, as_bytes(std::string(1, '\0') + dictionary));
}
}  // namespace

TEST_CASE("an extension handshake is read as it was written", "[wire]") {
    extension_handshake_message const said{.m = {{"ut_metadata", std::uint8_t{3}}, {"ut_pex", std::uint8_t{1}}},
                                           .reqq = 2000,
                                           .p = std::uint16_t{6881},
                                           .v = "Shoal 0.1",
                                           .yourip = ip_address::v4({10, 0, 0, 1}),
                                           .metadata_size = 31235,
                                           .upload_only = true};
    auto const bytes = encode(said);
    CHECK(as_text(bytes) ==
          "d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi2000e11:upload_onlyi1e"
          "1:v9:Shoal 0.16:yourip4:\x0a" +
              std::string("\0\0\1e", 4));
    CHECK(parsed(as_text(bytes)) == said);
    CHECK(parsed(as_text(encode(extension_handshake_message{}))) == extension_handshake_message{});
}

TEST_CASE("the example of BEP 10 is read", "[wire]") {
    auto const heard = parsed("d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e");
    CHECK(heard.m.at("LT_metadata") == 1);
    CHECK(heard.p == 6881);
}

TEST_CASE("values of a wrong type or out of range are left out", "[wire]") {
    CHECK(parsed("d1:mi1e1:p1:x4:reqq2:ab1:vi3e6:yourip3:abce") == extension_handshake_message{});
    for (auto const* port : {"0", "-1", "65536", "9223372036854775807"})
        CHECK_FALSE(parsed("d1:pi" + std::string(port) + "ee").p);
    CHECK(parsed("d1:pi65535ee").p == 65535);
    for (auto const* size : {"-1", "0", "4294967296"})
        CHECK_FALSE(parsed("d13:metadata_sizei" + std::string(size) + "ee").metadata_size);
    CHECK(parsed("d13:metadata_sizei2147483648ee").metadata_size == 2147483648);
    CHECK_FALSE(parsed("d4:reqqi-5ee").reqq);
    CHECK(parsed("d11:upload_onlyi0ee").upload_only == false);
    CHECK(parsed("d6:yourip16:" + std::string(16, 'a') + "e").yourip.has_value());
}

TEST_CASE("ids out of range and ids used twice are left out", "[wire]") {
    CHECK(parsed("d1:md1:ai255e1:bi256e1:ci-1e1:di0e1:ei255e1:f1:xee").m ==
          std::map<std::string, std::uint8_t>{{"a", std::uint8_t{255}}, {"d", std::uint8_t{0}}});
}

TEST_CASE("of a key that an extension handshake repeats the first counts, whatever it holds", "[wire]") {
    CHECK(parsed("d1:md1:ai1ee1:md1:ai2e1:bi3eee").m == std::map<std::string, std::uint8_t>{{"a", std::uint8_t{1}}});
    CHECK(parsed("d1:mde1:md1:ai2eee").m.empty());
    CHECK(parsed("d1:mi0e1:md1:ai2eee").m.empty());
    CHECK(parsed("d1:md1:ai1e1:ai2e1:bi2eee").m ==
          std::map<std::string, std::uint8_t>{{"a", std::uint8_t{1}}, {"b", std::uint8_t{2}}});
    CHECK(parsed("d1:md1:ai256e1:ai2eee").m.empty());
    auto const twice = parsed(
        "d13:metadata_sizei1e13:metadata_sizei2e1:pi1e1:pi2e4:reqqi1e4:reqqi2e11:upload_onlyi0e11:upload_onlyi1e"
        "1:v3:one1:v3:two6:yourip4:aaaa6:yourip4:bbbbe");
    CHECK(twice == extension_handshake_message{.reqq = 1,
                                               .p = std::uint16_t{1},
                                               .v = "one",
                                               .yourip = ip_address::from(as_bytes("aaaa")),
                                               .metadata_size = 1,
                                               .upload_only = false});
    CHECK(parsed("d1:p1:x1:pi2e4:reqqi-1e4:reqqi2e1:vi1e1:v3:twoe") == extension_handshake_message{});
}

TEST_CASE("an extension handshake that is no dictionary is refused", "[wire]") {
    for (auto const* text : {"", "i1e", "le", "4:spam", "d", "d1:m", "x", "d1:ae"})
        CHECK(refused(text) == errc::bad_extension_handshake);
    CHECK(refused(std::string(1000, 'l')) == errc::bad_extension_handshake);
    CHECK(refused(std::string(1000, 'd')) == errc::bad_extension_handshake);
    CHECK(refused("d1:m" + std::string(1000, 'l') + std::string(1000, 'e') + "e") == errc::bad_extension_handshake);
}

TEST_CASE("names and lengths are bounded", "[wire]") {
    auto const most = static_cast<int>(extension_names_max);
    CHECK(parsed(names(most - 1)).m.size() == extension_names_max - 1);
    CHECK(parsed(names(most)).m.size() == extension_names_max);
    CHECK(refused(names(most + 1)) == errc::bad_extension_handshake);
    CHECK(refused(names(100'000)) == errc::bad_extension_handshake);
    for (std::size_t length :
         {extension_name_length_max - 1, extension_name_length_max, extension_name_length_max + 1}) {
        auto const read = parsed("d1:md" + string_of(std::string(length, 'n')) + "i1eee");
        CHECK(read.m.size() == (length <= extension_name_length_max));
    }
    for (std::size_t length :
         {client_name_length_max - 1, client_name_length_max, client_name_length_max + 1, std::size_t{60'000}})
        CHECK(parsed("d1:v" + string_of(std::string(length, 'v')) + "e").v->size() ==
              std::min(length, client_name_length_max));
    auto const whole = [](std::size_t length) {
        return "d1:v" + string_of(std::string(length - 11, 'v')) + "e";  // 5 digits and a colon
    };
    REQUIRE(whole(extension_handshake_length_max).size() == extension_handshake_length_max);
    CHECK_FALSE(refused(whole(extension_handshake_length_max - 1)));
    CHECK_FALSE(refused(whole(extension_handshake_length_max)));
    CHECK(refused(whole(extension_handshake_length_max + 1)) == errc::bad_extension_handshake);
}

TEST_CASE("later handshakes add to the earlier ones", "[wire]") {
    connection to{defaults(), start};
    REQUIRE(to.receive(handshake_of("d1:md1:ai1e1:bi2ee1:pi7e1:v3:onee"), start));
    REQUIRE(to.receive(handshake_of("d1:md1:bi0e1:ci1ee1:v3:twoe"), start + 1s));
    CHECK(events(to) == lines{"extension handshake", "extension handshake"});
    auto const& known = to.peer_extensions();
    CHECK(known.m == std::map<std::string, std::uint8_t>{{"b", std::uint8_t{0}}, {"c", std::uint8_t{1}}});
    CHECK(known.p == 7);
    CHECK(known.v == "two");
    for (int round = 0; round < 10; ++round) {
        std::string more = "d1:md";
        for (int i = 0; i < 60; ++i) more += string_of(std::to_string(1000 + round * 60 + i)) + "i0e";
        REQUIRE(to.receive(handshake_of(more + "ee"), start + (2 + round) * 1s));
    }
    CHECK(to.peer_extensions().m.size() == extension_names_max);
}

TEST_CASE("handshakes that follow each other too fast are ignored", "[wire]") {
    connection to{defaults(), start};
    REQUIRE(to.receive(handshake_of("d1:v3:onee"), start));
    REQUIRE(to.receive(handshake_of("d1:v3:twoe"), start + 999ms));
    CHECK(events(to) == lines{"extension handshake"});
    CHECK(to.peer_extensions().v == "one");
    REQUIRE(to.receive(handshake_of("d1:v5:threee"), start + 1s));
    CHECK(to.peer_extensions().v == "three");
}

TEST_CASE("a bad extension handshake ends the conversation", "[wire]") {
    connection to{defaults(), start};
    CHECK(error_of(to.receive(handshake_of("le"), start)) == errc::bad_extension_handshake);
}

TEST_CASE("extension messages arrive whole and stay valid until the next input", "[wire]") {
    connection to{defaults(), start};
    to.extension_handshake({.m = {{"a", std::uint8_t{1}}, {"b", std::uint8_t{2}}, {"c", std::uint8_t{9}}}});
    byte_vector const large(1024 * 1024 - 2, std::byte{'x'});
    byte_vector payload{std::byte{9}};
    payload.insert(payload.end(), large.begin(), large.end());
    REQUIRE(to.receive(
        joined({message_of(20, as_bytes("\1one")), message_of(20, payload), message_of(20, as_bytes("\2"))}), start));
    std::vector<event::extension_message> got;
    while (auto const event = to.next_event()) got.push_back(std::get<event::extension_message>(*event));
    REQUIRE(got.size() == 3);
    CHECK(as_text(got[0].payload) == "one");
    CHECK(got[0].id == 1);
    CHECK(equal(got[1].payload, large));
    CHECK(got[1].id == 9);
    CHECK(got[2].payload.empty());
}

TEST_CASE("our handshake tells how many requests we queue", "[wire]") {
    auto with = defaults();
    with.reqq_own = 77;
    connection from{with, start};
    connection to{defaults(), start};
    to.extension_handshake({.m = {{"greeting", std::uint8_t{5}}}});
    from.extension_handshake({.v = "Shoal"});
    from.extension_message(5, as_bytes("hello"));
    REQUIRE(to.receive(drain(from), start));
    CHECK(events(to) == lines{"extension handshake", "extension 5 hello of 5"});
    CHECK(to.peer_extensions().reqq == 77);
    CHECK(to.peer_extensions().v == "Shoal");
}

TEST_CASE("extension messages under an id that we never gave are skipped, those of one that we gave are told",
          "[wire]") {
    connection to{defaults(), start};
    to.extension_handshake({.m = {{"a", std::uint8_t{3}}, {"off", std::uint8_t{0}}}});
    byte_vector unknown(1024 * 1024 - 1, std::byte{1});
    auto const stream = joined({message_of(20, as_bytes("\1no")), message_of(20, unknown),
                                message_of(20, as_bytes("\3yes")), message_of(20, as_bytes("\2")), message_of(4, {3})});
    REQUIRE(to.receive(stream, start));
    CHECK(events(to) == lines{"extension 3 yes of 3", "have 3"});
    // Switched off later, messages that were on their way still come.
    to.extension_handshake({.m = {{"a", std::uint8_t{0}}, {"b", std::uint8_t{2}}}});
    REQUIRE(to.receive(joined({message_of(20, as_bytes("\3late")), message_of(20, as_bytes("\2new"))}), start));
    CHECK(events(to) == lines{"extension 3 late of 4", "extension 2 new of 3"});
    // They are not for nothing either way.
    std::error_code why;
    for (int i = 0; i < 30'000 && !why; ++i) why = error_of(to.receive(message_of(20, as_bytes("\1")), start));
    CHECK(why == errc::flood);
}
