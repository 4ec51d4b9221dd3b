module;
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
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
std::string folder_of(std::string const& path) {
    auto const slash = path.rfind('/');
    return slash == std::string::npos ? std::string{} : path.substr(0, slash);
}
std::string name_of(std::string const& path) {
    auto const slash = path.rfind('/');
    return slash == std::string::npos ? path : path.substr(slash + 1);
}

// Both names lie in one folder, which is opened first so that the rename follows no link.
result<void> rename_below(int root, std::string const& from, std::string const& to) {
    shared_descriptor folder;
    if (auto const path = folder_of(from); !path.empty()) {
        SHOAL_TRY(folder, open_below(root, path, O_PATH | O_DIRECTORY));
    }
    auto const at = folder ? folder->number() : root;
    auto const old_name = name_of(from);
    auto const new_name = name_of(to);
    if (::renameat2(at, old_name.c_str(), at, new_name.c_str(), RENAME_NOREPLACE) == 0) return success();
    if (errno == EINVAL) {  // a file system without the flag
        if (::linkat(at, old_name.c_str(), at, new_name.c_str(), 0) == 0 && ::unlinkat(at, old_name.c_str(), 0) == 0)
            return success();
    }
    if (errno == EEXIST) return errc::foreign_file;
    return error_of(errno);
}

/// Whether somebody wrote to the file: space that was only reserved is none.
result<bool> holds_something(int number) {
    struct stat facts{};
    if (::fstat(number, &facts) != 0) return error_of(errno);
    return facts.st_size > 0 && !(::lseek(number, 0, SEEK_DATA) < 0 && errno == ENXIO);
}
}  // namespace

std::string const& disk_files::root_name() const {
    return settings_.names.root.empty() ? torrent_->name() : settings_.names.root;
}

std::string disk_files::final_path(file_number file) const {
    if (torrent_->single_file()) return root_name();
    if (auto const named = settings_.names.paths.find(file); named != settings_.names.paths.end()) return named->second;
    return torrent_->content().files()[file].joined();
}

std::string disk_files::part_path(file_number file) const {
    auto const path = final_path(file);
    auto const folder = folder_of(path);
    auto const name = metainfo::part_name(name_of(path));
    return folder.empty() ? name : folder + '/' + name;
}

result<shared_descriptor> disk_files::root(bool create) {
    {
        std::lock_guard const lock(mutex_);
        if (root_) return root_;
    }
    if (create) {
        SHOAL_TRY(make_folders(settings_.directory, 0755));
    }
    // The user's folder may be a link; below it none is followed. Of several files it is the way to theirs, and need
    // not be readable itself.
    auto const kind = torrent_->single_file() ? O_RDONLY : O_PATH;
    auto const number = ::open(settings_.directory.c_str(), kind | O_DIRECTORY | O_CLOEXEC);
    if (number < 0) return error_of(errno);
    shared_descriptor found = std::make_shared<descriptor const>(number);
    if (!torrent_->single_file()) {
        if (create && ::mkdirat(number, root_name().c_str(), 0755) != 0 && errno != EEXIST) return error_of(errno);
        SHOAL_TRY(found, open_below(number, root_name(), O_RDONLY | O_DIRECTORY));
        SHOAL_TRY(lock_content(found));
    }
    if (is_only_read()) return found;
    std::lock_guard const lock(mutex_);
    if (!root_) root_ = found;
    return root_;
}

result<shared_descriptor> disk_files::open(file_number file, bool writable) {
    {
        std::lock_guard const lock(mutex_);
        if (is_only_read() && content_lock_) return content_lock_;
        if (auto const at = open_.find(file); at != open_.end() && (at->second.writable || !writable)) {
            by_use_.splice(by_use_.begin(), by_use_, at->second.used);
            return at->second.descriptor;
        }
    }
    auto const below = root(false);
    if (!below) return failed(file, below.error());
    auto const flags = writable ? O_RDWR : O_RDONLY;
    auto const try_both = [&]() -> result<shared_descriptor> {
        bool const is_part_first = settings_.writable;
        auto opened =
            open_file_below(below.value()->number(), is_part_first ? part_path(file) : final_path(file), flags);
        // Only a file under its incomplete name is written to: see `open_for_writing`.
        if (opened || writable || opened.error() != errc::missing_file) return opened;
        return open_file_below(below.value()->number(), is_part_first ? final_path(file) : part_path(file), flags);
    };
    auto opened = try_both();
    if (!opened && opened.error() == errc::too_many_files) {
        close_some(settings_.open_files_max);
        opened = try_both();
    }
    if (!opened) return failed(file, opened.error());
    if (is_only_read()) {
        opened = lock_content(std::move(opened.value()));
        return opened ? opened : failed(file, opened.error());
    }
    keep(file, opened.value(), writable);
    return opened;
}

void disk_files::keep(file_number file, shared_descriptor opened, bool writable) {
    bool full;
    {
        std::lock_guard const lock(mutex_);
        if (auto const at = open_.find(file); at != open_.end()) {
            at->second.descriptor = std::move(opened);
            at->second.writable = writable;
            return;
        }
        by_use_.push_front(file);
        open_[file] = {std::move(opened), writable, by_use_.begin()};
        full = open_.size() > settings_.open_files_max;
    }
    if (full) close_some(1);
}

void disk_files::close_some(std::size_t count) {
    std::lock_guard const lock(mutex_);
    for (; count > 0 && by_use_.size() > 1; --count) {
        open_.erase(by_use_.back());
        by_use_.pop_back();
    }
}

void disk_files::forget(file_number file) {
    std::lock_guard const lock(mutex_);
    if (is_only_read() && content_lock_) {
        ::flock(content_lock_->number(), LOCK_UN);  // a mapping may keep the file open
        content_lock_.reset();
    }
    auto const at = open_.find(file);
    if (at == open_.end()) return;
    by_use_.erase(at->second.used);
    open_.erase(at);
}

result<void> disk_files::open_for_writing(file_number file, adopting adopt, std::optional<std::uint64_t> reserve_size) {
    if (!settings_.writable) return failed(file, errc::read_only);
    std::lock_guard const creating(creating_);
    auto opened = open(file, true);
    if (opened && adopt == adopting::nothing) {
        auto const is_used = holds_something(opened.value()->number());
        if (!is_used || is_used.value()) {
            forget(file);
            return failed_part(file, is_used ? make_error_code(errc::foreign_file) : is_used.error());
        }
    }
    if (!opened && opened.error() == errc::missing_file) {
        auto const below = root(true);
        if (!below) return failed(file, below.error());
        auto const final_one = open_file_below(below.value()->number(), final_path(file), O_RDONLY);
        if (final_one) {
            if (adopt != adopting::all) return failed(file, errc::foreign_file);
            auto const renamed = rename_below(below.value()->number(), final_path(file), part_path(file));
            if (!renamed) return failed(file, renamed.error());
            forget(file);
            opened = open(file, true);
        } else if (final_one.error() == errc::missing_file) {
            opened = open_new(below.value()->number(), file);
        } else {
            return failed(file, final_one.error());
        }
    }
    if (!opened) return failed(file, opened.error());
    if (torrent_->single_file()) {
        SHOAL_TRY(lock_content(opened.value()));
    }
    if (!reserve_size || is_reserved(file)) return success();
    auto const done = reserve(opened.value()->number(), 0, *reserve_size);
    if (!done && done.error() == std::errc::operation_not_supported) return success();
    if (!done) return failed(file, done.error());
    std::lock_guard const lock(mutex_);
    reserved_[file] = true;
    return success();
}

result<shared_descriptor> disk_files::open_new(int root, file_number file) {
    auto const path = part_path(file);
    SHOAL_TRY(make_folders_below(root, path));
    SHOAL_TRY(auto opened, open_file_below(root, path, O_RDWR | O_CREAT | O_EXCL, 0644));
    forget(file);
    keep(file, opened, true);
    return opened;
}

bool disk_files::is_reserved(file_number file) const {
    std::lock_guard const lock(mutex_);
    return reserved_[file];
}

result<void> disk_files::reserve(int number, std::uint64_t offset, std::uint64_t size) {
    struct stat before{};
    if (::fstat(number, &before) != 0) return error_of(errno);
    while (::fallocate(number, 0, static_cast<off_t>(offset), static_cast<off_t>(size)) != 0) {
        auto why = errno;
        if (why == EINTR) continue;
        // Nothing was reserved: what is longer now was written meanwhile.
        if (why == EOPNOTSUPP) return make_error_code(std::errc::operation_not_supported);
        // What was reserved is given back, so that a full disk does not stay fuller for the attempt.
        struct stat after{};
        bool const is_longer = ::fstat(number, &after) == 0 && after.st_size > before.st_size;
        if (is_longer && ::ftruncate(number, before.st_size) != 0) why = errno;
        return error_of(why);
    }
    return success();
}

result<void> disk_files::complete(file_number file, std::uint64_t size) {
    if (!settings_.writable) return failed(file, errc::read_only);
    std::lock_guard const creating(creating_);
    auto const below = root(true);
    if (!below) return failed(file, below.error());
    auto const at = below.value()->number();
    auto opened = open_file_below(at, part_path(file), O_RDWR);
    if (!opened && opened.error() != errc::missing_file) return failed(file, opened.error());
    if (!opened) {
        auto const final_one = open_file_below(at, final_path(file), O_RDONLY);
        if (final_one) {
            struct stat facts{};
            if (::fstat(final_one.value()->number(), &facts) != 0) return failed(file, error_of(errno));
            // A longer one begins like ours and still is somebody's own.
            if (static_cast<std::uint64_t>(facts.st_size) != size) return failed(file, errc::foreign_file);
            return success();
        }
        if (final_one.error() != errc::missing_file) return failed(file, final_one.error());
        if (size != 0) return failed(file, errc::missing_file);
        opened = open_new(at, file);
        if (!opened) return failed(file, opened.error());
    }
    struct stat facts{};
    if (::fstat(opened.value()->number(), &facts) != 0) return failed(file, error_of(errno));
    if (static_cast<std::uint64_t>(facts.st_size) < size) return failed(file, errc::truncated_file);
    if (size == 0 && facts.st_size > 0) return failed_part(file, errc::foreign_file);  // we never wrote to it
    if (static_cast<std::uint64_t>(facts.st_size) > size &&
        ::ftruncate(opened.value()->number(), static_cast<off_t>(size)) != 0)
        return failed(file, error_of(errno));
    if (auto const renamed = rename_below(at, part_path(file), final_path(file)); !renamed)
        return failed(file, renamed.error());
    forget(file);  // a descriptor for writing
    return success();
}
}  // namespace shoal::store
