module;
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

module shoal.measure;

namespace shoal::measure {
namespace {
[[noreturn]] void fail(int error, char const* what) {
    throw std::system_error(error, std::system_category(), what);
}

seconds of(timeval const& time) {
    return std::chrono::seconds{time.tv_sec} + std::chrono::microseconds{time.tv_usec};
}

/// Whether a descriptor has something to read, in so long.
bool is_ready(int descriptor, seconds within) {
    pollfd waited{descriptor, POLLIN, 0};
    auto const limit = std::chrono::duration_cast<std::chrono::milliseconds>(within).count();
    return ::poll(&waited, 1, static_cast<int>(limit)) > 0;
}
}  // namespace

child child::of_self(std::vector<std::string> const& words, stream heard) {
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) fail(errno, "pipe");
    std::vector<std::string> texts = words;
    texts.insert(texts.begin(), "/proc/self/exe");
    std::vector<char*> arguments, environment;
    for (auto& each : texts) arguments.push_back(each.data());
    arguments.push_back(nullptr);
    for (auto** each = environ; *each != nullptr; ++each)
        if (!std::string_view{*each}.starts_with("SHOAL_")) environment.push_back(*each);
    environment.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, pipe[1], static_cast<int>(heard));
    pid_t process = 0;
    auto const error =
        ::posix_spawn(&process, texts.front().c_str(), &actions, nullptr, arguments.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[1]);
    if (error != 0) {
        ::close(pipe[0]);
        fail(error, "cannot start this program again");
    }
    return child{process, pipe[0]};
}

child child::of(std::function<int()> const& work) {
    auto const process = ::fork();
    if (process < 0) fail(errno, "fork");
    if (process > 0) return child{process, -1};
    int status = EXIT_FAILURE;
    try {
        status = work();
    } catch (std::exception const&) {}
    ::_exit(status);
}

child::child(child&& other) noexcept
    : process_(std::exchange(other.process_, 0)),
      printed_(std::exchange(other.printed_, -1)),
      unread_(std::move(other.unread_)) {}

child::~child() {
    if (process_ > 0) {
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
    }
    if (printed_ >= 0) ::close(printed_);
}

std::optional<std::string> child::read_line(seconds within) {
    stopwatch const waited;
    for (;;) {
        if (auto const end = unread_.find('\n'); end != std::string::npos) {
            auto line = unread_.substr(0, end);
            unread_.erase(0, end + 1);
            return line;
        }
        auto const left = within - waited.elapsed();
        if (printed_ < 0 || left <= seconds{0} || !is_ready(printed_, left)) return std::nullopt;
        std::array<char, 4096> more;
        auto const count = ::read(printed_, more.data(), more.size());
        if (count <= 0) return std::nullopt;
        unread_.append(more.data(), static_cast<std::size_t>(count));
    }
}

seconds child::cpu() const {
    clockid_t clock{};
    timespec time{};
    if (process_ <= 0 || ::clock_getcpuclockid(process_, &clock) != 0 || ::clock_gettime(clock, &time) != 0)
        return seconds{0};
    return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

std::uint64_t child::anonymous_bytes() const {
    std::ifstream status{"/proc/" + std::to_string(process_) + "/status"};
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10) * 1024;
    return 0;
}

child::end child::wait(seconds within) {
    auto const process = std::exchange(process_, 0);
    if (process <= 0) return {-1, {}};
    auto const handle = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
    if (handle < 0 || !is_ready(handle, within)) ::kill(process, SIGKILL);
    if (handle >= 0) ::close(handle);
    int status = 0;
    rusage used{};
    while (::wait4(process, &status, 0, &used) < 0 && errno == EINTR) {}
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, measure::of(used.ru_utime) + measure::of(used.ru_stime)};
}

work_folder::work_folder(std::filesystem::path const& place) {
    auto name = ((place.empty() ? std::filesystem::temp_directory_path() : place) / "shoal-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail(errno, name.c_str());
    path_ = name;
}

work_folder::~work_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}
}  // namespace shoal::measure
