module;
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

module shoal.hub;
import :database;
import shoal.core;

namespace shoal::hub {
namespace fs = std::filesystem;

namespace {
std::error_code last_error() noexcept {
    if (errno == EROFS) return errc::read_only;
    if (errno == ENOSPC || errno == EDQUOT) return errc::no_space;
    return {errno, std::system_category()};
}

fs::path with_suffix(fs::path path, std::string_view suffix) {
    return path += suffix;
}

/// `2026-11-22T20:45:10Z`, without the colons.
std::string date_of(std::time_t seconds) {
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H%M%SZ", &parts)};
}
}  // namespace

lock_file::~lock_file() {
    ::close(number_);
}

result<std::unique_ptr<lock_file>> lock_catalogue(fs::path const& file) {
    if (file.has_parent_path()) {
        std::error_code why;
        fs::create_directories(file.parent_path(), why);
        if (why) return why;
    }
    auto const opened = [](fs::path const& path) { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); };
    auto const number = opened(with_suffix(file, ".lock"));
    if (number < 0) return last_error();
    auto taken = std::make_unique<lock_file>(number);
    if (::flock(number, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return errc::in_use;
        return last_error();
    }
    // Only behind the lock: closing a file ends the locks that SQLite has on it in this process.
    auto const made = opened(file);
    if (made < 0) return last_error();
    ::close(made);
    return taken;
}

result<void> check_header(fs::path const& file) {
    std::array<char, 100> header{};
    std::ifstream in(file, std::ios::binary);
    auto const is_whole = static_cast<bool>(in.read(header.data(), header.size()));
    if (in.gcount() == 0) return success();  // new
    if (!is_whole) return errc::damaged;
    for (auto const version : {header[18], header[19]})
        if (version < 1 || version > 2) return errc::damaged;
    return success();
}

result<fs::path> set_file_aside(fs::path const& file) {
    struct stat facts{};
    if (::stat(file.c_str(), &facts) != 0) return last_error();
    auto const first = with_suffix(file, ".bad-" + date_of(facts.st_mtime));
    auto aside = first;
    std::error_code why;
    for (int number = 2; fs::exists(aside, why); ++number) aside = with_suffix(first, "-" + std::to_string(number));
    // The log first: on a new file of this name it would be taken for its own.
    for (auto const* const suffix : {"-wal", "-journal"})
        if (fs::exists(with_suffix(file, suffix), why))
            if (fs::rename(with_suffix(file, suffix), with_suffix(aside, suffix), why); why) return why;
    fs::remove(with_suffix(file, "-shm"), why);
    if (fs::rename(file, aside, why); why) return why;
    return aside;
}
}  // namespace shoal::hub
