module;
#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module shoal.metainfo;
import shoal.core;

namespace shoal::metainfo {
namespace {
/// A place on disk: a hash of the folded path. Two places with one hash cost a needless renaming, nothing more.
using place = std::uint64_t;

/// The finaliser of splitmix64: every bit of the result depends on every bit of `x`.
std::uint64_t mixed(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/// Capital letters as small ones, by the regular parts of Unicode's simple case folding.
char32_t folded(char32_t c) noexcept {
    auto const in = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
    if (in('A', 'Z') || (in(0xc0, 0xde) && c != 0xd7)) return c + 32;
    if (c < 0x100) return c;
    if (in(0x100, 0x12f) || in(0x132, 0x137) || in(0x14a, 0x177)) return c | 1;
    if (in(0x139, 0x148) || in(0x179, 0x17e)) return c + (c & 1);
    if (c == 0x178) return 0xff;
    if (in(0x391, 0x3ab) && c != 0x3a2) return c + 32;
    if (c == 0x3c2) return 0x3c3;
    if (in(0x400, 0x40f)) return c + 80;
    if (in(0x410, 0x42f)) return c + 32;
    if (in(0x460, 0x481) || in(0x48a, 0x4bf) || in(0x4d0, 0x52f) || in(0x1e00, 0x1e95) || in(0x1ea0, 0x1eff))
        return c | 1;
    if (in(0x531, 0x556)) return c + 48;
    if (in(0xff21, 0xff3a)) return c + 32;
    return c;
}

/// The place of a folded name in a folder.
place in_folder(place folder, std::string_view name) noexcept {
    auto hash = mixed(folder + name.size());
    while (!name.empty()) {
        std::uint64_t word = 0;
        auto const count = std::min(name.size(), sizeof word);
        std::memcpy(&word, name.data(), count);
        hash = mixed(hash ^ word) + 0x9e3779b97f4a7c15;
        name.remove_prefix(count);
    }
    return hash;
}

/// A name in two parts, with room for a number between them.
struct numbered {
    std::string_view stem;
    std::string_view extension;

    explicit numbered(std::string_view name) {
        constexpr std::size_t room = 24;  // " (" + 20 digits + ")"
        auto const dot = extension_at(name);
        extension = name.substr(dot);
        stem = cut(name.substr(0, dot), name_bytes_max - room - extension.size());
    }
    std::string with(std::uint64_t number) const {
        return std::string{stem} + " (" + std::to_string(number) + ")" + std::string{extension};
    }
    /// Names with the same base have the same numbered forms, and no others do: so each form is tried once.
    place base(place folder) const noexcept {
        return in_folder(in_folder(folder, folded_name(stem)), folded_name(extension));
    }
};
}  // namespace

std::string folded_name(std::string_view name) {
    std::string out{name};
    auto const is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (std::all_of(name.begin(), name.end(), is_ascii)) {
        for (auto& c : out)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
        return out;
    }
    out.clear();
    while (!name.empty()) {
        if (auto const c = take_code_point(name)) {
            append_utf8(out, folded(*c));
        } else {
            out += name.front();
            name.remove_prefix(1);
        }
    }
    return out;
}

struct unique_paths::places {
    place root = 0;
    boost::unordered_flat_set<place> files;  // and the incomplete form of each
    boost::unordered_flat_set<place> folders;
    boost::unordered_flat_map<place, std::uint64_t> next_number;             // by `numbered::base`
    boost::unordered_flat_map<place, std::uint64_t> number_of_moved_folder;  // by the place it should have had

    /// The folder's place, after renaming it where a file is in its way.
    place enter(place parent, std::string& name) {
        auto const wanted = in_folder(parent, folded_name(name));
        if (!files.contains(wanted)) {
            folders.insert(wanted);
            return wanted;
        }
        numbered const forms{name};
        auto const moved = number_of_moved_folder.find(wanted);
        if (moved != number_of_moved_folder.end()) {
            name = forms.with(moved->second);
            return in_folder(parent, folded_name(name));
        }
        auto& number = next_number[forms.base(parent)];
        for (;;) {
            auto candidate = forms.with(++number);
            auto const at = in_folder(parent, folded_name(candidate));
            if (!is_free(at)) continue;
            folders.insert(at);
            number_of_moved_folder.emplace(wanted, number);
            name = std::move(candidate);
            return at;
        }
    }

    bool is_free(place at) const { return !files.contains(at) && !folders.contains(at); }

    bool take(place parent, std::string_view name) {
        auto const at = in_folder(parent, folded_name(name));
        if (!is_free(at)) return false;
        auto const part = in_folder(parent, folded_name(part_name(name)));
        if (!is_free(part)) return false;
        files.insert(at);
        files.insert(part);
        return true;
    }

    void place_file(place parent, std::string& name) {
        if (take(parent, name)) return;
        numbered const forms{name};
        auto& number = next_number[forms.base(parent)];
        for (;;) {
            auto candidate = forms.with(++number);
            if (!take(parent, candidate)) continue;
            name = std::move(candidate);
            return;
        }
    }
};

unique_paths::unique_paths(std::uint64_t seed) : places_(std::make_unique<places>()) {
    places_->root = mixed(seed);
}
unique_paths::~unique_paths() = default;
unique_paths& unique_paths::operator=(unique_paths&&) noexcept = default;

void unique_paths::claim(std::vector<std::string>& path) {
    auto folder = places_->root;
    for (std::size_t i = 0; i + 1 < path.size(); ++i) folder = places_->enter(folder, path[i]);
    places_->place_file(folder, path.back());
}
}  // namespace shoal::metainfo
