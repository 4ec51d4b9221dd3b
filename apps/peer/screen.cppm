module;
#include <coroutine>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Where the console's lines come from and where its words go: a script or a terminal.
module peer:screen;
import shoal.asio;
import shoal.net;

namespace shoal::cli {
/// A line longer than this is no command: the longest path that a system takes, and its command.
inline constexpr std::size_t line_bytes_max = 8192;

/// All text that comes here is escaped where it is a stranger's.
class screen {
public:
    virtual ~screen();
    /// The next line that was typed or written in the script; nothing at its end. Cancelling is allowed.
    virtual net::task<std::optional<std::string>> next_line() = 0;
    /// A reply, or something that a remote peer did.
    virtual void show(std::string_view line) = 0;
    /// Why a command failed.
    virtual void complain(std::string_view line) = 0;
    /// How far a long command is; shown now and then.
    virtual void progress(std::string_view line) = 0;
};

/// Gives for the text before the cursor what its last word may become.
using completer = std::function<std::vector<std::string>(std::string_view before_cursor)>;

/// Reads standard input as it is; replies go to standard output, complaints and progress to standard error.
std::unique_ptr<screen> make_script(asio::any_io_executor executor);
/// A line editor with history and completion on the terminal. What is shown appears above the line that is being
/// typed. One at a time.
std::unique_ptr<screen> make_terminal(asio::any_io_executor executor, std::string prompt, completer complete);

/// Says when a descriptor can be read without waiting. Its flags are left alone: they belong to all who share it, and
/// a terminal that does not block loses output.
class readable {
public:
    readable(asio::any_io_executor const& executor, int descriptor);
    ~readable();
    /// Returns when it can be read, or is at its end. Regular files always can.
    net::task<void> wait();

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};
}  // namespace shoal::cli
