module;
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

module peer;
import shoal.core;
import shoal.options;

namespace shoal::cli {
namespace {
std::error_code first_loss;  // of standard output, of which there is one

/// `\uNNNN`, a surrogate pair past U+FFFF.
void append_escape(std::string& out, char32_t code_point) {
    auto const unit = [&out](unsigned value) {
        std::array<char, 7> text{};
        std::snprintf(text.data(), text.size(), "\\u%04x", value);
        out += text.data();
    };
    if (code_point < 0x10000) return unit(code_point);
    unit(0xd800 + ((code_point - 0x10000) >> 10));
    unit(0xdc00 + ((code_point - 0x10000) & 0x3ff));
}

bool needs_escape(char32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == U'<' || c == U'&' || c == 0x2028 || c == 0x2029 ||
           is_invisible(c);
}

/// UTC, milliseconds: `2026-01-31T12:00:00.000Z`.
std::string time_text(std::chrono::system_clock::time_point when) {
    auto const since = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
    std::time_t const seconds = since / 1000;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::array<char, 40> text{};
    auto const length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text.data() + length, text.size() - length, ".%03dZ", static_cast<int>(since % 1000));
    return text.data();
}

/// At most `columns` code points of valid UTF-8.
std::string_view cut(std::string_view line, std::size_t columns) {
    auto rest = line;
    while (columns-- > 0 && take_code_point(rest)) {}
    return line.substr(0, line.size() - rest.size());
}
}  // namespace

std::size_t terminal_columns(int terminal) {
    winsize size{};
    if (ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) return size.ws_col;
    return 80;
}

void write_line(std::FILE* stream, std::string_view line) {
    std::fwrite(line.data(), 1, line.size(), stream);
    std::fputc('\n', stream);
    bool const is_written = std::fflush(stream) == 0 && std::ferror(stream) == 0;
    if (!is_written && stream == stdout && !first_loss) first_loss = {errno, std::system_category()};
}

std::error_code lost_output() noexcept {
    return first_loss;
}

std::string json_text(boost::json::value const& value) {
    auto const plain = boost::json::serialize(value);
    std::string text;
    text.reserve(plain.size());
    for (std::string_view rest = plain; !rest.empty();) {
        auto const code_point = take_code_point(rest);
        if (!code_point) {
            text += "\\ufffd";
            rest.remove_prefix(1);
        } else if (needs_escape(*code_point)) {
            append_escape(text, *code_point);
        } else {
            append_utf8(text, *code_point);
        }
    }
    return text;
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text.data();
}

output::output(output_options options)
    : options_(options),
      terminal_(isatty(STDERR_FILENO) == 1),
      next_plain_(std::chrono::steady_clock::now() + plain_interval) {}
output::~output() {
    clear_progress();
    if (notes_.left_out() > 0) write_line(stderr, options::left_out_line(notes_.left_out()));
}

void output::result(std::string_view line) {
    if (options_.json) return;
    clear_progress();
    write_line(stdout, line);
}

void output::event(std::string_view name, boost::json::object fields) {
    if (!options_.json) return;
    boost::json::object all{{"event", name}, {"time", time_text(std::chrono::system_clock::now())}};
    for (auto& [key, value] : fields) all[key] = std::move(value);
    object(all);
}

void output::object(boost::json::object const& fields) {
    clear_progress();
    write_line(stdout, json_text(fields));
}

void output::note(std::string_view line) {
    if (options_.quiet) return;
    auto const before = notes_.admit(std::chrono::steady_clock::now());
    if (!before) return;
    clear_progress();
    if (*before > 0) write_line(stderr, options::left_out_line(*before));
    write_line(stderr, line);
}

bool output::progress_due() const {
    return (options_.json || !options_.quiet) && std::chrono::steady_clock::now() >= next_progress_;
}

void output::progress(std::string_view line, boost::json::object fields) {
    if (!progress_due()) return;
    auto const now = std::chrono::steady_clock::now();
    next_progress_ = now + redraw_interval;
    if (!fields.empty()) event("progress", std::move(fields));
    if (options_.quiet) return;
    if (terminal_) return draw(line);
    if (now < next_plain_) return;
    next_plain_ = now + plain_interval;
    write_line(stderr, line);
}

void show_hashing(output& out, std::uint64_t done, std::uint64_t total) {
    if (!out.progress_due()) return;
    out.progress("hashing " + size_text(done) + " of " + size_text(total) + " (" +
                     std::to_string(total == 0 ? 100 : done * 100 / total) + " %)",
                 {{"hashed", done}, {"size", total}});
}

void output::draw(std::string_view line) {
    auto const shown = cut(line, terminal_columns(STDERR_FILENO) - 1);
    std::string text = "\r";
    text.append(shown);
    if (shown.size() < progress_width_) text.append(progress_width_ - shown.size(), ' ');
    progress_width_ = shown.size();
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
}

int output::fail(exit_status status, std::string_view message) {
    event("error", {{"message", message}, {"status", static_cast<int>(status)}});
    clear_progress();
    write_line(stderr, std::string{"peer: "}.append(message));
    return static_cast<int>(status);
}

void output::clear_progress() {
    if (progress_width_ == 0) return;
    std::fprintf(stderr, "\r%*s\r", static_cast<int>(progress_width_), "");
    std::fflush(stderr);
    progress_width_ = 0;
}
}  // namespace shoal::cli
