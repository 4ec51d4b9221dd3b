module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "core/try.hpp"

module shoal.store;
import :disk;
import :files;
import shoal.core;

namespace shoal::store {
namespace {
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
}  // namespace

journal_file::journal_file(std::filesystem::path path) : path_(std::move(path)) {}

result<void> journal_file::lock() {
    SHOAL_TRY(make_folders(path_.parent_path(), 0700));  // what somebody fetches is nobody else's business
    // A file of its own, since the journal is replaced by renaming.
    SHOAL_TRY(lock_, open_path(with_suffix(path_, ".lock"), O_RDWR | O_CREAT));
    return lock_file(lock_->number(), true);
}

result<std::optional<byte_vector>> journal_file::read() {
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
    auto const fresh = with_suffix(path_, ".new");
    {
        SHOAL_TRY(auto file, open_path(fresh, O_WRONLY | O_CREAT | O_TRUNC));
        SHOAL_TRY(write_all(file->number(), journal));
        if (::fsync(file->number()) != 0) return error_of(errno);
    }
    file_.reset();
    if (::rename(fresh.c_str(), path_.c_str()) != 0) return error_of(errno);
    return sync_folder_of(path_);
}

result<void> journal_file::set_aside() {
    file_.reset();
    if (::rename(path_.c_str(), with_suffix(path_, ".bad").c_str()) != 0) return error_of(errno);
    return sync_folder_of(path_);
}
}  // namespace shoal::store
