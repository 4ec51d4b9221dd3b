module;
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

export module shoal.store:simulated;
import :files;
import shoal.core;

export namespace shoal::store {
/// What survives when the simulated machine loses power; outlives the `simulated_files` that work on it.
class simulated_disk {
public:
    /// `seed` decides what a crash tears. `capacity` in bytes.
    explicit simulated_disk(std::uint64_t seed, std::uint64_t capacity = UINT64_MAX);

    /// Every call from the `n`-th on (1: the next) that touches the disk fails with this errno, `count` times.
    void fail(std::uint64_t n, int error_number, std::uint64_t count = 1);
    void set_capacity(std::uint64_t bytes);
    /// Power is lost: of what was not synced, each 512-byte sector of each write is kept or dropped by chance.
    /// Locks are gone; objects that were open fail with EIO from now on.
    void crash();
    /// Calls that touched the disk so far: a run can be repeated with a failure at each of them.
    std::uint64_t calls() const;

    // What a test does behind the store's back.
    std::optional<byte_vector> content(std::string const& name) const;
    void put(std::string const& name, byte_vector content);
    void remove(std::string const& name);
    std::vector<std::string> names() const;

private:
    friend class simulated_files;
    struct write {
        std::uint64_t offset;
        byte_vector bytes;
    };
    struct file {
        byte_vector now;              // what a read gives
        byte_vector durable;          // as of the last sync
        std::vector<write> unsynced;  // since then, in order
        std::int64_t modified = 0;
        bool is_durable = false;  // it existed at the last sync
    };
    result<void> touch(std::uint64_t epoch);  // counts a call, fails it where asked; under mutex_
    std::uint64_t used() const;
    void write_to(file& into, std::uint64_t offset, byte_view bytes);
    void make_durable(file& what);

    mutable std::mutex mutex_;
    std::map<std::string, file> files_;
    std::mt19937_64 random_;
    std::uint64_t capacity_;
    std::uint64_t calls_ = 0;
    std::uint64_t fail_from_ = 0;
    std::uint64_t fail_count_ = 0;
    int fail_with_ = 0;
    std::uint64_t epoch_ = 0;  // power cycles
    std::int64_t clock_ = 1;   // each change takes a nanosecond
    bool locked_ = false;
};

/// One torrent's files on a simulated disk, under `name` for file numbers: `0`, `0.part`, `journal`. Never maps.
class simulated_files : public back_end_files {
public:
    explicit simulated_files(std::shared_ptr<simulated_disk> disk);
    ~simulated_files() override;

    result<void> lock() override;
    void unlock() override;
    result<std::optional<file_status>> status(file_number file) override;
    result<void> read(file_number file, std::uint64_t offset, mutable_byte_view into) override;
    result<void> open_for_writing(file_number file, adopting adopt, std::optional<std::uint64_t> reserve_size) override;
    result<void> write(file_number file, std::uint64_t offset, std::span<byte_view const> buffers) override;
    result<void> sync(std::span<file_number const> files) override;
    result<void> complete(file_number file, std::uint64_t size) override;
    void drop_cache(file_number file) override;
    std::int64_t now() const override;
    result<std::optional<byte_vector>> read_journal() override;
    result<void> append_journal(byte_view record) override;
    result<void> replace_journal(byte_view journal) override;
    result<void> set_journal_aside() override;
    bool has_journal() const noexcept override { return true; }

private:
    simulated_disk::file* find(file_number file);

    std::shared_ptr<simulated_disk> disk_;
    std::uint64_t epoch_ = 0;
    bool holds_lock_ = false;
};
}  // namespace shoal::store
