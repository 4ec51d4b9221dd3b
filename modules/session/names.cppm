module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// The words of the protocol, for the two units that write and read them.
module shoal.session:names;
import :messages;

namespace shoal::session {
enum class kind : std::uint8_t {
    hello,
    join,
    status,
    leave,
    ask_peers,
    publish,
    unpublish,
    welcome,
    wait,
    peer_set,
    done,
    refused
};
inline constexpr std::array<std::string_view, 12> kind_names{"hello",     "join",     "status",    "leave",
                                                             "ask_peers", "publish",  "unpublish", "welcome",
                                                             "wait",      "peer_set", "done",      "refused"};
inline constexpr std::array<std::string_view, 7> request_names{"hello", "join",    "status",   "leave",
                                                               "peers", "publish", "unpublish"};

constexpr std::string_view name_of(kind what) {
    return kind_names[static_cast<std::size_t>(what)];
}
constexpr std::string_view name_of(request what) {
    return request_names[static_cast<std::size_t>(what)];
}
template <class Enum, std::size_t Count>
std::optional<Enum> named(std::array<std::string_view, Count> const& names, std::string_view name) {
    auto const at = std::ranges::find(names, name);
    if (at == names.end()) return std::nullopt;
    return static_cast<Enum>(at - names.begin());
}

namespace key {
inline constexpr std::string_view kind = "t", version = "v", id = "id", port = "port", client = "client",
                                  resume = "resume", torrent = "h", size = "size", have = "have", piece_count = "n",
                                  uploaded = "up", downloaded = "down", up_rate = "ur", down_rate = "dr",
                                  number = "seq", gained = "got", lost = "lost", serving = "to", asked = "ask",
                                  quits = "quit", metainfo = "torrent", seen_as = "ip", every = "every",
                                  torrents = "known", length = "wait", place = "place", at = "at", session = "s",
                                  complete = "c", whole = "whole", peers = "peers", gone = "gone", what = "re",
                                  reason = "why";
}  // namespace key
}  // namespace shoal::session
