module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
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
constexpr int lock_tries_max = 100;
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

/// Locks a file of its own, since the journal is replaced by renaming. Who only reads has it for some milliseconds, and
/// is waited for; who is there for longer appends.
result<shared_descriptor> lock_beside(std::filesystem::path const& path) {
    SHOAL_TRY(auto file, open_path(with_suffix(path, ".lock"), O_RDWR | O_CREAT));
    for (int tries = 1;; ++tries) {
        auto const locked = lock_file(file->number(), true);
        if (locked) return file;
        if (tries == lock_tries_max) return locked.error();
        std::this_thread::sleep_for(lock_again_after);
    }
}
}  // namespace

journal_file::journal_file(std::string path, bool appends) : path_(std::move(path)), appends_(appends) {}

journal_file::mark journal_file::mark_of(byte_view journal) noexcept {
    mark of{journal.size(), {}};
    auto const end = journal.last(std::min(journal.size(), of.end.size()));
    std::ranges::copy(end, of.end.begin());
    return of;
}

result<journal_file::mark> journal_file::mark_in(int number) {
    struct stat facts{};
    if (::fstat(number, &facts) != 0) return error_of(errno);
    mark of{static_cast<std::uint64_t>(facts.st_size), {}};
    auto const length = std::min<std::uint64_t>(of.size, of.end.size());
    if (::pread(number, of.end.data(), length, static_cast<off_t>(of.size - length)) < 0) return error_of(errno);
    return of;
}

result<void> journal_file::lock() {
    SHOAL_TRY(make_folders(std::filesystem::path{path_}.parent_path(),
                           0700));  // what somebody fetches is nobody else's business
    if (!appends_) return success();
    SHOAL_TRY(lock_, lock_beside(path_));
    return success();
}

result<shared_descriptor> journal_file::enter() const {
    if (appends_) return lock_;
    return lock_beside(path_);
}

/// Whether nobody has replaced what this object has read or written last. What is gone claims nothing.
result<bool> journal_file::is_as_left() const {
    if (appends_ || !known_) return true;
    auto const opened = open_path(path_, O_RDONLY);
    if (!opened && opened.error() == errc::missing_file) return true;
    if (!opened) return opened.error();
    SHOAL_TRY(auto const there, mark_in(opened.value()->number()));
    return there == *known_;
}

result<std::optional<byte_vector>> journal_file::read() {
    auto const turn = enter();
    if (!turn && turn.error() == errc::in_use) is_anothers_ = true;
    if (is_anothers_) return std::nullopt;
    if (!turn) return turn.error();
    known_ = mark{};
    auto opened = open_path(path_, O_RDONLY);
    if (!opened && opened.error() == errc::missing_file) return std::nullopt;
    if (!opened) return opened.error();
    SHOAL_TRY(known_, mark_in(opened.value()->number()));
    if (known_->size > journal::size_max) return errc::bad_journal;
    byte_vector bytes(static_cast<std::size_t>(known_->size));
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
    SHOAL_TRY(auto const turn, enter());
    SHOAL_TRY(auto const is_ours, is_as_left());
    if (!is_ours) is_anothers_ = true;
    if (is_anothers_) return success();
    auto const fresh = with_suffix(path_, ".new");
    {
        SHOAL_TRY(auto file, open_path(fresh, O_WRONLY | O_CREAT | O_TRUNC));
        SHOAL_TRY(write_all(file->number(), journal));
        if (::fsync(file->number()) != 0) return error_of(errno);
    }
    file_.reset();
    if (::rename(fresh.c_str(), path_.c_str()) != 0) return error_of(errno);
    known_ = mark_of(journal);
    return sync_folder_of(path_);
}

result<void> journal_file::set_aside() {
    SHOAL_TRY(auto const turn, enter());
    SHOAL_TRY(auto const is_ours, is_as_left());
    if (!is_ours) is_anothers_ = true;
    if (is_anothers_) return success();
    file_.reset();
    if (::rename(path_.c_str(), with_suffix(path_, ".bad").c_str()) != 0) return error_of(errno);
    known_ = mark{};
    return sync_folder_of(path_);
}
}  // namespace shoal::store
