module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "core/try.hpp"

module shoal.store;
import :disk;
import :files;
import shoal.core;

namespace shoal::store {
namespace {
/// A journal takes some milliseconds to write; whoever takes longer than all tries together stands still.
constexpr int lock_tries_max = 200;
constexpr auto lock_again_after = std::chrono::milliseconds{5};

// The journal's path is the user's own: links in it are his.
result<shared_descriptor> open_path(std::filesystem::path const& path, int flags) {
    auto const number = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (number < 0) return error_of(errno);
    return std::make_shared<descriptor const>(number);
}

result<void> write_all(int number, byte_view bytes) {
    while (!bytes.empty()) {
        auto const count = ::write(number, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return error_of(errno);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return success();
}

result<void> sync_folder_of(std::filesystem::path const& path) {
    SHOAL_TRY(auto folder, open_path(path.has_parent_path() ? path.parent_path() : ".", O_RDONLY | O_DIRECTORY));
    if (::fsync(folder->number()) != 0) return error_of(errno);
    return success();
}

std::filesystem::path with_suffix(std::filesystem::path path, char const* suffix) {
    return path += suffix;
}

bool is_still_at(int number, std::filesystem::path const& path) {
    struct stat ours{}, there{};
    return ::fstat(number, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

/// Waits for others who write to the file. What they wrote is renamed by then, and is not the file any more.
result<shared_descriptor> open_locked(std::filesystem::path const& path) {
    for (int tries = 0; tries < lock_tries_max; ++tries) {
        SHOAL_TRY(auto file, open_path(path, O_WRONLY | O_CREAT));
        auto const locked = lock_file(file->number(), true);
        if (locked && is_still_at(file->number(), path)) return file;
        if (!locked) std::this_thread::sleep_for(lock_again_after);
    }
    return errc::in_use;
}
}  // namespace

journal_file::journal_file(std::filesystem::path path, bool appends) : path_(std::move(path)), appends_(appends) {}

result<void> journal_file::lock() {
    SHOAL_TRY(make_folders(path_.parent_path(), 0700));  // what somebody fetches is nobody else's business
    if (!appends_) return success();
    // A file of its own, since the journal is replaced by renaming.
    SHOAL_TRY(lock_, open_path(lock_path(), O_RDWR | O_CREAT));
    return lock_file(lock_->number(), true);
}

std::filesystem::path journal_file::lock_path() const {
    return with_suffix(path_, ".lock");
}

result<journal_file::access> journal_file::enter() const {
    if (appends_) return access{lock_};
    auto const found = open_path(lock_path(), O_RDONLY);
    if (!found && found.error() == errc::missing_file) return access{};
    if (!found) return found.error();
    auto const locked = lock_file(found.value()->number(), false);
    if (!locked && locked.error() != errc::in_use) return locked.error();
    return access{found.value(), !locked};
}

result<std::optional<byte_vector>> journal_file::read() {
    SHOAL_TRY(auto const access, enter());
    if (access.is_anothers) return std::nullopt;
    auto opened = open_path(path_, O_RDONLY);
    if (!opened && opened.error() == errc::missing_file) return std::nullopt;
    if (!opened) return opened.error();
    struct stat facts{};
    if (::fstat(opened.value()->number(), &facts) != 0) return error_of(errno);
    if (static_cast<std::size_t>(facts.st_size) > journal::size_max) return errc::bad_journal;
    byte_vector bytes(static_cast<std::size_t>(facts.st_size));
    std::size_t filled = 0;
    while (filled < bytes.size()) {
        auto const count = ::read(opened.value()->number(), bytes.data() + filled, bytes.size() - filled);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return error_of(errno);
        if (count == 0) break;
        filled += static_cast<std::size_t>(count);
    }
    bytes.resize(filled);
    return std::optional{std::move(bytes)};
}

result<void> journal_file::append(byte_view record) {
    if (!file_) {
        SHOAL_TRY(file_, open_path(path_, O_WRONLY | O_APPEND));
    }
    SHOAL_TRY(write_all(file_->number(), record));
    if (::fdatasync(file_->number()) != 0) return error_of(errno);
    return success();
}

result<void> journal_file::replace(byte_view journal) {
    SHOAL_TRY(auto const access, enter());
    if (access.is_anothers) return success();
    auto const fresh = with_suffix(path_, ".new");
    SHOAL_TRY(auto file, open_locked(fresh));
    if (::ftruncate(file->number(), 0) != 0) return error_of(errno);
    SHOAL_TRY(write_all(file->number(), journal));
    if (::fsync(file->number()) != 0) return error_of(errno);
    file_.reset();
    if (::rename(fresh.c_str(), path_.c_str()) != 0) return error_of(errno);
    return sync_folder_of(path_);
}

result<void> journal_file::set_aside() {
    SHOAL_TRY(auto const access, enter());
    if (access.is_anothers) return success();
    file_.reset();
    if (::rename(path_.c_str(), with_suffix(path_, ".bad").c_str()) != 0) return error_of(errno);
    return sync_folder_of(path_);
}
}  // namespace shoal::store
