#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "torrents.hpp"
using namespace torrents;

namespace {
hub::catalogue with_names(list const& all) {
    auto catalogue = in_memory();
    std::uint64_t content = 0;
    for (auto const& name : all) REQUIRE(catalogue.publish("anna", single(name, ++content), start));
    return catalogue;
}
}  // namespace

TEST_CASE("words are found as beginnings of words in names and paths, in any order", "[hub]") {
    auto catalogue = with_names({"annual report 2024.pdf", "Annual_Report-2025.pdf", "holiday.jpg"});
    REQUIRE(catalogue.publish("anna", folder("photos", {"rome/forum romanum.jpg", "rome/colosseum.jpg"}), start));
    CHECK(found(catalogue, "report") == list{"Annual_Report-2025.pdf", "annual report 2024.pdf"});
    CHECK(found(catalogue, "rep ann") == list{"Annual_Report-2025.pdf", "annual report 2024.pdf"});
    CHECK(found(catalogue, "  report   2024 ") == list{"annual report 2024.pdf"});
    CHECK(found(catalogue, "report-2025") == list{"Annual_Report-2025.pdf"});
    CHECK(found(catalogue, "jpg") == list{"holiday.jpg", "photos"});
    CHECK(found(catalogue, "photos colos") == list{"photos"});
    CHECK(found(catalogue, "rome/forum") == list{"photos"});
    CHECK(found(catalogue, "report holiday").empty());
}

TEST_CASE("case and accents make no difference to a search", "[hub]") {
    auto catalogue = with_names({"Ärger mit Über.txt", "Überblick.TXT", "ΟΔΥΣΣΕΙΑ", "Война и мир"});
    CHECK(found(catalogue, "über").size() == 2);
    CHECK(found(catalogue, "uber").size() == 2);
    CHECK(found(catalogue, "ARGER") == list{"Ärger mit Über.txt"});
    CHECK(found(catalogue, "οδυ") == list{"ΟΔΥΣΣΕΙΑ"});
    CHECK(found(catalogue, "ВОЙНА") == list{"Война и мир"});
    CHECK(found(catalogue, "*БЛИ*").empty());
    CHECK(found(catalogue, "*МИР") == list{"Война и мир"});
    CHECK(found(catalogue, "übER*") == list{"Überblick.TXT"});
}

TEST_CASE("wildcards stand for the characters of a whole name", "[hub]") {
    auto catalogue = with_names({"a", "ab", "abc", "abcabc", "日本語", "[x]", "a.b"});
    CHECK(found(catalogue, "*").size() == 7);
    CHECK(found(catalogue, "?") == list{"a"});
    CHECK(found(catalogue, "??") == list{"ab"});
    CHECK(found(catalogue, "a*c") == list{"abc", "abcabc"});
    CHECK(found(catalogue, "a*bc*c") == list{"abcabc"});
    CHECK(found(catalogue, "*b?") == list{"abc", "abcabc"});
    CHECK(found(catalogue, "???") == list{"[x]", "a.b", "abc", "日本語"});
    CHECK(found(catalogue, "*本?") == list{"日本語"});
    CHECK(found(catalogue, "[*]") == list{"[x]"});
    CHECK(found(catalogue, "[a]*").empty());
    CHECK(found(catalogue, "A?C") == list{"abc"});
}

TEST_CASE("text that begins no word is looked for anywhere in the names", "[hub]") {
    auto catalogue = with_names({"party \xf0\x9f\x8e\x89.mp4", "日本語.txt", "quicksort.c", "C++", "---"});
    CHECK(found(catalogue, "\xf0\x9f\x8e\x89") == list{"party \xf0\x9f\x8e\x89.mp4"});
    CHECK(found(catalogue, "本語") == list{"日本語.txt"});
    CHECK(found(catalogue, "SORT") == list{"quicksort.c"});
    CHECK(found(catalogue, "++") == list{"C++"});
    CHECK(found(catalogue, "---") == list{"---"});
}

TEST_CASE("pages hold each entry once, whatever is published and forgotten between them", "[hub]") {
    auto const pattern = GENERATE(std::string{}, std::string{"name"}, std::string{"name*"}, std::string{"ame"});
    auto catalogue = in_memory({.orphan_kept = 0s});
    for (std::uint64_t i = 0; i < 40; ++i)  // four of each name
        REQUIRE(catalogue.publish("anna", single("name " + std::to_string(i % 10), i), start));
    std::vector<hub::catalogue_entry> walked;
    std::optional<hub::catalogue_position> at;
    for (std::uint64_t page_number = 0;; ++page_number) {
        auto const page = catalogue.find(pattern, 7, at).value();
        CHECK(page.entries.size() <= 7);
        walked.insert(walked.end(), page.entries.begin(), page.entries.end());
        if (!page.next) break;
        at = page.next;
        // One before what was walked, and the last that was walked is gone.
        REQUIRE(catalogue.publish("ben", single("a name", 1000 + page_number), start));
        REQUIRE(catalogue.unpublish("anna", walked.back().swarm_hash, start).value());
        REQUIRE(catalogue.forget(start).value() == 1);
    }
    CHECK(walked.size() == 40);
    std::set<info_hash> different;
    for (std::size_t i = 0; i < walked.size(); ++i) {
        different.insert(walked[i].swarm_hash);
        if (i > 0) CHECK(walked[i - 1].name <= walked[i].name);
    }
    CHECK(different.size() == 40);
    CHECK(catalogue.find("", 0).value().entries.empty());
    CHECK_FALSE(catalogue.find("", 1000).value().next);
}

TEST_CASE("no pattern that a person or a stranger can send is an error of the search", "[hub]") {
    auto catalogue = with_names({"plain name.txt", "\"quoted\" (name)", "AND OR NOT NEAR", "100%_", "a\\b"});
    std::vector<std::string> const hostile{"\"",
                                           "\"\"",
                                           "\"\"\"",
                                           "'",
                                           "''",
                                           "\"a",
                                           "a\"",
                                           "a\"b",
                                           "\"a\" OR \"b\"",
                                           "AND",
                                           "OR",
                                           "NOT",
                                           "NEAR",
                                           "a AND",
                                           "OR a",
                                           "NOT a",
                                           "a NOT",
                                           "NEAR(",
                                           "NEAR(a b)",
                                           "NEAR(a b, 5)",
                                           "NEAR/3",
                                           "(",
                                           ")",
                                           "()",
                                           "((((",
                                           "a)",
                                           "(a",
                                           "name:",
                                           "name:a",
                                           "paths : a",
                                           "{name paths}:a",
                                           "-name:a",
                                           "- a",
                                           "^a",
                                           "a^",
                                           "+",
                                           "a + b",
                                           "a+",
                                           "\\",
                                           "\\\"",
                                           ";",
                                           "; DROP TABLE entry",
                                           "' OR 1=1 --",
                                           "--",
                                           "/*",
                                           "?1",
                                           ":a",
                                           "@a",
                                           "$a",
                                           "%",
                                           "_",
                                           "[",
                                           "]",
                                           "[a",
                                           "{",
                                           "}",
                                           ",",
                                           ".",
                                           "~",
                                           "!",
                                           "&&",
                                           "||",
                                           "<>",
                                           "=",
                                           "#",
                                           "`",
                                           "\t",
                                           "\n",
                                           " ",
                                           "\r\n",
                                           std::string("\0", 1),
                                           std::string("a\0b", 3),
                                           std::string("\0\"\0*", 4),
                                           "\xff",
                                           "\xc3",
                                           "a\xc3",
                                           "\xed\xa0\x80",
                                           "\xf4\x90\x80\x80",
                                           "\xc0\x80",
                                           "\xe2\x80\xae",
                                           "\xef\xbb\xbf",
                                           "\xcc\x81",
                                           "*",
                                           "**",
                                           "***",
                                           "?",
                                           "*?*",
                                           "\"*",
                                           "*\"",
                                           "a*\"b",
                                           "*\xff*",
                                           std::string("*\0*", 3),
                                           std::string(4096, '"'),
                                           std::string(4096, '('),
                                           std::string(4096, '*'),
                                           std::string(4096, '?'),
                                           std::string(4096, 'a'),
                                           std::string(4096, ' '),
                                           std::string(4096, '\0'),
                                           std::string(4096, '\xff')};
    CHECK(hostile.size() >= 60);
    for (auto const& pattern : hostile) {
        INFO(escaped(pattern.substr(0, 40)));
        auto const page = catalogue.find(pattern, 10);
        CHECK(page);
        CHECK(catalogue.near(pattern, 5));
        CHECK(catalogue.by_name(pattern));
        CHECK(catalogue.publish(pattern, single("x"), start).has_value() ==
              (!pattern.empty() && pattern.size() <= 255 && is_valid_utf8(pattern) &&
               pattern.find('\0') == std::string::npos));
    }
    std::string many;
    for (int i = 0; i < 1000; ++i) many += "a ";
    CHECK(catalogue.find(many, 10));
    CHECK(found(catalogue, "AND OR NOT NEAR") == list{"AND OR NOT NEAR"});
    CHECK(found(catalogue, "100%_").size() == 1);
}

TEST_CASE("a pattern is at most 4096 bytes long", "[hub]") {
    auto catalogue = with_names({"a"});
    CHECK(catalogue.find(std::string(4096, 'b'), 10));
    for (auto const size : {4097, 100'000}) {
        auto const page = catalogue.find(std::string(static_cast<std::size_t>(size), 'b'), 10);
        REQUIRE_FALSE(page);
        CHECK(page.error() == hub::errc::pattern_too_long);
        CHECK(is(page.error(), condition::peer_fault));
    }
}

TEST_CASE("wildcards that take too long are refused instead of answered", "[hub]") {
    auto catalogue = in_memory();
    for (std::uint64_t i = 0; i < 2000; ++i)
        REQUIRE(catalogue.publish("anna", single(std::string(240, 'a') + std::to_string(i), i), start));
    auto const page = catalogue.find("*" + std::string(120, 'a') + "b*", 10);
    REQUIRE_FALSE(page);
    CHECK(page.error() == hub::errc::pattern_too_wide);
}

TEST_CASE("near matches are names that somebody could have meant", "[hub]") {
    auto catalogue = with_names({"annual report.pdf", "ubuntu-22.04-desktop-amd64.iso", "cat", "Überblick.txt", "x",
                                 "debian-12.iso", "日本語.txt"});
    auto const nearest = [&](std::string_view name) {
        auto const entries = catalogue.near(name, 3).value();
        return entries.empty() ? std::string{} : entries[0].name;
    };
    CHECK(nearest("anual report.pdf") == "annual report.pdf");
    CHECK(nearest("annual reprot.pdf") == "annual report.pdf");
    CHECK(nearest("Annual Report") == "annual report.pdf");
    CHECK(nearest("ubuntu") == "ubuntu-22.04-desktop-amd64.iso");
    CHECK(nearest("ubuntu-24.04-desktop-amd64.iso") == "ubuntu-22.04-desktop-amd64.iso");
    CHECK(nearest("cta") == "cat");
    CHECK(nearest("überblik.txt") == "Überblick.txt");
    CHECK(nearest("日本.txt") == "日本語.txt");
    CHECK(nearest("X") == "x");
    CHECK(nearest("qqqqqq").empty());
    CHECK(catalogue.near("annual report.pdf", 0).value().empty());
    CHECK(catalogue.near("iso", 1).value().size() == 1);
}

TEST_CASE("ten thousand contents are searched within a tenth of a second", "[hub]") {
    auto catalogue = in_memory();
    for (std::uint64_t i = 0; i < 10'000; ++i)
        REQUIRE(catalogue.publish("node " + std::to_string(i % 10),
                                  single("backup of machine " + std::to_string(i) + ".tar", i), start));
    // Of the processor, and the best of three: other tests run beside this one.
    auto const time = [&](auto&& search) {
        auto best = std::chrono::duration<double>::max();
        for (int i = 0; i < 3; ++i) {
            auto const begun = std::clock();
            CHECK(search());
            best = std::min(best, std::chrono::duration<double>(std::clock() - begun) / CLOCKS_PER_SEC);
        }
        return best;
    };
    for (auto const* const pattern : {"", "machine", "b", "mach 77", "*99.tar", "*9*9*", "chine 5", "nothing"}) {
        INFO(pattern);
        CHECK(time([&] { return catalogue.find(pattern, 100); }) < 100ms);
    }
    CHECK(time([&] { return catalogue.by_name("backup of machine 77.tar"); }) < 100ms);
    CHECK(time([&] { return catalogue.near("backup of machin 77.tar", 10); }) < 100ms);
    CHECK(names(catalogue.near("backup of machin 77.tar", 1).value()) == list{"backup of machine 77.tar"});
}
