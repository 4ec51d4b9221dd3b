module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

module shoal.metainfo;
import shoal.core;

namespace shoal::metainfo {
namespace {
/// An extension longer than this is not one, and is cut with the rest of the name.
constexpr std::size_t extension_bytes_max = 32;

/// Every character one that a name may hold.
std::string portable_characters(std::string_view name) {
    constexpr std::string_view refused = R"(/\:*?"<>|)";
    std::string out;
    out.reserve(name.size());
    while (!name.empty()) {
        auto const before = name;
        auto const c = take_code_point(name);
        if (!c) {
            out += '_';
            name.remove_prefix(1);
        } else if (*c < 0x20 || (*c >= 0x7f && *c < 0xa0) ||
                   (*c < 0x80 && refused.find(static_cast<char>(*c)) != std::string_view::npos)) {
            out += '_';
        } else if (!is_invisible(*c)) {
            out += before.substr(0, before.size() - name.size());
        }
    }
    return out;
}

/// Whether Windows would open a device under this name. What follows the first dot does not matter there.
bool is_device(std::string_view name) {
    auto stem = name.substr(0, name.find('.'));
    while (stem.ends_with(' ')) stem.remove_suffix(1);
    std::string upper{stem};
    for (auto& c : upper)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    constexpr std::array<std::string_view, 6> devices{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"};
    if (std::find(devices.begin(), devices.end(), upper) != devices.end()) return true;
    if (!upper.starts_with("COM") && !upper.starts_with("LPT")) return false;
    auto const digit = std::string_view{upper}.substr(3);
    constexpr std::array<std::string_view, 3> superscripts{"\u00b9", "\u00b2", "\u00b3"};
    return (digit.size() == 1 && digit[0] >= '0' && digit[0] <= '9') ||
           std::find(superscripts.begin(), superscripts.end(), digit) != superscripts.end();
}
}  // namespace

std::string_view cut(std::string_view text, std::size_t bytes_max) noexcept {
    if (text.size() <= bytes_max) return text;
    while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xc0) == 0x80) --bytes_max;
    return text.substr(0, bytes_max);
}

std::size_t extension_at(std::string_view name) noexcept {
    auto const dot = name.rfind('.');
    if (dot == std::string_view::npos || dot == 0 || name.size() - dot > extension_bytes_max) return name.size();
    return dot;
}

std::string sanitise_name(std::string_view name) {
    // A longer name is cut anyway; this bounds the work on it. Its end is kept for the extension.
    constexpr std::size_t examined_max = 64 * name_bytes_max;
    auto text = portable_characters(name.substr(0, examined_max));
    if (name.size() > examined_max) text += portable_characters(name.substr(name.size() - extension_bytes_max));
    for (;;) {
        auto const last = text.find_last_not_of(". ");
        text.resize(last == std::string::npos ? 0 : last + 1);
        if (text.empty()) return "_";
        if (is_device(text)) text.insert(0, "_");
        if (text.size() <= name_bytes_max) return text;
        auto const dot = extension_at(text);
        auto const extension = text.substr(dot);
        text = std::string{cut(std::string_view{text}.substr(0, dot), name_bytes_max - extension.size())} + extension;
    }
}

std::vector<std::string> sanitise_path(std::vector<std::string_view> const& elements) {
    return path_sanitiser{}(elements);
}

std::vector<std::string> path_sanitiser::operator()(std::vector<std::string_view> const& elements) {
    if (elements.empty()) return {"_"};
    // The same place in memory, so the same text: comparing the texts would read them for each file again.
    auto const is_known = [&](std::size_t i) {
        return folders_[i].raw.data() == elements[i].data() && folders_[i].raw.size() == elements[i].size();
    };
    std::size_t known = 0;
    while (known < folders_.size() && known + 1 < elements.size() && is_known(known)) ++known;
    folders_.resize(known);

    auto name = sanitise_name(elements.back());
    auto left = path_bytes_max - name.size();
    std::vector<std::string> path;
    path.reserve(std::min(elements.size(), path_depth_max));
    for (std::size_t i = 0; i + 1 < std::min(elements.size(), path_depth_max); ++i) {
        if (i == folders_.size()) folders_.push_back({elements[i], sanitise_name(elements[i])});
        auto const& folder = folders_[i].clean;
        if (folder.size() + 1 > left) break;
        left -= folder.size() + 1;
        path.push_back(folder);
    }
    path.push_back(std::move(name));
    return path;
}

std::string part_name(std::string_view name) {
    return std::string{cut(name, name_bytes_max - part_suffix.size())} += part_suffix;
}
}  // namespace shoal::metainfo
