module;
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

module shoal.hub;
import shoal.core;

namespace shoal::hub {
std::string client_of(peer_id const& id) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 14> names{{{"A2", "aria2"},
                                                                                          {"AZ", "Vuze"},
                                                                                          {"BI", "BiglyBT"},
                                                                                          {"DE", "Deluge"},
                                                                                          {"KT", "KTorrent"},
                                                                                          {"LT", "libtorrent"},
                                                                                          {"PI", "PicoTorrent"},
                                                                                          {"SL", "Shoal"},
                                                                                          {"TR", "Transmission"},
                                                                                          {"UT", "uTorrent"},
                                                                                          {"WD", "WebTorrent Desktop"},
                                                                                          {"WW", "WebTorrent"},
                                                                                          {"lt", "libTorrent"},
                                                                                          {"qB", "qBittorrent"}}};
    auto const text = as_text(id.view());
    if (text.starts_with("A2-")) return "aria2";
    if (text[0] != '-' || text[7] != '-') return "unknown client";
    auto const found = std::ranges::find(names, text.substr(1, 2), [](auto const& pair) { return pair.first; });
    if (found == names.end()) return "unknown client";
    std::string version;
    for (auto const digit : text.substr(3, 4)) {
        if (digit < '0' || digit > '9') return std::string{found->second};
        version.append(version.empty() ? "" : ".").push_back(digit);
    }
    while (version.size() > 3 && version.ends_with(".0")) version.resize(version.size() - 2);
    return std::string{found->second} + " " + version;
}
}  // namespace shoal::hub
