module;
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a program needs to measure itself and others: processes whose time and memory are their own, and figures.
/// For programs of one thread. What cannot be started throws `std::system_error`.
export module shoal.measure;

export namespace shoal::measure {
using seconds = std::chrono::duration<double>;

/// A process of its own. It is killed with this object, unless it has ended.
class child {
public:
    /// This program once more, with other words; variables of the environment that set its options are left out.
    /// What it writes to `heard` is read by `read_line`, and all else goes where ours goes.
    enum class stream : int { output = 1, complaints = 2 };
    static child of_self(std::vector<std::string> const& words, stream heard = stream::output);
    /// `work` in a copy of this process; its result is the exit status.
    static child of(std::function<int()> const& work);
    ~child();
    child(child&& other) noexcept;
    child& operator=(child&& other) = delete;

    /// The next line that it wrote, without its end; nothing when it ended or the time is over.
    std::optional<std::string> read_line(seconds within);
    /// Its processor time, user and system, while it runs.
    seconds cpu() const;
    /// Bytes of memory that it holds, without files that it maps, while it runs.
    std::uint64_t anonymous_bytes() const;

    struct end {
        int status;   ///< Of `exit`; -1 where a signal ended it.
        seconds cpu;  ///< From its start to its end.
    };
    /// Waits for its end, and kills it after so long.
    end wait(seconds within);

private:
    explicit child(pid_t process, int printed) noexcept : process_(process), printed_(printed) {}

    pid_t process_;
    int printed_;  // the other end of what is heard of it; -1: nothing is
    std::string unread_;
};

/// A folder that is there while this object lives, with all that is in it.
class work_folder {
public:
    /// In `place`; empty: where the system has its temporary files.
    explicit work_folder(std::filesystem::path const& place);
    ~work_folder();
    work_folder(work_folder const&) = delete;
    work_folder& operator=(work_folder const&) = delete;
    std::filesystem::path const& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

/// Time that passes on the monotonic clock, since it was made.
class stopwatch {
public:
    stopwatch() noexcept : began_(std::chrono::steady_clock::now()) {}
    seconds elapsed() const noexcept { return std::chrono::steady_clock::now() - began_; }

private:
    std::chrono::steady_clock::time_point began_;
};

/// The middle of the values, of an even number the mean of the middle two; 0 of none.
double median(std::vector<double> values);
/// The value below which `part` (0 to 1) of the values lie; 0 of none.
double percentile(std::vector<double> values, double part);

/// Rows of equally wide columns, the first to the left and the others to the right: for people.
class table {
public:
    explicit table(std::vector<std::string> headings) : rows_{std::move(headings)} {}
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    /// One line for each row.
    std::vector<std::string> lines() const;

private:
    std::vector<std::vector<std::string>> rows_;
};
/// `0.25`, with so many digits behind the point.
std::string number_text(double value, int digits);
}  // namespace shoal::measure
