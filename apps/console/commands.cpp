module;
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

module shoal.console;
import shoal.core;

namespace shoal::console {
namespace {
constexpr std::array<command_entry, 19> table{{
    {command::connect_tracker, "/connect_tracker", arguments::none, prerequisite::in_torrent,
     "open the lasting connection to the tracker"},
    {command::get_peer_set, "/get_peer_set", arguments::none, prerequisite::tracker,
     "ask the tracker for the peer set"},
    {command::update_status_to_tracker, "/update_status_to_tracker", arguments::none, prerequisite::tracker,
     "send this peer's chunk status to the tracker"},
    {command::disconnect_tracker, "/disconnect_tracker", arguments::none, prerequisite::in_torrent,
     "leave the tracker, not the torrent"},
    {command::quit_torrent, "/quit_torrent", arguments::none, prerequisite::in_torrent, "leave the torrent for good"},
    {command::connect_peer, "/connect_peer", arguments::peer, prerequisite::in_torrent,
     "open a connection to another peer"},
    {command::ping, "/ping", arguments::peer, prerequisite::target, "measure a round trip to a peer"},
    {command::request_download, "/request_download", arguments::peer_and_chunk, prerequisite::target,
     "fetch one chunk from one peer"},
    {command::disconnect_peer, "/disconnect_peer", arguments::peer, prerequisite::target, "end a connection"},
    {command::check_tracker_connected, "/check_tracker_connected", arguments::none, prerequisite::none,
     "whether this peer is connected to the tracker"},
    {command::check_target_peer_connected, "/check_target_peer_connected", arguments::peer, prerequisite::none,
     "whether a peer is connected to this one"},
    {command::see_this_peer_info, "/see_this_peer_info", arguments::none, prerequisite::none,
     "this peer's address, chunks and byte counts"},
    {command::see_peer_set, "/see_peer_set", arguments::perhaps_all, prerequisite::none,
     "the peer set as the tracker last told it, with each peer's chunks"},
    {command::see_connected, "/see_connected", arguments::none, prerequisite::none,
     "every known peer, and whether it is connected"},
    {command::see_chunk_status, "/see_chunk_status", arguments::perhaps_all, prerequisite::none,
     "1 for each chunk that is here and verified, else 0"},
    {command::merge_chunks, "/merge_chunks", arguments::file, prerequisite::in_torrent,
     "check a file's chunks and give it its own name"},
    {command::auto_download, "/auto_download", arguments::none, prerequisite::in_torrent,
     "fetch everything by itself, rarest first, and merge all files"},
    {command::help, "/help", arguments::none, prerequisite::none, "this list"},
    {command::exit, "/exit", arguments::none, prerequisite::none, "end the console"},
}};

std::string_view arguments_text(arguments takes) {
    switch (takes) {
        case arguments::none:
            return "";
        case arguments::peer:
            return " IP PORT";
        case arguments::peer_and_chunk:
            return " IP PORT CHUNK";
        case arguments::file:
            return " FILE";
        case arguments::perhaps_all:
            return " [--all]";
    }
    return "";
}

constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text) {
    auto const first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Takes the first word off a trimmed text.
std::string_view take_word(std::string_view& text) {
    auto const end = std::min(text.find_first_of(blanks), text.size());
    auto const word = text.substr(0, end);
    text = trimmed(text.substr(end));
    return word;
}

std::optional<endpoint> take_peer(std::string_view& text) {
    auto const address = ip_address::parse(take_word(text));
    auto const digits = take_word(text);
    std::uint16_t port = 0;
    auto const [end, why] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (!address || digits.empty() || why != std::errc{} || end != digits.data() + digits.size() || port == 0)
        return std::nullopt;
    return endpoint{*address, port};
}

/// Reads what a command takes; false when it is something else.
bool read_arguments(std::string_view rest, arguments takes, command_line& into) {
    switch (takes) {
        case arguments::none:
            return rest.empty();
        case arguments::perhaps_all:
            into.all = rest == "--all";
            return rest.empty() || into.all;
        case arguments::file:
            into.name = rest;
            return !rest.empty();
        case arguments::peer:
        case arguments::peer_and_chunk: {
            auto const peer = take_peer(rest);
            if (!peer) return false;
            into.peer = *peer;
            into.name = rest;
            return rest.empty() == (takes == arguments::peer);
        }
    }
    return false;
}
}  // namespace

std::span<command_entry const> commands() noexcept {
    return table;
}

command_entry const& entry_of(command what) noexcept {
    return *std::ranges::find(table, what, &command_entry::what);
}

std::string usage(command_entry const& of) {
    return std::string{of.name}.append(arguments_text(of.takes));
}

std::vector<std::string> help_lines() {
    std::size_t width = 0;
    for (auto const& each : table) width = std::max(width, usage(each).size());
    std::vector<std::string> lines;
    for (auto const& each : table) {
        auto line = usage(each);
        line.resize(width + 2, ' ');
        lines.push_back(line.append(each.help));
    }
    return lines;
}

std::optional<std::variant<command_line, complaint>> parse_line(std::string_view line) {
    auto rest = trimmed(line);
    if (rest.empty() || rest.starts_with('#')) return std::nullopt;
    auto const name = take_word(rest);
    auto const entry = std::ranges::find(table, name, &command_entry::name);
    if (entry == table.end()) return complaint{"no such command: " + escaped(name) + " (see /help)"};
    command_line read{.what = entry->what, .peer = {}, .name = {}, .all = false};
    if (!read_arguments(rest, entry->takes, read)) return complaint{"wrong arguments: the command is " + usage(*entry)};
    return read;
}

std::string address_text(endpoint const& at) {
    return at.address.to_string() + "," + std::to_string(at.port);
}
std::string peer_text(endpoint const& at) {
    return "Peer[" + address_text(at) + "]";
}
std::string prompt_text(endpoint const& at) {
    return "[" + address_text(at) + "] ";
}
}  // namespace shoal::console
