module;
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.store;
import :disk;
import shoal.core;
import shoal.metainfo;

namespace shoal::store {
namespace {
/// Buffers in one pwritev; the system takes 1024 (IOV_MAX).
constexpr std::size_t gather_max = 256;
/// More files than this are synced by one syncfs, which costs less than a flush of the disk for each.
constexpr std::size_t sync_singly_max = 32;

std::int64_t nanoseconds(timespec const& t) {
    return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
}

/// Brings pages in for writing; an errno, or 0.
int make_present(mutable_byte_view mapped) {
    // madvise takes whole pages.
    auto const page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    auto const begin = reinterpret_cast<std::uintptr_t>(mapped.data()) / page * page;
    auto const end = reinterpret_cast<std::uintptr_t>(mapped.data() + mapped.size());
    return ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
}

/// Whether mincore tells the truth: of files that are not ours to write it says that all is in memory.
bool tells_residency(int number) {
    struct stat facts{};
    return ::fstat(number, &facts) == 0 &&
           (facts.st_uid == ::geteuid() || ::faccessat(number, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0);
}

std::error_code sync_error(int error_number) {
    return error_number == ENOSPC || error_number == EDQUOT ? errc::no_space : errc::sync_failed;
}
}  // namespace

back_end_files::~back_end_files() = default;
result<std::optional<mapped_bytes>> back_end_files::prepare(file_number, std::uint64_t, std::size_t) {
    return std::nullopt;
}
void back_end_files::rest() {}
void back_end_files::map_for_reading(file_number, std::uint64_t, std::size_t) {}
std::optional<mapped_bytes> back_end_files::resident(file_number, std::uint64_t, std::size_t) {
    return std::nullopt;
}
std::string back_end_files::last_failed_path() const {
    return {};
}

result<std::shared_ptr<back_end_files>> open_disk_files(std::shared_ptr<metainfo::torrent const> torrent,
                                                        disk_settings settings) {
    if (settings.mapped) install_bus_guard();
    return std::make_shared<disk_files>(std::move(torrent), std::move(settings));
}

disk_files::disk_files(std::shared_ptr<metainfo::torrent const> torrent, disk_settings settings)
    : torrent_(std::move(torrent)),
      settings_(std::move(settings)),
      windows_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))),
      reserved_(torrent_->content().files().size()) {
    if (!settings_.journal.empty()) journal_.emplace(std::exchange(settings_.journal, {}), settings_.writable);
}

result<void> disk_files::lock() {
    if (journal_) {
        SHOAL_TRY(journal_->lock());
    }
    auto const found = root(false);
    if (!found) return found.error() == errc::missing_file ? result<void>(success()) : found.error();
    if (!torrent_->single_file()) {
        SHOAL_TRY(lock_content(found.value()));
        return success();
    }
    for (auto const is_part : {settings_.writable, !settings_.writable}) {
        auto const path = is_part ? part_path(0) : final_path(0);
        auto const file = open_file_below(found.value()->number(), path, O_RDONLY);
        if (!file) continue;
        SHOAL_TRY(lock_content(file.value()));
        break;
    }
    return success();
}

void disk_files::unlock() {
    if (journal_) journal_->unlock();
    std::lock_guard const lock(mutex_);
    if (content_lock_) ::flock(content_lock_->number(), LOCK_UN);
    content_lock_.reset();
}

result<shared_descriptor> disk_files::lock_content(shared_descriptor content) {
    std::lock_guard const lock(mutex_);
    if (content_lock_) return content_lock_;
    SHOAL_TRY(lock_file(content->number(), settings_.writable));
    content_lock_ = std::move(content);
    return content_lock_;
}

result<std::optional<file_status>> disk_files::status(file_number file) {
    auto const below = root(false);
    if (!below && below.error() == errc::missing_file) return std::nullopt;
    if (!below) return failed(file, below.error());
    for (auto const is_part : {settings_.writable, !settings_.writable}) {
        auto const path = is_part ? part_path(file) : final_path(file);
        auto opened = open_below(below.value()->number(), path, O_PATH);
        if (!opened && opened.error() == errc::too_many_files) {
            close_some(settings_.open_files_max);
            opened = open_below(below.value()->number(), path, O_PATH);
        }
        if (!opened && opened.error() == errc::missing_file) continue;
        if (!opened) return failed(file, opened.error());
        struct stat facts{};
        if (::fstat(opened.value()->number(), &facts) != 0) return failed(file, error_of(errno));
        if (!S_ISREG(facts.st_mode)) return failed(file, errc::not_a_file);
        return std::optional{
            file_status{static_cast<std::uint64_t>(facts.st_size), nanoseconds(facts.st_mtim), is_part}};
    }
    return std::nullopt;
}

result<void> disk_files::read(file_number file, std::uint64_t offset, mutable_byte_view into) {
    SHOAL_TRY(auto opened, open(file, false));
    while (!into.empty()) {
        auto const count = ::pread(opened->number(), into.data(), into.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed(file, error_of(errno));
        if (count == 0) {
            windows_.drop(file);
            forget(file);  // it may have been replaced
            return failed(file, errc::truncated_file);
        }
        into = into.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
    return success();
}

result<void> disk_files::write(file_number file, std::uint64_t offset, std::span<byte_view const> buffers) {
    SHOAL_TRY(auto opened, open(file, true));
    std::array<iovec, gather_max> gather{};
    std::size_t skip = 0;  // of the first buffer
    while (!buffers.empty()) {
        auto const count = std::min(buffers.size(), gather_max);
        for (std::size_t i = 0; i < count; ++i)
            gather[i] = {const_cast<std::byte*>(buffers[i].data()), buffers[i].size()};
        gather[0] = {const_cast<std::byte*>(buffers[0].data()) + skip, buffers[0].size() - skip};
        auto const written =
            ::pwritev(opened->number(), gather.data(), static_cast<int>(count), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return failed(file, error_of(errno));
        offset += static_cast<std::uint64_t>(written);
        skip += static_cast<std::size_t>(written);
        while (!buffers.empty() && skip >= buffers[0].size()) {
            skip -= buffers[0].size();
            buffers = buffers.subspan(1);
        }
    }
    return success();
}

result<void> disk_files::sync(std::span<file_number const> files) {
    if (files.size() > sync_singly_max) {
        SHOAL_TRY(auto below, root(false));
        if (::syncfs(below->number()) != 0) return sync_error(errno);
        return success();
    }
    for (auto const file : files) {
        auto const opened = open(file, false);
        if (!opened && opened.error() == errc::missing_file) continue;  // its status will say so
        if (!opened) return opened.error();
        // Not fdatasync: the time of modification must survive as well, since the journal compares it.
        if (::fsync(opened.value()->number()) != 0) return failed(file, sync_error(errno));
    }
    return success();
}

result<void> disk_files::drop_cache(file_number file) {
    windows_.drop(file);  // mapped pages would stay
    forget(file);         // another file may stand in its place
    auto const opened = open(file, false);
    if (!opened && opened.error() == errc::missing_file) return success();
    if (!opened) return opened.error();
    ::posix_fadvise(opened.value()->number(), 0, 0, POSIX_FADV_DONTNEED);
    return success();
}

result<std::optional<mapped_bytes>> disk_files::prepare(file_number file, std::uint64_t offset, std::size_t size) {
    if (!settings_.mapped) return std::nullopt;
    SHOAL_TRY(auto opened, open(file, true));
    if (!is_reserved(file)) {
        auto const done = reserve(opened->number(), offset, size);
        // Without a reservation a full disk would show as a dead page: use buffers.
        if (!done && done.error() == std::errc::operation_not_supported) return std::nullopt;
        if (!done) return failed(file, done.error());
    }
    auto const file_size = torrent_->content().files()[file].size;
    auto made = windows_.map(opened->number(), file, file_size, offset, size, true);
    if (!made && (made.error() == errc::too_many_files || made.error() == std::errc::no_such_device))
        return std::nullopt;
    if (!made) return failed(file, made.error());
    auto why = make_present(made.value().bytes);
    if (why == EFAULT) {  // somebody cut the file after it was reserved
        if (auto const done = reserve(opened->number(), offset, size); !done) return failed(file, done.error());
        why = make_present(made.value().bytes);
    }
    if (why == EINVAL) return std::nullopt;  // before Linux 5.14
    if (why == EFAULT || why == EHWPOISON) return failed(file, errc::dead_page);
    if (why != 0) return failed(file, error_of(why));
    return std::optional{std::move(made.value())};
}

void disk_files::map_for_reading(file_number file, std::uint64_t offset, std::size_t size) {
    if (!settings_.mapped || offset / window_size != (offset + size - 1) / window_size) return;
    auto const opened = open(file, false);
    if (!opened || !tells_residency(opened.value()->number())) return;
    auto const file_size = torrent_->content().files()[file].size;
    if (!windows_.map(opened.value()->number(), file, file_size, offset, size, false)) return;
    windows_.populate(file, offset, size);
}

std::optional<mapped_bytes> disk_files::resident(file_number file, std::uint64_t offset, std::size_t size) {
    if (!settings_.mapped) return std::nullopt;
    return windows_.resident(file, offset, size);
}

void disk_files::rest() {
    if (journal_) journal_->rest();
    std::lock_guard const lock(mutex_);
    open_.clear();
    by_use_.clear();
}

std::int64_t disk_files::now() const {
    timespec present{};
    ::clock_gettime(CLOCK_REALTIME, &present);
    return nanoseconds(present);
}

result<std::optional<byte_vector>> disk_files::read_journal() {
    if (!journal_) return std::nullopt;
    return journal_->read();
}
result<void> disk_files::append_journal(byte_view record) {
    return journal_->append(record);
}
result<void> disk_files::replace_journal(byte_view journal) {
    return journal_->replace(journal);
}
result<void> disk_files::set_journal_aside() {
    return journal_->set_aside();
}

std::string disk_files::last_failed_path() const {
    std::lock_guard const lock(mutex_);
    return last_failed_path_;
}

std::error_code disk_files::failed(file_number file, std::error_code why) {
    return failed_at(final_path(file), why);
}

std::error_code disk_files::failed_part(file_number file, std::error_code why) {
    return failed_at(part_path(file), why);
}

std::error_code disk_files::failed_at(std::string const& path, std::error_code why) {
    auto whole = std::filesystem::path{settings_.directory} / (torrent_->single_file() ? "" : root_name()) / path;
    std::lock_guard const lock(mutex_);
    last_failed_path_ = whole.string();
    return why;
}
}  // namespace shoal::store
