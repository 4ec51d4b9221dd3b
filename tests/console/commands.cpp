#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

import shoal.console;
import shoal.core;
import shoal.metainfo;

using namespace shoal;
using namespace shoal::console;

namespace {
endpoint at(std::string_view text) {
    return *endpoint::parse(text);
}
command_line read(std::string_view line) {
    auto const parsed = parse_line(line);
    REQUIRE(parsed);
    REQUIRE(std::holds_alternative<command_line>(*parsed));
    return std::get<command_line>(*parsed);
}
std::string why(std::string_view line) {
    auto const parsed = parse_line(line);
    REQUIRE(parsed);
    REQUIRE(std::holds_alternative<complaint>(*parsed));
    return std::get<complaint>(*parsed).why;
}
using names_t = std::vector<std::string>;
}  // namespace

TEST_CASE("the table has the seventeen commands, help and exit, each once", "[console]") {
    names_t names;
    for (auto const& each : commands()) {
        names.emplace_back(each.name);
        CHECK(&entry_of(each.what) == &each);
        CHECK_FALSE(each.help.empty());
    }
    std::ranges::sort(names);
    CHECK(std::ranges::adjacent_find(names) == names.end());
    CHECK(names.size() == 19);
    CHECK(help_lines().size() == 19);
}

TEST_CASE("a command is read with its arguments", "[console]") {
    CHECK(read("/connect_tracker").what == command::connect_tracker);
    CHECK(read("  /ping\t127.0.0.1   7000 \r") == command_line{command::ping, at("127.0.0.1:7000"), "", false});
    CHECK(read("/connect_peer ::1 7000").peer == at("[::1]:7000"));
    CHECK(read("/request_download 127.0.0.1 7000 file1.webm.part3") ==
          command_line{command::request_download, at("127.0.0.1:7000"), "file1.webm.part3", false});
    CHECK(read("/request_download 127.0.0.1 7000 a  b.part1 ").name == "a  b.part1");
    CHECK(read("/merge_chunks a name with blanks").name == "a name with blanks");
    CHECK(read("/see_chunk_status --all").all);
    CHECK_FALSE(read("/see_chunk_status").all);
    CHECK(read("/see_peer_set --all").all);
}

TEST_CASE("empty lines and comments are nothing", "[console]") {
    for (auto const* line : {"", "   ", "\r", "# a comment", "  #/ping"}) CHECK_FALSE(parse_line(line));
}

TEST_CASE("wrong arguments are a complaint of one line that says how it is right", "[console]") {
    for (auto const* line : {"/ping", "/ping 127.0.0.1", "/ping 127.0.0.1 0", "/ping 127.0.0.1 65536",
                             "/ping localhost 1", "/ping 127.0.0.1 7000 x", "/ping 127.0.0.1 -1", "/ping 127.0.0.1 7x"})
        CHECK(why(line) == "wrong arguments: the command is /ping IP PORT");
    CHECK(why("/request_download 127.0.0.1 7000") == "wrong arguments: the command is /request_download IP PORT CHUNK");
    CHECK(why("/merge_chunks") == "wrong arguments: the command is /merge_chunks FILE");
    CHECK(why("/see_chunk_status all") == "wrong arguments: the command is /see_chunk_status [--all]");
    CHECK(why("/exit now") == "wrong arguments: the command is /exit");
    CHECK(why("/nonsense\x1b[2J x") == "no such command: /nonsense\\x1b[2J (see /help)");
    CHECK(why("ping") == "no such command: ping (see /help)");
}

TEST_CASE("peers are spelt as the replies spell them", "[console]") {
    CHECK(peer_text(at("127.0.0.1:7000")) == "Peer[127.0.0.1,7000]");
    CHECK(prompt_text(at("192.168.1.181:7000")) == "[192.168.1.181,7000] ");
}

TEST_CASE("completion offers commands, peers, chunks and files", "[console]") {
    metainfo::file a, pad, b;
    a.path = {"a b.webm"};
    a.size = 12'500;
    pad.path = {".pad", "500"};
    pad.size = 500;
    pad.pad = true;
    b.path = {"b"};
    b.size = 1;
    metainfo::layout const layout{1000, {a, pad, b}};
    chunk_names const names{layout};
    std::vector const peers{at("127.0.0.1:7000"), at("127.0.0.1:7001"), at("10.0.0.1:80")};
    auto const complete = [&](std::string_view line) { return completions(line, peers, names); };
    CHECK(complete("").size() == 19);
    CHECK(complete("/see_c") == names_t{"/see_chunk_status", "/see_connected"});
    CHECK(complete("/ping ") == names_t{"10.0.0.1", "127.0.0.1"});
    CHECK(complete("/ping 127") == names_t{"127.0.0.1"});
    CHECK(complete("/ping 127.0.0.1 ") == names_t{"7000", "7001"});
    CHECK(complete("/ping 127.0.0.1 7000 ").empty());
    CHECK(complete("/request_download 127.0.0.1 7000 b") == names_t{"b.part1"});
    CHECK(complete("/request_download 127.0.0.1 7000 ").size() == 14);
    CHECK(complete("/request_download 127.0.0.1 7000 a b.webm.part1") ==
          names_t{"b.webm.part1", "b.webm.part10", "b.webm.part11", "b.webm.part12", "b.webm.part13"});
    CHECK(complete("/request_download 127.0.0.1 7000 a b.webm.part0").empty());
    CHECK(complete("/merge_chunks a ") == names_t{"b.webm"});
    CHECK(complete("/merge_chunks ").size() == 2);
    CHECK(complete("/see_chunk_status ") == names_t{"--all"});
    CHECK(complete("/exit ").empty());
    CHECK(complete("nonsense x").empty());
}
