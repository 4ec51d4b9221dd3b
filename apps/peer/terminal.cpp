module;
#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>
#include <wchar.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <clocale>
#include <coroutine>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module peer;
import shoal.asio;
import shoal.core;
import shoal.net;
import :output;
import :screen;

namespace shoal::cli {
namespace {
constexpr int history_lines = 500;
/// A key that sends several bytes sends them at once. A lone escape is not waited for longer than this.
constexpr int key_patience_ms = 20;
/// Candidates that are listed; more are counted.
constexpr std::size_t listed_max = 40;
/// Between two lines of progress at a terminal.
constexpr auto progress_interval = std::chrono::seconds{1};

std::size_t columns_of(std::string_view text) {
    std::size_t columns = 0;
    while (auto const character = take_code_point(text))
        columns += static_cast<std::size_t>(std::max(::wcwidth(static_cast<wchar_t>(*character)), 0));
    return columns;
}

/// Characters are shown and typed as UTF-8 whatever the environment says.
void use_utf8() {
    std::setlocale(LC_CTYPE, "");
    if (std::string_view{::nl_langinfo(CODESET)} != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

/// libedit, fed key by key when there are some, so that it never waits on the network's thread.
class terminal final : public screen {
public:
    terminal(asio::any_io_executor const& executor, std::string prompt, completer complete)
        : prompt_(std::move(prompt)),
          complete_(std::move(complete)),
          input_(executor, STDIN_FILENO),
          resized_(executor, SIGWINCH) {
        use_utf8();
        edit_ = ::el_init("peer", stdin, stdout, stderr);
        history_ = ::history_init();
        HistEvent event{};
        ::history(history_, &event, H_SETSIZE, history_lines);
        ::history(history_, &event, H_SETUNIQUE, 1);
        ::el_set(edit_, EL_CLIENTDATA, this);
        ::el_set(edit_, EL_EDITOR, "emacs");
        ::el_set(edit_, EL_SIGNAL, 0);
        ::el_set(edit_, EL_PROMPT, &prompt_of);
        ::el_set(edit_, EL_GETCFN, &key_of);
        ::el_set(edit_, EL_HIST, ::history, history_);
        ::el_set(edit_, EL_ADDFN, "shoal-complete", "Complete the word", &complete_in);
        ::el_set(edit_, EL_BIND, "^I", "shoal-complete", nullptr);
        ::el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
        ::el_set(edit_, EL_UNBUFFERED, 1);
        is_editing_ = true;
    }
    ~terminal() override {
        erase_line();
        ::el_set(edit_, EL_UNBUFFERED, 0);
        ::el_end(edit_);
        ::history_end(history_);
    }

    net::task<std::optional<std::string>> next_line() override {
        while (lines_.empty()) {
            if (is_ended_) co_return std::nullopt;
            co_await input_.wait();
            take_key();
        }
        auto line = std::move(lines_.front());
        lines_.pop_front();
        co_return line;
    }
    void show(std::string_view line) override {
        erase_line();
        std::fwrite(line.data(), 1, line.size(), stdout);
        std::fputc('\n', stdout);
        std::fflush(stdout);
        if (is_editing_) ::el_set(edit_, EL_REFRESH);
    }
    void complain(std::string_view line) override { show(line); }
    void progress(std::string_view line) override {
        auto const now = std::chrono::steady_clock::now();
        if (now < next_progress_ || line == last_progress_) return;
        next_progress_ = now + progress_interval;
        last_progress_ = line;
        show(line);
    }

private:
    static terminal& of(EditLine* edit) {
        void* self = nullptr;
        ::el_get(edit, EL_CLIENTDATA, &self);
        return *static_cast<terminal*>(self);
    }
    static char* prompt_of(EditLine* edit) { return of(edit).prompt_.data(); }
    static unsigned char complete_in(EditLine* edit, int) { return of(edit).complete_word(); }

    /// The next character; none when no key is there.
    static int key_of(EditLine* edit, wchar_t* key) {
        auto& self = of(edit);
        auto const first = self.next_byte();
        if (!first) return 0;
        std::string bytes(1, *first);
        auto const lead = static_cast<unsigned char>(*first);
        std::size_t const length = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        while (bytes.size() < length) {
            auto const next = self.next_byte();
            if (!next) return 0;
            bytes += *next;
        }
        std::string_view text = bytes;
        auto const character = take_code_point(text);
        *key = character ? static_cast<wchar_t>(*character) : L'?';
        return 1;
    }
    std::optional<char> next_byte() {
        pollfd waits{STDIN_FILENO, POLLIN, 0};
        if (::poll(&waits, 1, key_patience_ms) <= 0) return std::nullopt;
        char byte = 0;
        auto const count = ::read(STDIN_FILENO, &byte, 1);
        if (count == 1) return byte;
        if (count == 0 || (errno != EINTR && errno != EAGAIN)) is_ended_ = true;  // the terminal is gone
        return std::nullopt;
    }

    void take_key() {
        if (resized_signalled()) ::el_resize(edit_);
        int count = 0;
        auto const* const text = ::el_gets(edit_, &count);
        if (!text || count <= 0) return;
        std::string_view line{text, static_cast<std::size_t>(count)};
        bool const is_end = line == "\x04";  // Control-D on an empty line
        if (!is_end && line.back() != '\n' && line.back() != '\r') return;
        line.remove_suffix(1);
        lines_.emplace_back(line.substr(0, line_bytes_max));
        if (is_end) {
            lines_.pop_back();
            is_ended_ = true;
            std::fputc('\n', stdout);
        } else if (!line.empty()) {
            HistEvent event{};
            ::history(history_, &event, H_ENTER, lines_.back().c_str());
        }
        is_editing_ = false;
        ::el_set(edit_, EL_UNBUFFERED, 0);
        if (is_end) return;
        ::el_set(edit_, EL_UNBUFFERED, 1);  // a new line, with its prompt
        is_editing_ = true;
    }
    bool resized_signalled() {
        auto const columns = terminal_columns(STDOUT_FILENO);
        return std::exchange(columns_, columns) != columns;
    }

    unsigned char complete_word() {
        auto const* const typed = ::el_line(edit_);
        std::string const before(typed->buffer, typed->cursor);
        auto const candidates = complete_(before);
        if (candidates.empty()) return CC_ERROR;
        auto const word = before.substr(before.find_last_of(' ') + 1);
        std::string common = candidates.front();
        for (auto const& each : candidates)
            common.resize(static_cast<std::size_t>(std::ranges::mismatch(common, each).in1 - common.begin()));
        auto addition = common.substr(std::min(word.size(), common.size()));
        if (candidates.size() == 1) addition += ' ';
        if (!addition.empty()) {
            ::el_insertstr(edit_, addition.c_str());
            return CC_REFRESH;
        }
        std::string list;
        for (std::size_t i = 0; i < std::min(candidates.size(), listed_max); ++i)
            list.append(i == 0 ? "" : "  ").append(candidates[i]);
        if (candidates.size() > listed_max) list += "  and " + std::to_string(candidates.size() - listed_max) + " more";
        show(list);
        return CC_NORM;
    }

    /// Clears what is being typed, on however many rows, and leaves the cursor where its prompt began.
    void erase_line() {
        if (!is_editing_) return;
        auto const* const typed = ::el_line(edit_);
        auto const columns =
            columns_of(prompt_) + columns_of({typed->buffer, static_cast<std::size_t>(typed->cursor - typed->buffer)});
        std::string erase = "\r";
        if (auto const rows = columns / terminal_columns(STDOUT_FILENO); rows > 0)
            erase += "\x1b[" + std::to_string(rows) + "A";
        erase += "\x1b[J";
        std::fwrite(erase.data(), 1, erase.size(), stdout);
        std::fflush(stdout);
    }

    std::string prompt_;
    completer complete_;
    readable input_;
    asio::signal_set resized_;  // only so that the signal ends no call; the size is looked up
    EditLine* edit_ = nullptr;
    History* history_ = nullptr;
    std::deque<std::string> lines_;
    bool is_editing_ = false;
    bool is_ended_ = false;
    std::size_t columns_ = terminal_columns(STDOUT_FILENO);
    std::string last_progress_;
    std::chrono::steady_clock::time_point next_progress_{};
};
}  // namespace

std::unique_ptr<screen> make_terminal(asio::any_io_executor executor, std::string prompt, completer complete) {
    return std::make_unique<terminal>(executor, std::move(prompt), std::move(complete));
}
}  // namespace shoal::cli
