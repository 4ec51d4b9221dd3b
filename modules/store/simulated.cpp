module;
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.store;
import :disk;
import shoal.core;

namespace shoal::store {
namespace {
constexpr std::size_t sector_size = 512;
std::string final_name(file_number file) {
    return std::to_string(file);
}
std::string part_name(file_number file) {
    return std::to_string(file) + ".part";
}
constexpr auto journal_name = "journal";

void put_bytes(byte_vector& into, std::uint64_t offset, byte_view bytes) {
    if (into.size() < offset + bytes.size()) into.resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), into.begin() + static_cast<std::ptrdiff_t>(offset));
}
}  // namespace

simulated_disk::simulated_disk(std::uint64_t seed, std::uint64_t capacity) : random_(seed), capacity_(capacity) {}

void simulated_disk::fail(std::uint64_t n, int error_number, std::uint64_t count) {
    std::lock_guard const lock(mutex_);
    fail_from_ = calls_ + n;
    fail_count_ = count;
    fail_with_ = error_number;
}

void simulated_disk::set_capacity(std::uint64_t bytes) {
    std::lock_guard const lock(mutex_);
    capacity_ = bytes;
}

void simulated_disk::crash() {
    std::lock_guard const lock(mutex_);
    ++epoch_;
    locked_ = false;
    for (auto at = files_.begin(); at != files_.end();) {
        auto& [name, file] = *at;
        // A file whose creation was not synced is there or not.
        if (!file.is_durable && random_() % 2 == 0) {
            at = files_.erase(at);
            continue;
        }
        auto after = file.durable;
        for (auto const& [offset, bytes] : file.unsynced)
            for (std::size_t begin = 0; begin < bytes.size(); begin += sector_size)
                if (random_() % 2 == 0)
                    put_bytes(after, offset + begin,
                              byte_view{bytes}.subspan(begin, std::min(sector_size, bytes.size() - begin)));
        file.now = file.durable = std::move(after);
        file.unsynced.clear();
        if (random_() % 2 == 0) file.modified = file.durable_modified;
        file.durable_modified = file.modified;
        file.is_durable = true;
        ++at;
    }
}

std::uint64_t simulated_disk::calls() const {
    std::lock_guard const lock(mutex_);
    return calls_;
}

std::optional<byte_vector> simulated_disk::content(std::string const& name) const {
    std::lock_guard const lock(mutex_);
    auto const at = files_.find(name);
    if (at == files_.end()) return std::nullopt;
    return at->second.now;
}

std::optional<bool> simulated_disk::holds(std::string const& name, std::uint64_t offset, byte_view bytes) const {
    std::lock_guard const lock(mutex_);
    auto const at = files_.find(name);
    if (at == files_.end()) return std::nullopt;
    auto const& now = at->second.now;
    return offset + bytes.size() <= now.size() && equal(byte_view{now}.subspan(offset, bytes.size()), bytes);
}

void simulated_disk::put(std::string const& name, byte_vector content) {
    std::lock_guard const lock(mutex_);
    ++clock_;
    files_[name] = {content, content, {}, clock_, clock_, true};
}

void simulated_disk::remove(std::string const& name) {
    std::lock_guard const lock(mutex_);
    files_.erase(name);
}

std::vector<std::string> simulated_disk::names() const {
    std::lock_guard const lock(mutex_);
    std::vector<std::string> names;
    for (auto const& [name, file] : files_) names.push_back(name);
    return names;
}

result<void> simulated_disk::touch(std::uint64_t epoch) {
    ++calls_;
    if (epoch != epoch_) return std::error_code(EIO, std::system_category());
    if (fail_with_ != 0 && calls_ >= fail_from_ && calls_ < fail_from_ + fail_count_) return error_of(fail_with_);
    return success();
}

std::uint64_t simulated_disk::used() const {
    std::uint64_t sum = 0;
    for (auto const& [name, file] : files_) sum += file.now.size();
    return sum;
}

void simulated_disk::write_to(file& into, std::uint64_t offset, byte_view bytes) {
    put_bytes(into.now, offset, bytes);
    into.unsynced.push_back({offset, {bytes.begin(), bytes.end()}});
    into.modified = ++clock_;
}

void simulated_disk::make_durable(file& what) {
    // Not simply `now`: what an earlier sync failed to write stays missing, although a read still shows it.
    for (auto const& [offset, bytes] : what.unsynced) put_bytes(what.durable, offset, bytes);
    what.durable.resize(what.now.size());
    what.unsynced.clear();
    what.durable_modified = what.modified;
    what.is_durable = true;
}

simulated_files::simulated_files(std::shared_ptr<simulated_disk> disk) : disk_(std::move(disk)) {
    std::lock_guard const lock(disk_->mutex_);
    epoch_ = disk_->epoch_;
}

simulated_files::~simulated_files() {
    unlock();
}

void simulated_files::unlock() {
    std::lock_guard const lock(disk_->mutex_);
    if (holds_lock_ && epoch_ == disk_->epoch_) disk_->locked_ = false;
    holds_lock_ = false;
}

simulated_disk::file* simulated_files::find(file_number file) {
    for (auto const& name : {part_name(file), final_name(file)})
        if (auto const at = disk_->files_.find(name); at != disk_->files_.end()) return &at->second;
    return nullptr;
}

result<void> simulated_files::lock() {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    if (disk_->locked_) return errc::in_use;
    disk_->locked_ = holds_lock_ = true;
    return success();
}

result<std::optional<file_status>> simulated_files::status(file_number file) {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    auto const* const found = find(file);
    if (found == nullptr) return std::nullopt;
    return std::optional{file_status{found->now.size(), found->modified, disk_->files_.contains(part_name(file))}};
}

result<void> simulated_files::read(file_number file, std::uint64_t offset, mutable_byte_view into) {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    auto const* const found = find(file);
    if (found == nullptr) return errc::missing_file;
    if (found->now.size() < offset + into.size()) return errc::truncated_file;
    std::copy_n(found->now.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return success();
}

result<void> simulated_files::open_for_writing(file_number file, adopting adopt,
                                               std::optional<std::uint64_t> reserve_size) {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    auto& files = disk_->files_;
    if (auto const part = files.find(part_name(file)); part != files.end()) {
        auto const is_zero = [](std::byte b) { return b == std::byte{}; };
        if (adopt == adopting::nothing && !std::ranges::all_of(part->second.now, is_zero)) return errc::foreign_file;
    } else {
        if (files.contains(final_name(file))) {
            if (adopt != adopting::all) return errc::foreign_file;
            auto node = files.extract(final_name(file));
            node.key() = part_name(file);
            files.insert(std::move(node));
        } else {
            auto& made = files[part_name(file)];
            made.modified = made.durable_modified = ++disk_->clock_;
        }
    }
    auto& found = files[part_name(file)];
    if (!reserve_size || found.now.size() >= *reserve_size) return success();
    if (disk_->used() - found.now.size() + *reserve_size > disk_->capacity_) return errc::no_space;
    found.now.resize(*reserve_size);
    found.durable.resize(*reserve_size);
    return success();
}

result<void> simulated_files::write(file_number file, std::uint64_t offset, std::span<byte_view const> buffers) {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    auto const at = disk_->files_.find(part_name(file));
    if (at == disk_->files_.end()) return errc::missing_file;
    for (auto const buffer : buffers) {
        auto const end = std::max<std::uint64_t>(at->second.now.size(), offset + buffer.size());
        if (disk_->used() - at->second.now.size() + end > disk_->capacity_) return errc::no_space;
        disk_->write_to(at->second, offset, buffer);
        offset += buffer.size();
    }
    return success();
}

result<void> simulated_files::sync(std::span<file_number const> files) {
    std::lock_guard const lock(disk_->mutex_);
    for (auto const file : files) {
        auto* const found = find(file);
        if (auto const touched = disk_->touch(epoch_); !touched) {
            // As Linux does: the pages count as clean, and the disk never got them.
            if (found != nullptr) found->unsynced.clear();
            return touched.error() == errc::no_space ? errc::no_space : errc::sync_failed;
        }
        if (found != nullptr) disk_->make_durable(*found);
    }
    return success();
}

result<void> simulated_files::complete(file_number file, std::uint64_t size) {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    auto& files = disk_->files_;
    auto const part = files.find(part_name(file));
    auto const whole = files.find(final_name(file));
    if (part == files.end()) {
        if (whole != files.end())
            return whole->second.now.size() == size ? result<void>(success()) : errc::foreign_file;
        if (size != 0) return errc::missing_file;
        auto& made = files[final_name(file)];
        made.modified = made.durable_modified = ++disk_->clock_;
        return success();
    }
    if (whole != files.end()) return errc::foreign_file;
    if (part->second.now.size() < size) return errc::truncated_file;
    if (size == 0 && !part->second.now.empty()) return errc::foreign_file;
    if (part->second.now.size() > size) {
        part->second.now.resize(size);
        part->second.durable.resize(std::min<std::size_t>(part->second.durable.size(), size));
        std::erase_if(part->second.unsynced, [&](auto const& w) { return w.offset + w.bytes.size() > size; });
        part->second.modified = ++disk_->clock_;
    }
    auto node = files.extract(part);
    node.key() = final_name(file);
    files.insert(std::move(node));
    return success();
}

result<void> simulated_files::drop_cache(file_number file) {
    std::lock_guard const lock(disk_->mutex_);
    auto* const found = find(file);
    if (found == nullptr) return success();
    SHOAL_TRY(disk_->touch(epoch_));
    // Dirty pages stay in the cache.
    auto fresh = found->durable;
    for (auto const& [offset, bytes] : found->unsynced) put_bytes(fresh, offset, bytes);
    found->now = std::move(fresh);
    return success();
}

std::int64_t simulated_files::now() const {
    std::lock_guard const lock(disk_->mutex_);
    return disk_->clock_;
}

result<std::optional<byte_vector>> simulated_files::read_journal() {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    auto const at = disk_->files_.find(journal_name);
    if (at == disk_->files_.end()) return std::nullopt;
    return std::optional{at->second.now};
}

result<void> simulated_files::append_journal(byte_view record) {
    std::lock_guard const lock(disk_->mutex_);
    auto& journal = disk_->files_[journal_name];
    // The write and its sync may each fail.
    SHOAL_TRY(disk_->touch(epoch_));
    if (disk_->used() + record.size() > disk_->capacity_) return errc::no_space;
    disk_->write_to(journal, journal.now.size(), record);
    SHOAL_TRY(disk_->touch(epoch_));
    disk_->make_durable(journal);
    return success();
}

result<void> simulated_files::replace_journal(byte_view bytes) {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    if (disk_->used() + bytes.size() > disk_->capacity_) return errc::no_space;
    byte_vector const whole(bytes.begin(), bytes.end());
    auto const now = ++disk_->clock_;
    disk_->files_[journal_name] = {whole, whole, {}, now, now, true};
    return success();
}

result<void> simulated_files::set_journal_aside() {
    std::lock_guard const lock(disk_->mutex_);
    SHOAL_TRY(disk_->touch(epoch_));
    auto node = disk_->files_.extract(journal_name);
    if (node.empty()) return success();
    node.key() = "journal.bad";
    disk_->files_.erase("journal.bad");
    disk_->files_.insert(std::move(node));
    return success();
}
}  // namespace shoal::store
