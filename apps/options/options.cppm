module;
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

/// The values that a person types, as `--help` describes them. Each `parse` answers nothing for any other text.
export module shoal.options;
import shoal.core;

export namespace shoal::options {
/// `1000`, `64KiB`, `1GiB`, `5MB`: bytes, or with `KiB MiB GiB TiB` (1024) and `kB MB GB TB` (1000). Below 2^63.
std::optional<std::uint64_t> parse_size(std::string_view text);
/// Bytes per second: a size, perhaps followed by `/s`.
std::optional<std::uint64_t> parse_rate(std::string_view text);
/// `500ms`, `30s`, `5m`, `2h`; at most a year.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// Where a program keeps its state: `$XDG_STATE_HOME/shoal/PROGRAM`, else below `~/.local/state`.
std::filesystem::path state_folder(std::string_view program);
/// `IP:PORT`, `[IPv6]:PORT`, port 0 for any.
std::optional<endpoint> parse_address(std::string_view text);
}  // namespace shoal::options
