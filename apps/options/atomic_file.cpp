module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

module shoal.options;
import shoal.core;

namespace shoal::options {
namespace {
[[noreturn]] void fail(int error_number) {
    throw std::system_error{error_number, std::generic_category()};
}
std::filesystem::path folder_of(std::filesystem::path const& path) {
    return path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
}
}  // namespace

atomic_file::atomic_file(std::filesystem::path path, unsigned mode) : path_(std::move(path)) {
    if (std::filesystem::is_directory(path_)) fail(EISDIR);
    auto temporary = path_;
    temporary += "." + std::to_string(getpid()) + ".tmp";
    auto const make = [&] { return open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode); };
    file_ = make();
    // One that an earlier process of this number left half written is in the way.
    if (file_ < 0 && errno == EEXIST && unlink(temporary.c_str()) == 0) file_ = make();
    if (file_ < 0) fail(errno);
    temporary_ = std::move(temporary);
    // Root writes for whoever owned it, so that its owner's programs can read it still; where even root may not give a
    // file away, it is as any program would leave it.
    struct stat before{};
    if (geteuid() == 0 && (stat(path_.c_str(), &before) == 0 || stat(folder_of(path_).c_str(), &before) == 0))
        static_cast<void>(fchown(file_, before.st_uid, before.st_gid) == 0);
}

atomic_file::~atomic_file() {
    if (file_ >= 0) close(file_);
    if (!temporary_.empty()) unlink(temporary_.c_str());
}

void atomic_file::fill(byte_view content) {
    while (!content.empty()) {
        auto const count = write(file_, content.data(), content.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail(errno);
        content = content.subspan(static_cast<std::size_t>(count));
    }
}

void atomic_file::take_place() {
    if (rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
    temporary_.clear();
}

void atomic_file::commit_unsynced(byte_view content) {
    fill(content);
    take_place();
}

void atomic_file::commit(byte_view content) {
    fill(content);
    if (fsync(file_) != 0) fail(errno);
    take_place();
    // The name itself is durable when its folder is. Some file systems cannot sync a folder; the file is there anyway.
    auto const parent = open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) return;
    fsync(parent);
    close(parent);
}
}  // namespace shoal::options
