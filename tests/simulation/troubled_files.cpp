#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"
#include "support/failing_heap.hpp"

#include "troubled_files.hpp"

using namespace shoal;
using store::file_number;

namespace simulated_swarm {
namespace {
std::error_code io_error() {
    return {EIO, std::system_category()};
}
bool strikes(unsigned& left) {
    return left > 0 && left-- > 0;
}
}  // namespace

// What stands for the system always has memory.
#define SHOAL_AS_THE_SYSTEM()          \
    failing_heap::sheltered const own; \
    SHOAL_TRY(alive())

troubled_files::troubled_files(std::shared_ptr<store::simulated_disk> disk, std::shared_ptr<disk_troubles> troubles,
                               observer on_write)
    : simulated_files(disk), disk_(std::move(disk)), troubles_(std::move(troubles)), on_write_(std::move(on_write)) {}

void troubled_files::end_process() {
    simulated_files::unlock();
    has_ended_ = true;
}

result<void> troubled_files::alive() const {
    if (has_ended_) return io_error();
    return success();
}

result<void> troubled_files::lock() {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::lock();
}

void troubled_files::unlock() {
    if (!has_ended_) simulated_files::unlock();
}

result<std::optional<store::file_status>> troubled_files::status(file_number file) {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::status(file);
}

result<void> troubled_files::read(file_number file, std::uint64_t offset, mutable_byte_view into) {
    SHOAL_AS_THE_SYSTEM();
    if (strikes(troubles_->failing_reads)) {
        troubles_->tell("fails to read");
        return io_error();
    }
    SHOAL_TRY(simulated_files::read(file, offset, into));
    auto const& rotten = troubles_->rotten;
    for (auto at = rotten.lower_bound({file, offset});
         at != rotten.end() && at->first == file && at->second < offset + into.size(); ++at)
        into[at->second - offset] ^= troubles_->mark;
    return success();
}

result<void> troubled_files::open_for_writing(file_number file, store::adopting adopt,
                                              std::optional<std::uint64_t> reserve_size) {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::open_for_writing(file, adopt, reserve_size);
}

result<void> troubled_files::write(file_number file, std::uint64_t offset, std::span<byte_view const> buffers) {
    SHOAL_AS_THE_SYSTEM();
    if (strikes(troubles_->failing_writes)) {
        troubles_->tell("fails to write");
        return io_error();
    }
    if (strikes(troubles_->short_writes)) {
        troubles_->tell("writes a part");
        auto const part = buffers.front().first(buffers.front().size() / 2);
        SHOAL_TRY(simulated_files::write(file, offset, std::span{&part, 1}));
        return io_error();
    }
    std::uint64_t size = 0;
    for (auto const& each : buffers) {
        on_write_(file, offset + size, each);
        size += each.size();
    }
    auto& rotten = troubles_->rotten;
    rotten.erase(rotten.lower_bound({file, offset}), rotten.lower_bound({file, offset + size}));
    SHOAL_TRY(simulated_files::write(file, offset, buffers));
    if (size > 0 && strikes(troubles_->misdirected_writes)) {
        // It is not where it should be, and something else is not any more where it went.
        rotten.emplace(file, offset + size / 2);
        troubles_->tell("writes elsewhere");
        troubles_->chance = troubles_->chance * 6364136223846793005 + 1442695040888963407;
        if (offset > 0) rotten.emplace(file, (troubles_->chance >> 33) % offset);
    }
    return success();
}

result<void> troubled_files::sync(std::span<file_number const> files) {
    SHOAL_AS_THE_SYSTEM();
    if (strikes(troubles_->failing_syncs)) disk_->fail(1, EIO);
    auto const synced = simulated_files::sync(files);
    for (auto const each : files)
        troubles_->tell((synced ? "syncs file " : "fails to sync file ") + std::to_string(each));
    return synced;
}

result<void> troubled_files::complete(file_number file, std::uint64_t size) {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::complete(file, size);
}

result<void> troubled_files::drop_cache(file_number file) {
    failing_heap::sheltered const own;
    troubles_->tell("drops what is cached of file " + std::to_string(file));
    return has_ended_ ? success() : simulated_files::drop_cache(file);
}

result<std::optional<byte_vector>> troubled_files::read_journal() {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::read_journal();
}

result<void> troubled_files::append_journal(byte_view record) {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::append_journal(record);
}

result<void> troubled_files::replace_journal(byte_view journal) {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::replace_journal(journal);
}

result<void> troubled_files::set_journal_aside() {
    SHOAL_AS_THE_SYSTEM();
    return simulated_files::set_journal_aside();
}
}  // namespace simulated_swarm
