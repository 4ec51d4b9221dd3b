module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

export module shoal.console:commands;
import shoal.core;
import :chunks;

export namespace shoal::console {
enum class command : std::uint8_t {
    connect_tracker,
    get_peer_set,
    update_status_to_tracker,
    disconnect_tracker,
    quit_torrent,
    connect_peer,
    ping,
    request_download,
    disconnect_peer,
    check_tracker_connected,
    check_target_peer_connected,
    see_this_peer_info,
    see_peer_set,
    see_connected,
    see_chunk_status,
    merge_chunks,
    auto_download,
    help,
    exit,
};
/// What a command takes. A name is the rest of the line, blanks and all.
enum class arguments : std::uint8_t { none, peer, peer_and_chunk, file, perhaps_all };
/// What has to be so before a command can do anything.
enum class prerequisite : std::uint8_t {
    none,
    in_torrent,  ///< `/quit_torrent` was not given.
    tracker,     ///< In the torrent, and connected to the tracker.
    target,      ///< In the torrent, and connected to the peer that is named.
};

struct command_entry {
    command what;
    std::string_view name;  ///< With its slash.
    console::arguments takes;
    prerequisite needs;
    std::string_view help;
};
/// All commands, in the order of `/help`.
std::span<command_entry const> commands() noexcept;
command_entry const& entry_of(command what) noexcept;
/// `/ping IP PORT`.
std::string usage(command_entry const& of);
/// A line for each command.
std::vector<std::string> help_lines();

/// A command with its arguments.
struct command_line {
    command what = command::help;
    endpoint peer;     ///< Where it takes one.
    std::string name;  ///< Of a chunk or a file.
    bool all = false;
    friend bool operator==(command_line const&, command_line const&) = default;
};
/// Why a line is no command, in one line for people.
struct complaint {
    std::string why;
};
/// Nothing for an empty line and for one that begins with `#`.
std::optional<std::variant<command_line, complaint>> parse_line(std::string_view line);

/// `Peer[127.0.0.1,7000]`.
std::string peer_text(endpoint const& at);
/// `[127.0.0.1,7000] `.
std::string prompt_text(endpoint const& at);
/// `127.0.0.1,7000`.
std::string address_text(endpoint const& at);

/// Candidates that completion offers at once: more are a page that nobody reads.
inline constexpr std::size_t completions_max = 200;
/// What the word under way, the text after the last blank of `before_cursor`, may become: commands, then the addresses
/// and ports of `peers`, chunks and files.
std::vector<std::string> completions(std::string_view before_cursor, std::vector<endpoint> const& peers,
                                     chunk_names const& names);
}  // namespace shoal::console
