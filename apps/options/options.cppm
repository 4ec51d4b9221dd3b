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
/// Lets this process open as many files as the system allows it: each connection is one, and shells and service
/// managers often begin with 1024.
void raise_open_files() noexcept;
/// `IP:PORT`, `[IPv6]:PORT`, port 0 for any.
std::optional<endpoint> parse_address(std::string_view text);

/// A file that appears under its name when it is whole and durable, in the place of an older one.
class atomic_file {
public:
    /// Creates the temporary file beside `path`, with the permissions `mode` less the umask.
    /// Throws `std::system_error`.
    explicit atomic_file(std::filesystem::path path, unsigned mode = 0666);
    /// Removes the temporary file unless `commit` succeeded.
    ~atomic_file();
    atomic_file(atomic_file const&) = delete;
    atomic_file& operator=(atomic_file const&) = delete;
    /// Writes, syncs, renames. Throws `std::system_error`.
    void commit(byte_view content);

private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
    int file_ = -1;
};
}  // namespace shoal::options
