module;
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

/// What both programs need of a person and show to one. The values that are typed, as `--help` describes them: each
/// `parse` answers nothing for any other text.
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
/// Descriptors that this process may have open.
std::size_t open_files_max() noexcept;
/// `IP:PORT`, `[IPv6]:PORT`, port 0 for any.
std::optional<endpoint> parse_address(std::string_view text);

/// Keeps a log short whatever strangers make happen (class M10): lines of one kind pass up to a pace.
class log_gate {
public:
    explicit log_gate(pace kept) noexcept : lines_(kept) {}
    /// Whether a line may be written now, and then how many were left out before it.
    std::optional<std::uint64_t> admit(time_point now) noexcept;
    /// Lines left out since the last that was written.
    std::uint64_t left_out() const noexcept { return left_out_; }

private:
    budget lines_;
    std::uint64_t left_out_ = 0;
};
/// Lines for people: a busy start is shown whole; after it 20 a second are some 200 MB a day, which a system's log
/// takes.
inline constexpr pace log_pace{.burst = 1000, .per_second = 20};
/// What stands in the log for lines that do not.
std::string left_out_line(std::uint64_t count);

/// A file that appears under its name when it is whole, in the place of an older one.
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
    /// The same without syncing: a power cut may leave any part of it. For what can be told by a checksum, and made
    /// again.
    void commit_unsynced(byte_view content);

private:
    void fill(byte_view content);
    void take_place();

    std::filesystem::path path_;
    std::filesystem::path temporary_;
    int file_ = -1;
};
}  // namespace shoal::options
