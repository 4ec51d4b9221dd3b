module;
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>

export module peer:output;
import shoal.core;
import shoal.options;
import :options;

namespace shoal::cli {
/// What scripts may rely on.
enum class exit_status : int {
    done = 0,
    failed = 1,
    wrong_usage = 2,
    not_found = 3,      ///< A name, torrent or file.
    unreachable = 4,    ///< The tracker or all peers.
    mismatch = 5,       ///< Data does not match its hashes.
    not_writable = 6,   ///< No space or no permission to write.
    incomplete = 7,     ///< Stopped by a signal or a time limit; can be resumed.
    not_permitted = 8,  ///< A credential is missing or refused.
};

/// Why a command cannot go on. Commands throw it; `run` says it and ends with the status.
struct failure {
    exit_status status;
    std::string message;    ///< One line, remote text in it escaped.
    bool may_pass = false;  ///< What was asked for may be there all the same: no descriptor, a failing disk.
};

/// `value` on one line, with every character that a terminal or a web page could act on as `\uNNNN`: controls, DEL, C1,
/// invisible and bidirectional ones, `<`, `&`, U+2028. Invalid UTF-8 becomes U+FFFD.
std::string json_text(boost::json::value const& value);
/// Writes the line and its end at once, so that lines of several programs do not mix.
void write_line(std::FILE* to, std::string_view line);
/// Why `write_line` could not write to standard output, the first time; none where it always could.
std::error_code lost_output() noexcept;
/// How wide the terminal of this descriptor is; 80 where it does not say.
std::size_t terminal_columns(int terminal);
/// `1.5 GiB`, `312 MiB`, `17 B`.
std::string size_text(std::uint64_t bytes);

/// The two standard streams of one command. Not for several threads at once.
///
/// Remote text goes through `escaped` before it comes here, except into events, which escape it themselves.
class output {
public:
    explicit output(output_options options);
    ~output();
    output(output const&) = delete;
    output& operator=(output const&) = delete;

    /// One line of the result on standard output; nothing with `--json`, where events are the result.
    void result(std::string_view line);
    /// With `--json`, one object on standard output: `event`, `time` and `fields`. Nothing otherwise.
    void event(std::string_view name, boost::json::object fields);
    /// One object alone on standard output, for commands whose result is one object.
    void object(boost::json::object const& fields);
    /// One line of chatter on standard error; of very many, some (`options::log_gate`).
    void note(std::string_view line);
    /// How far it is, on standard error: one redrawn line at a terminal, a plain line every `plain_interval` elsewhere.
    /// With `--json` also an event `progress`, if there are `fields`. Does nothing unless `progress_due`.
    void progress(std::string_view line, boost::json::object fields = {});
    /// Whether it is time for the next progress line: spares composing it.
    bool progress_due() const;
    /// Says why it failed, in one line on standard error (and as an event `error`), and passes the status on.
    int fail(exit_status status, std::string_view message);

    bool json() const noexcept { return options_.json; }

private:
    void draw(std::string_view line);
    void clear_progress();

    output_options options_;
    bool terminal_;
    options::log_gate notes_{options::log_pace};
    std::size_t progress_width_ = 0;                         // columns of the line that is shown now
    std::chrono::steady_clock::time_point next_progress_{};  // of redrawn lines and events
    std::chrono::steady_clock::time_point next_plain_;
};

/// The progress of hashing, in bytes.
void show_hashing(output& out, std::uint64_t done, std::uint64_t total);

/// Between redraws of the progress line, and between progress events: smooth to the eye.
inline constexpr auto redraw_interval = std::chrono::milliseconds{200};
/// Between progress lines where there is no terminal: short logs.
inline constexpr auto plain_interval = std::chrono::seconds{5};
}  // namespace shoal::cli
