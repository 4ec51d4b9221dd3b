#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

import shoal.core;
import shoal.metainfo;

using namespace shoal;
using metainfo::unique_paths;

namespace {
std::vector<std::string> split(std::string_view joined) {
    std::vector<std::string> path(1);
    for (auto const c : joined) {
        if (c == '/')
            path.emplace_back();
        else
            path.back() += c;
    }
    return path;
}
std::string join(std::vector<std::string> const& path) {
    std::string all;
    for (auto const& element : path) all += (all.empty() ? "" : "/") + element;
    return all;
}
std::vector<std::string> claimed(std::vector<std::string> const& wanted, std::uint64_t seed = 1) {
    unique_paths places{seed};
    std::vector<std::string> got;
    for (auto const& each : wanted) {
        auto path = split(each);
        places.claim(path);
        got.push_back(join(path));
    }
    return got;
}
std::string lower(std::string text) {
    for (auto& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    return text;
}
/// No place twice, no file a folder, no incomplete form on another's place; ASCII case does not count.
bool is_free_of_collisions(std::vector<std::string> const& paths) {
    std::set<std::string> files, folders;
    for (auto const& each : paths) {
        auto const path = lower(each);
        if (!files.insert(path).second || !files.insert(path + ".part").second) return false;
        for (auto at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1))
            folders.insert(path.substr(0, at));
    }
    return std::none_of(folders.begin(), folders.end(), [&](auto const& folder) { return files.contains(folder); });
}
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr double seconds_max = 5;  // sanitizers cost
#else
constexpr double seconds_max = 1;
#endif

/// Of this process, so that a busy machine does not matter.
double seconds_for(std::vector<std::string> const& wanted) {
    std::vector<std::vector<std::string>> paths;
    for (auto const& each : wanted) paths.push_back(split(each));
    auto const begin = std::clock();
    unique_paths places{1};
    for (auto& path : paths) places.claim(path);
    auto const end = std::clock();
    std::vector<std::string> got;
    for (auto const& path : paths) got.push_back(join(path));
    CHECK(is_free_of_collisions(got));
    return static_cast<double>(end - begin) / CLOCKS_PER_SEC;
}
}  // namespace

TEST_CASE("paths that collide are renamed, others are not", "[metainfo]") {
    using paths = std::vector<std::string>;
    struct row {
        paths wanted, got;
    };
    for (auto const& [wanted, got] : {
             row{{"a", "b", "c/d"}, {"a", "b", "c/d"}},
             row{{"a", "a"}, {"a", "a (1)"}},
             row{{"a.txt", "a.txt", "a.txt"}, {"a.txt", "a (1).txt", "a (2).txt"}},
             row{{"a", "A"}, {"a", "A (1)"}},
             row{{"d/\u00c4.x", "d/\u00e4.x"}, {"d/\u00c4.x", "d/\u00e4 (1).x"}},
             row{{"\u0416", "\u0436"}, {"\u0416", "\u0436 (1)"}},
             row{{"\u03a3", "\u03c2"}, {"\u03a3", "\u03c2 (1)"}},
             row{{"\u00d7", "\u00f7"}, {"\u00d7", "\u00f7"}},
             row{{"\u0178", "\u00ff"}, {"\u0178", "\u00ff (1)"}},
             row{{"\u042f", "\u044f"}, {"\u042f", "\u044f (1)"}},
             row{{"\u0490", "\u0491"}, {"\u0490", "\u0491 (1)"}},
             row{{"\u1e9e", "\u1e9f", "\u1ea0", "\u1ea1"}, {"\u1e9e", "\u1e9f", "\u1ea0", "\u1ea1 (1)"}},
             row{{"a", "a (1)", "a"}, {"a", "a (1)", "a (2)"}},
             row{{"a", "a", "a (1)"}, {"a", "a (1)", "a (1) (1)"}},
             row{{"a", "a/b"}, {"a", "a (1)/b"}},
             row{{"a", "a/b", "a/c", "A/d"}, {"a", "a (1)/b", "a (1)/c", "A (1)/d"}},
             row{{"a/b", "a"}, {"a/b", "a (1)"}},
             row{{"a/b/c", "a/b"}, {"a/b/c", "a/b (1)"}},
             row{{"a", "a (1)", "a/b"}, {"a", "a (1)", "a (2)/b"}},
             row{{"a", "a/b", "a (1)"}, {"a", "a (1)/b", "a (1) (1)"}},
             row{{"x", "x.part"}, {"x", "x (1).part"}},
             row{{"x.part", "x"}, {"x.part", "x (1)"}},
             row{{"x", "X.PART/y"}, {"x", "X (1).PART/y"}},
             row{{"x.part/y", "x"}, {"x.part/y", "x (1)"}},
             row{{"d/a", "D/b"}, {"d/a", "D/b"}},
             row{{"d/a", "D/A"}, {"d/a", "D/A (1)"}},
             row{{"ab/c", "a/bc"}, {"ab/c", "a/bc"}},
             row{{".bashrc", ".bashrc"}, {".bashrc", ".bashrc (1)"}},
         }) {
        INFO(Catch::rangeToString(wanted));
        CHECK(claimed(wanted) == got);
        CHECK(is_free_of_collisions(got));
    }
}

TEST_CASE("unique paths do not depend on the seed and are stable", "[metainfo]") {
    std::mt19937 random{3};
    for (int round = 0; round < 150; ++round) {
        std::vector<std::string> wanted;
        for (int i = 0; i < 60; ++i) {
            std::string path;
            for (auto depth = 1 + random() % 3; depth > 0; --depth) {
                constexpr std::array names{"a", "A", "a.part", "a (1)", "b", "b (1).part", "b.part", "A (2)"};
                path += (path.empty() ? "" : "/") + std::string{names[random() % names.size()]};
            }
            wanted.push_back(path);
        }
        auto const got = claimed(wanted, random());
        REQUIRE(is_free_of_collisions(got));
        REQUIRE(got == claimed(wanted, random()));
        REQUIRE(claimed(got) == got);
    }
}

TEST_CASE("a renamed name keeps within its limit", "[metainfo]") {
    std::string const longest = std::string(251, 'a') + ".txt";
    auto const got = claimed({longest, longest, longest});
    CHECK(std::set(got.begin(), got.end()).size() == 3);
    for (auto const& each : got) {
        CHECK(each.size() <= metainfo::name_bytes_max);
        CHECK(each.ends_with(".txt"));
    }
}

TEST_CASE("100 000 copies are told apart in less than a second", "[metainfo]") {
    constexpr int count = 100'000;
    std::vector<std::string> copies(count, "copy.txt");
    CHECK(seconds_for(copies) < seconds_max);

    // Each name is taken by a file, so that folders and copies have to look further.
    std::vector<std::string> in_the_way{"a"};
    for (int i = 1; i < count / 2; ++i) in_the_way.push_back("a (" + std::to_string(i) + ")");
    for (int i = 0; i < count / 2; ++i) in_the_way.push_back("a/" + std::to_string(i));
    CHECK(seconds_for(in_the_way) < seconds_max);

    // Names that are one and the same where a number is put in.
    std::vector<std::string> alike;
    for (int i = 0; i < 10'000; ++i)
        for (int twice = 0; twice < 2; ++twice) alike.push_back(std::string(245, 'a') + std::to_string(100'000 + i));
    CHECK(seconds_for(alike) < seconds_max);
}
