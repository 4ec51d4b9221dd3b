#pragma once
// Files on a disk that does what disks do. Include it last: it imports.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>

import shoal.core;
import shoal.store;

namespace simulated_swarm {
/// What a disk is about to do wrong; it outlives the process, as the disk does.
struct disk_troubles {
    unsigned failing_reads = 0, failing_writes = 0, short_writes = 0, failing_syncs = 0, misdirected_writes = 0;
    /// Bytes that the disk gives back otherwise than they were written, until they are written again.
    std::set<std::pair<shoal::store::file_number, std::uint64_t>> rotten;
    std::byte mark{};          ///< What they differ by: it tells later whose they were.
    std::uint64_t chance = 1;  ///< For where a write goes instead.
    std::function<void(std::string const& what)> tell = [](std::string const&) {};  ///< What it does wrong, and syncs.
};

/// The files of one process on a simulated disk. They tell of all that is written to them.
class troubled_files final : public shoal::store::simulated_files {
public:
    using observer = std::function<void(shoal::store::file_number, std::uint64_t offset, shoal::byte_view bytes)>;
    troubled_files(std::shared_ptr<shoal::store::simulated_disk> disk, std::shared_ptr<disk_troubles> troubles,
                   observer on_write);
    /// The process has ended without a word: nothing of it reaches the disk any more.
    void end_process();

    shoal::result<void> lock() override;
    void unlock() override;
    shoal::result<std::optional<shoal::store::file_status>> status(shoal::store::file_number file) override;
    shoal::result<void> read(shoal::store::file_number file, std::uint64_t offset,
                             shoal::mutable_byte_view into) override;
    shoal::result<void> open_for_writing(shoal::store::file_number file, shoal::store::adopting adopt,
                                         std::optional<std::uint64_t> reserve_size) override;
    shoal::result<void> write(shoal::store::file_number file, std::uint64_t offset,
                              std::span<shoal::byte_view const> buffers) override;
    shoal::result<void> sync(std::span<shoal::store::file_number const> files) override;
    shoal::result<void> complete(shoal::store::file_number file, std::uint64_t size) override;
    shoal::result<void> drop_cache(shoal::store::file_number file) override;
    shoal::result<std::optional<shoal::byte_vector>> read_journal() override;
    shoal::result<void> append_journal(shoal::byte_view record) override;
    shoal::result<void> replace_journal(shoal::byte_view journal) override;
    shoal::result<void> set_journal_aside() override;

private:
    shoal::result<void> alive() const;

    std::shared_ptr<shoal::store::simulated_disk> disk_;
    std::shared_ptr<disk_troubles> troubles_;
    observer on_write_;
    bool has_ended_ = false;
};
}  // namespace simulated_swarm
