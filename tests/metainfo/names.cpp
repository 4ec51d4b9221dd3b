#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

import shoal.core;
import shoal.metainfo;

using namespace shoal;
using metainfo::name_bytes_max;
using metainfo::sanitise_name;
using metainfo::sanitise_path;

namespace {
/// What must hold of a name on any disk.
bool is_safe(std::string_view name) {
    if (name.empty() || name.size() > name_bytes_max || name == "." || name == ".." || !is_valid_utf8(name))
        return false;
    if (name.ends_with('.') || name.ends_with(' ')) return false;
    for (auto rest = name; !rest.empty();) {
        auto const c = *take_code_point(rest);
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || is_invisible(c)) return false;
        if (c < 0x80 && std::string_view{R"(/\:*?"<>|)"}.find(static_cast<char>(c)) != std::string_view::npos)
            return false;
    }
    return true;
}

std::string repeated(std::string_view text, std::size_t count) {
    std::string out;
    while (count-- > 0) out += text;
    return out;
}

/// Names that did harm somewhere, and all the ways to write a device, a parent folder, an absolute path.
std::vector<std::string> hostile_names() {
    using namespace std::string_literals;
    std::vector<std::string> names{
        "",
        ".",
        "..",
        "...",
        "....",
        ". .",
        ".. ",
        " ..",
        "..\0"s,
        "../",
        "/..",
        "..\\",
        "\\..",
        "../..",
        "..\\..",
        "/",
        "//",
        "\\",
        "\\\\",
        "/etc/passwd",
        "\\windows\\system32",
        "\\\\server\\share",
        "//server/share",
        "\\\\?\\C:\\x",
        "\\\\.\\PhysicalDrive0",
        "C:",
        "c:\\",
        "C:/x",
        "C:x",
        "z:..",
        "file:///etc/passwd",
        "~/.ssh/authorized_keys",
        "a/../b",
        "a\\..\\b",
        "./a",
        "a/",
        "a\\",
        "a:b",
        "a::$DATA",
        "a:$i30:$INDEX_ALLOCATION",
        "a*",
        "a?",
        "a\"b",
        "<a>",
        "a|b",
        "|id",
        "`id`",
        "$(id)",
        ";rm",
        "&&x",
        "-rf",
        "--help",
        "%00",
        "%2e%2e%2f",
        "\0"s,
        "a\0b"s,
        "a.txt\0.exe"s,
        "\n",
        "\r\n",
        "a\nb",
        "\t",
        "\x1b[2J",
        "\x1b]0;owned\x07",
        "\x7f",
        "\x01\x02",
        "\xc2\x9b"
        "2J",
        "\xc2\x80",
        "\xff",
        "\xfe\xff",
        "\xc0\xaf",
        "\xc0\xae\xc0\xae",
        "\xe0\x80\xaf",
        "\xf0\x80\x80\xaf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xc3",
        "a\xe2\x82",
        "\x80",
        "\xbf\xbf",
        "\u202egpj.exe",
        "a\u200bb",
        "\u200b",
        "\u200e",
        "\u2066x\u2069",
        "\ufeff",
        "\ufeff..",
        ".\u200b.",
        "\u200b..",
        "..\u200b",
        "\u2060.\u2060.\u2060",
        "\u00ad",
        "\u034f",
        "\u061c",
        "\u180e",
        "\u2028",
        "\u2029",
        "\u3164",
        "\uffa0",
        "\U000e0041",
        "\U000e0001",
        "a\ufe0f",
        "CO\u200bN",
        "\u200dNUL",
        ".. \u200b",
        "a.\u200b",
        "a \u200b",
        "a.",
        "a..",
        "a ",
        "a. ",
        "a .",
        "a . .",
        " a",
        "  ",
        " ",
        ". ",
        " .",
        "a\u3000",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'; DROP TABLE t;--",
        "a&b",
        "a\u2028b",
        ".part",
        "x.part",
        "..part",
        ".part.",
        ".bashrc",
        ".ssh",
        "desktop.ini",
        "autorun.inf",
        "Thumbs.db",
        "con ",
        "con.",
        "con . txt",
        "CON .txt",
        "con..txt",
        "CONIN$",
        "CONOUT$.log",
        "conin$ ",
        "COM\u00b9",
        "LPT\u00b3.txt",
        "com\u00b2.",
        "_CON",
        "CONX",
        "COM10",
        "COM",
        "LPT",
    };
    for (std::string const device : {"CON", "PRN", "AUX", "NUL"})
        for (std::string const form : {"", ".txt", ".tar.gz", " ", ".", ":", "\n"}) names.push_back(device + form);
    for (char digit = '0'; digit <= '9'; ++digit)
        for (std::string const device : {"COM", "lpt"}) names.push_back(device + digit + (digit % 2 == 0 ? "" : ".x"));
    for (std::string_view const unit :
         {"a", ".", " ", "\u00e4", "\u20ac", "\U0001f600", "\xff", "\u200b", "/", "a.", ". "})
        for (std::size_t const count : {64, 128, 254, 255, 256, 300, 5000}) names.push_back(repeated(unit, count));
    for (std::string_view const extension : {".txt", ".tar.gz", ".", " .x", "\u20ac.txt", ". "})
        for (std::size_t const count : {250, 251, 252, 255, 100'000})
            names.push_back(repeated("b", count) + std::string{extension});
    return names;
}
}  // namespace

TEST_CASE("every hostile name becomes one that stays in its folder", "[metainfo]") {
    auto const names = hostile_names();
    CHECK(names.size() >= 200);
    for (auto const& name : names) {
        INFO(escaped(std::string_view{name}.substr(0, 300)));
        auto const clean = sanitise_name(name);
        CHECK(is_safe(clean));
        CHECK(sanitise_name(clean) == clean);
        CHECK(is_safe(metainfo::part_name(clean)));
    }
}

TEST_CASE("hostile names are safe and stable as elements of a path", "[metainfo]") {
    auto const names = hostile_names();
    for (std::size_t i = 0; i < names.size(); ++i) {
        auto const& a = names[i];
        auto const& b = names[(i * 7 + 3) % names.size()];
        auto const path = sanitise_path({a, b, a});
        CHECK(path == std::vector{sanitise_name(a), sanitise_name(b), sanitise_name(a)});
    }
}

TEST_CASE("random bytes become safe and stable names", "[metainfo]") {
    std::mt19937 random{7};
    for (int round = 0; round < 5'000; ++round) {
        std::string name(random() % 400, '\0');
        constexpr std::string_view likely = "./\\: conCON1\xe2\x80\x8b\xc3\xa4";
        for (auto& c : name) c = random() % 2 == 0 ? static_cast<char>(random()) : likely[random() % likely.size()];
        auto const clean = sanitise_name(name);
        if (!is_safe(clean) || sanitise_name(clean) != clean) FAIL(escaped(name));
    }
}

TEST_CASE("harmless names stay as they are", "[metainfo]") {
    for (std::string const name : {"a",
                                   "README.md",
                                   ".hidden",
                                   "..a",
                                   "a b.txt",
                                   "\u00e4\u00f6\u00fc.txt",
                                   "\u65e5\u672c\u8a9e",
                                   "\u0434\u043e\u043a.pdf",
                                   "\U0001f600.png",
                                   "console",
                                   "auxiliary.c",
                                   "COM10",
                                   "nul_",
                                   "x.part",
                                   "100%",
                                   "a+b=c",
                                   "it's",
                                   "[x] (y) {z}",
                                   "#1;2,3!",
                                   "e\u0301",
                                   "$HOME",
                                   "~"})
        CHECK(sanitise_name(name) == name);
}

TEST_CASE("names are sanitised in the documented way", "[metainfo]") {
    using namespace std::string_literals;
    struct row {
        std::string from, to;
    };
    for (auto const& [from, to] : {
             row{"..", "_"},
             row{".", "_"},
             row{"", "_"},
             row{"/etc/passwd", "_etc_passwd"},
             row{"a\\b", "a_b"},
             row{"C:", "C_"},
             row{"a\0b"s, "a_b"},
             row{"a\x1b[m", "a_[m"},
             row{"a\xff"
                 "b",
                 "a_b"},
             row{"a\u202e"
                 "b",
                 "ab"},
             row{"a. . ", "a"},
             row{"CON", "_CON"},
             row{"com1.txt", "_com1.txt"},
             row{"com0", "_com0"},
             row{"LPT9", "_LPT9"},
             row{"CONOUT$", "_CONOUT$"},
             row{"nul .x", "_nul .x"},
             row{"x\xc0\xaf", "x__"},
             row{"a?", "a_"},
             row{"CO\u200bN", "_CON"},
             row{"LPT\u00b2", "_LPT\u00b2"},
         }) {
        INFO(escaped(from));
        CHECK(escaped(sanitise_name(from)) == escaped(to));
    }
}

TEST_CASE("a name is cut at its limit on a character and keeps its extension", "[metainfo]") {
    auto const a = [](std::size_t count) { return std::string(count, 'a'); };
    CHECK(sanitise_name(a(254)) == a(254));
    CHECK(sanitise_name(a(255)) == a(255));
    CHECK(sanitise_name(a(256)) == a(255));
    CHECK(sanitise_name(a(251) + ".txt") == a(251) + ".txt");
    CHECK(sanitise_name(a(252) + ".txt") == a(251) + ".txt");
    CHECK(sanitise_name(a(90'000) + ".txt") == a(251) + ".txt");
    CHECK(sanitise_name(repeated("\u20ac", 84) + ".txt") == repeated("\u20ac", 83) + ".txt");  // 252 + 4 > 255
    CHECK(sanitise_name(repeated("\U0001f600", 64)) == repeated("\U0001f600", 63));
    CHECK(sanitise_name("a." + a(300)) == "a." + a(253));  // too long for an extension
    CHECK(sanitise_name("CON" + std::string(300, ' ') + "x") == "_CON");
    CHECK(sanitise_name("CON." + a(251)) == "_CON." + a(250));
}

TEST_CASE("a path is cut at its limits and keeps the file name", "[metainfo]") {
    auto const joined_size = [](std::vector<std::string> const& path) {
        auto size = path.size() - 1;
        for (auto const& element : path) size += element.size();
        return size;
    };
    std::string const folder(99, 'd');
    for (std::size_t const total :
         {metainfo::path_bytes_max - 1, metainfo::path_bytes_max, metainfo::path_bytes_max + 1}) {
        std::vector<std::string_view> elements(20, folder);  // 20 * 100 bytes with their separators
        std::string const name(total - 2000, 'n');
        elements.push_back(name);
        auto const path = sanitise_path(elements);
        CHECK(path.back() == name);
        CHECK(path.size() == (total <= metainfo::path_bytes_max ? 21 : 20));
        CHECK(joined_size(path) <= metainfo::path_bytes_max);
    }
    for (std::size_t const depth :
         {metainfo::path_depth_max - 1, metainfo::path_depth_max, metainfo::path_depth_max + 1}) {
        std::vector<std::string_view> elements(depth - 1, "d");
        elements.push_back("file");
        auto const path = sanitise_path(elements);
        CHECK(path.size() == std::min(depth, metainfo::path_depth_max));
        CHECK(path.back() == "file");
    }
    std::vector<std::string_view> const deep(100'000, "d");
    auto const path = sanitise_path(deep);
    CHECK(sanitise_path({path.begin(), path.end()}) == path);
    CHECK(sanitise_path({}) == std::vector<std::string>{"_"});
}

TEST_CASE("the name of an incomplete file fits too", "[metainfo]") {
    CHECK(metainfo::part_name("a.txt") == "a.txt.part");
    CHECK(metainfo::part_name(std::string(250, 'a')) == std::string(250, 'a') + ".part");
    CHECK(metainfo::part_name(std::string(251, 'a')) == std::string(250, 'a') + ".part");
    CHECK(metainfo::part_name(std::string(249, 'a') + "\u20ac") == std::string(249, 'a') + ".part");
}
