module;
#include <array>
#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

module shoal.store:disk;
import shoal.core;
import shoal.metainfo;
import :files;

// Mapped windows of files, and which of their pages are in memory. Not exported.

namespace shoal::store {
/// Some bytes of a file, mapped shared as long as this lives.
class mapping {
public:
    /// From `offset` on, a multiple of the page size. Fails with `too_many_files` at the limit of the process.
    static result<std::shared_ptr<mapping>> of(int descriptor, std::uint64_t offset, std::size_t size, bool writable);
    mapping(std::byte* base, std::size_t size, bool writable) noexcept
        : base_(base), size_(size), writable_(writable) {}
    ~mapping();
    mapping(mapping const&) = delete;
    mapping& operator=(mapping const&) = delete;

    mutable_byte_view bytes() const noexcept { return {base_, size_}; }
    bool is_writable() const noexcept { return writable_; }

private:
    std::byte* base_;
    std::size_t size_;
    bool writable_;
};

/// The windows of one torrent, least recently used ones unmapped first. Thread-safe.
class mapped_windows {
public:
    explicit mapped_windows(std::size_t page_size);

    /// Bytes that lie in one window, mapped now or before. `file_size` is what the file has when complete.
    result<mapped_bytes> map(int descriptor, file_number file, std::uint64_t file_size, std::uint64_t offset,
                             std::size_t size, bool writable);
    /// Brings the bytes around these into memory and the page tables, where they are mapped.
    void populate(file_number file, std::uint64_t offset, std::size_t size);
    /// The bytes when they are mapped in one window and in memory.
    std::optional<mapped_bytes> resident(file_number file, std::uint64_t offset, std::size_t size);
    /// Unmaps a file, but for what is in use.
    void drop(file_number file);

private:
    /// Residency is judged by the unit: one mincore for 64 blocks.
    static constexpr std::size_t unit_size = 1024 * 1024;
    static constexpr std::size_t pages_max = unit_size / 4096;
    struct unit {
        std::int64_t checked = 0;  // nanoseconds, monotonic; 0: never
        std::bitset<pages_max> pages;
    };
    struct window {
        std::shared_ptr<mapping> map;
        std::uint64_t used = 0;
        std::vector<unit> units;
    };
    static std::uint64_t key(file_number file, std::uint64_t offset) {
        return (std::uint64_t{file} << 32) | (offset / window_size);
    }
    void evict();  // under mutex_
    bool is_resident(window& in, std::size_t begin, std::size_t size) const;

    std::size_t const page_size_;
    std::mutex mutex_;
    std::unordered_map<std::uint64_t, window> windows_;
    std::uint64_t uses_ = 0;
};
}  // namespace shoal::store

// Real files, below a folder and never outside. Not exported.

namespace shoal::store {
/// An open file descriptor.
class descriptor {
public:
    explicit descriptor(int number) noexcept : number_(number) {}
    ~descriptor();
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
    int number() const noexcept { return number_; }

private:
    int number_;
};
using shared_descriptor = std::shared_ptr<descriptor const>;

/// What an errno means to the store.
std::error_code error_of(int error_number) noexcept;

/// Opens below `folder` with openat2: no symbolic link is followed, no path leads out. `flags` get O_CLOEXEC.
result<shared_descriptor> open_below(int folder, std::string const& path, int flags, unsigned mode = 0);
/// The same, and only a regular file is right.
result<shared_descriptor> open_file_below(int folder, std::string const& path, int flags, unsigned mode = 0);
/// Makes the folders of `path` but for its last element.
result<void> make_folders_below(int folder, std::string const& path);
/// Makes the folders of a path of the user's own, in which links are his, with this mode where there are none.
result<void> make_folders(std::filesystem::path const& path, unsigned mode);
/// Locks, or fails with `in_use`. Where the file system has no locks, succeeds.
result<void> lock_file(int number, bool exclusive);

/// The journal's file, its lock, and its replacements.
///
/// Whoever appends has it alone from `lock` to `unlock`. Others, any number, only read and replace it, and hold no lock
/// between two calls. To such a one the journal `is_anothers` once one who appends has it at the start, or somebody has
/// replaced what he read or wrote last: he leaves it as it is from then on. Errors: `in_use` where it cannot be had for
/// a call.
class journal_file {
public:
    journal_file(std::string path, bool appends);
    result<void> lock();
    void unlock() noexcept { lock_.reset(); }
    void rest() noexcept { file_.reset(); }  // keeps the lock alone open
    result<std::optional<byte_vector>> read();
    result<void> append(byte_view record);
    result<void> replace(byte_view journal);
    result<void> set_aside();
    bool is_anothers() const noexcept { return is_anothers_; }  ///< [any thread]

private:
    /// Tells one journal from another: the last bytes are a checksum over all of it. Of none: as made.
    struct mark {
        std::uint64_t size = 0;
        std::array<std::byte, journal::checksum::size()> end{};
        bool operator==(mark const&) const = default;
    };
    static mark mark_of(byte_view journal) noexcept;
    static result<mark> mark_in(int number);
    result<shared_descriptor> enter() const;  // the lock, as long as a call takes
    result<bool> is_as_left() const;

    std::string path_;
    bool appends_;
    std::atomic<bool> is_anothers_ = false;
    std::optional<mark> known_;  // read or written last
    shared_descriptor lock_;
    shared_descriptor file_;  // for appending
};

/// Both real back ends: plain is mapped without windows.
class disk_files final : public back_end_files {
public:
    disk_files(std::shared_ptr<metainfo::torrent const> torrent, disk_settings settings);

    result<void> lock() override;
    void unlock() override;
    result<std::optional<file_status>> status(file_number file) override;
    result<void> read(file_number file, std::uint64_t offset, mutable_byte_view into) override;
    result<void> open_for_writing(file_number file, adopting adopt, std::optional<std::uint64_t> reserve_size) override;
    result<void> write(file_number file, std::uint64_t offset, std::span<byte_view const> buffers) override;
    result<void> sync(std::span<file_number const> files) override;
    result<void> complete(file_number file, std::uint64_t size) override;
    result<void> drop_cache(file_number file) override;
    void rest() override;
    result<std::optional<mapped_bytes>> prepare(file_number file, std::uint64_t offset, std::size_t size) override;
    void map_for_reading(file_number file, std::uint64_t offset, std::size_t size) override;
    std::optional<mapped_bytes> resident(file_number file, std::uint64_t offset, std::size_t size) override;
    std::int64_t now() const override;
    result<std::optional<byte_vector>> read_journal() override;
    result<void> append_journal(byte_view record) override;
    result<void> replace_journal(byte_view journal) override;
    result<void> set_journal_aside() override;
    bool has_journal() const noexcept override { return journal_ && !journal_->is_anothers(); }
    std::string last_failed_path() const override;

private:
    struct open_file {
        shared_descriptor descriptor;
        bool writable = false;
        std::list<file_number>::iterator used;  // in by_use_
    };
    bool is_only_read() const { return torrent_->single_file() && !settings_.writable; }  // a file that is shared
    std::string const& root_name() const;                                                 // in the user's folder
    std::string final_path(file_number file) const;                                       // below the root
    std::string part_path(file_number file) const;
    /// The torrent's folder, or the user's for a single file. The latter is opened anew each time where it is only
    /// read: of many that are shared each would cost one more descriptor.
    result<shared_descriptor> root(bool create);
    result<shared_descriptor> open(file_number file, bool writable);
    result<shared_descriptor> open_new(int root, file_number file);
    void keep(file_number file, shared_descriptor opened, bool writable);
    void close_some(std::size_t count);  // least recently used first
    void forget(file_number file);
    /// Locks the folder, or the single file; gives what holds the lock, if there is one before.
    result<shared_descriptor> lock_content(shared_descriptor content);
    bool is_reserved(file_number file) const;
    result<void> reserve(int number, std::uint64_t offset, std::uint64_t size);
    std::error_code failed(file_number file, std::error_code why);       // notes the path
    std::error_code failed_part(file_number file, std::error_code why);  // the same of the incomplete file
    std::error_code failed_at(std::string const& path, std::error_code why);

    std::shared_ptr<metainfo::torrent const> const torrent_;
    disk_settings settings_;
    std::optional<journal_file> journal_;
    mapped_windows windows_;

    mutable std::mutex mutex_;  // of all below; not held while the disk works
    shared_descriptor root_;
    shared_descriptor content_lock_;  // of a file that is only read: what it is read by
    std::unordered_map<file_number, open_file> open_;
    std::list<file_number> by_use_;  // most recent first
    std::vector<bool> reserved_;     // whole size reserved
    std::string last_failed_path_;
    std::mutex creating_;  // one file is created, renamed or reserved at a time
};
}  // namespace shoal::store
