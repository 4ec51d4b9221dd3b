module;
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "core/try.hpp"

module shoal.store;
import :disk;
import shoal.core;

namespace shoal::store {
namespace {
/// openat2 answers EAGAIN when something on the path is renamed meanwhile.
constexpr int open_attempts_max = 16;
}  // namespace

descriptor::~descriptor() {
    ::close(number_);
}

std::error_code error_of(int error_number) noexcept {
    switch (error_number) {
        case ENOSPC:
        case EDQUOT:
            return errc::no_space;
        case ENOENT:
            return errc::missing_file;
        case ELOOP:
        case EXDEV:
            return errc::symbolic_link;
        case ENOTDIR:
        case EISDIR:
        case ENXIO:
            return errc::not_a_file;
        case EMFILE:
        case ENFILE:
            return errc::too_many_files;
        case EROFS:
            return errc::read_only;
        default:
            return {error_number, std::system_category()};
    }
}

result<shared_descriptor> open_below(int folder, std::string const& path, int flags, unsigned mode) {
    open_how how{};
    how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
    how.mode = (flags & O_CREAT) != 0 ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    for (int attempt = 0;; ++attempt) {
        auto const number = static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how));
        if (number >= 0) return std::make_shared<descriptor const>(number);
        if ((errno != EAGAIN && errno != EINTR) || attempt == open_attempts_max) return error_of(errno);
    }
}

result<shared_descriptor> open_file_below(int folder, std::string const& path, int flags, unsigned mode) {
    // O_NONBLOCK: opening a pipe would wait for its other end.
    SHOAL_TRY(auto opened, open_below(folder, path, flags | O_NONBLOCK, mode));
    struct stat facts{};
    if (::fstat(opened->number(), &facts) != 0) return error_of(errno);
    if (!S_ISREG(facts.st_mode)) return errc::not_a_file;
    return opened;
}

result<void> make_folders_below(int folder, std::string const& path) {
    shared_descriptor inside;
    for (std::size_t begin = 0, end = path.find('/'); end != std::string::npos;
         begin = end + 1, end = path.find('/', begin)) {
        auto const name = path.substr(begin, end - begin);
        auto const at = inside ? inside->number() : folder;
        if (::mkdirat(at, name.c_str(), 0755) != 0 && errno != EEXIST) return error_of(errno);
        SHOAL_TRY(inside, open_below(at, name, O_PATH | O_DIRECTORY));
    }
    return success();
}

result<void> make_folders(std::filesystem::path const& path, unsigned mode) {
    std::filesystem::path made;
    for (auto const& element : path) {
        made /= element;
        struct stat facts{};
        if (::stat(made.c_str(), &facts) == 0) continue;
        if (::mkdir(made.c_str(), mode) != 0 && errno != EEXIST) return error_of(errno);
    }
    return success();
}

result<void> lock_file(int number, bool exclusive) {
    if (::flock(number, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return success();
    if (errno == EWOULDBLOCK) return errc::in_use;
    // Network file systems may not lock folders, or not at all; the journal's lock is then what there is.
    return success();
}
}  // namespace shoal::store
