module;
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

export module shoal.store:files;
import shoal.core;
import shoal.metainfo;

namespace shoal::store {
/// Why the store refused or failed; other failures of the system come as codes of `std::system_category`.
/// Each equals `condition::local_fault`, `window_lent` and `too_many_files` equal `condition::transient`.
export enum class errc {
    in_use = 1,    ///< Another process, or another store of this one, works on this journal or this content.
    no_space,      ///< The disk or the user's quota is full. Nothing is lost; the call works again when there is space.
    foreign_file,  ///< A file that is not this torrent's stands where one is to be written. It stays untouched.
    not_a_file,    ///< A folder, device, pipe or socket where the torrent has a file.
    symbolic_link,     ///< The path leads through a symbolic link, or out of the torrent's folder.
    missing_file,      ///< The file is not there.
    truncated_file,    ///< The file ends before the bytes that were asked for.
    dead_page,         ///< A mapped page has lost its file: it was truncated, or its device is gone.
    read_only,         ///< The store was opened for reading.
    bad_block,         ///< Not a block of this piece: wrong begin or length. A caller's mistake.
    window_lent,       ///< The block's window is lent: `reclaim` it before its bytes arrive another way.
    piece_incomplete,  ///< `finish` before all blocks were written. A caller's mistake.
    no_writer,         ///< `prepare` of a piece that nobody has begun. A caller's mistake.
    already_held,      ///< The piece is verified; nothing may be written to it.
    no_hash,           ///< The torrent has no hash for this piece: a v2 torrent without its piece layer.
    too_many_files,    ///< The process or the machine is out of file descriptors or mappings.
    sync_failed,       ///< The disk did not take what was written; the pieces concerned are read again from it.
    hashes_disagree,   ///< The v1 and the v2 hash of a piece or file are of different bytes: nobody can have the
                       ///< torrent.
    doubtful_piece,    ///< A sync failed: the piece is read again from the disk before anybody is given it.
    disk_failing,      ///< `sync` failed several times in a row: the store takes no more data.
    bad_journal,       ///< The journal is damaged, or not one of this torrent.
    closed,            ///< The store has been closed.
    changed_file,      ///< A file was changed by somebody else. A finished one is not written to again.
    decayed,           ///< The disk gives other bytes than were verified, and nobody has changed the file.
};
export std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::store
export template <>
struct std::is_error_code_enum<shoal::store::errc> : std::true_type {};

export namespace shoal::store {
/// Memory for one block, aligned to a page. Empty when default-made, moved from, or the pool's budget is used up.
/// Belongs to the pool, and must not be used when that is gone.
class block_buffer {
public:
    block_buffer() = default;
    block_buffer(block_buffer&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
    block_buffer& operator=(block_buffer&& other) noexcept {
        memory_ = std::exchange(other.memory_, nullptr);
        return *this;
    }
    explicit operator bool() const noexcept { return memory_ != nullptr; }
    /// `block_length` bytes, or none when empty.
    mutable_byte_view bytes() const noexcept { return {memory_, memory_ ? block_length : 0U}; }

private:
    friend class block_pool;
    explicit block_buffer(std::byte* memory) noexcept : memory_(memory) {}

    std::byte* memory_ = nullptr;
};

/// Lends block buffers within a byte budget, and keeps returned ones for the next. Not thread-safe: one home each.
class block_pool {
public:
    /// Lends at most `budget` bytes, rounded down to whole blocks.
    explicit block_pool(std::size_t budget) noexcept;
    ~block_pool();
    block_pool(block_pool const&) = delete;
    block_pool& operator=(block_pool const&) = delete;

    /// An empty buffer when the budget is used up: stop receiving until one comes back.
    block_buffer take();
    /// Every buffer comes back here: one that is destroyed elsewhere stays counted as lent.
    void give(block_buffer buffer) noexcept;
    std::size_t lent_bytes() const noexcept { return lent_ * block_length; }

private:
    struct slab_release {
        std::size_t size;
        std::align_val_t alignment;
        void operator()(std::byte* memory) const noexcept;
    };
    void grow();

    std::vector<std::unique_ptr<std::byte, slab_release>> slabs_;
    std::size_t block_max_;
    std::size_t block_count_ = 0;  // in all slabs
    std::size_t lent_ = 0;
    std::vector<block_buffer> free_;  // last in, first out: the warmest memory first
};
}  // namespace shoal::store

namespace shoal::store {
/// Loads and stores to a mapped page raise SIGBUS when its file was truncated, its device is gone or the disk is full
/// under a hole. From here on the calls below catch that; SIGBUS elsewhere goes on to the handler there was before.
/// Idempotent; [start-up]. `chunk_store::open` calls it for mapped files.
export void install_bus_guard();

/// Copies `size` bytes, at least one side of which may be mapped; the ranges may overlap. False: a page is dead, and
/// `to` holds some of the bytes. Needs `install_bus_guard`. [any thread]
export bool guarded_copy(std::byte* to, std::byte const* from, std::size_t size) noexcept;

/// Calls `work(context)`, which reads `bytes`. False: a page of `bytes` is dead, and `work` was left half-way, so it
/// must not lock, allocate, or own what needs a destructor.
bool guarded(byte_view bytes, void (*work)(void* context), void* context) noexcept;
}  // namespace shoal::store

export namespace shoal::store {
/// A file of the torrent by its place in `layout::files()`.
using file_number = std::uint32_t;

/// What the file system says of a file.
struct file_status {
    std::uint64_t size = 0;     ///< Bytes.
    std::int64_t modified = 0;  ///< Nanoseconds since 1970.
    bool is_part = false;       ///< It stands under its incomplete name.
    friend bool operator==(file_status const&, file_status const&) = default;
};

/// Which of the files that exist already are this torrent's, and may be written to.
enum class adopting {
    nothing,     ///< None: an `X.part` counts only where it holds nothing.
    incomplete,  ///< An `X.part`.
    all,         ///< An `X` too, which becomes `X.part` again.
};

/// Bytes of a mapped file. `keep` holds the mapping in place: keep it as long as the bytes are used.
struct mapped_bytes {
    mutable_byte_view bytes;
    std::shared_ptr<void const> keep;
};

/// The disk as the store sees it: the content files by number, and one journal. [pool], any number of calls in
/// parallel, where not said otherwise. Pad files and symbolic links are never asked for.
///
/// A file stands under its incomplete name (`X.part`) until `complete`. Where both exist the incomplete name wins, but
/// not where files are only read: `X` may be shared beside a stranger's `X.part`.
/// Errors: `in_use`, `no_space`, `foreign_file`, `not_a_file`, `symbolic_link`, `missing_file`, `truncated_file`,
/// `dead_page`, `read_only`, `too_many_files`, and codes of `std::system_category`.
class back_end_files {
public:
    virtual ~back_end_files();

    /// Takes the content for this object until `unlock` or its end, and, where it is written to, the journal. Creates
    /// no content.
    virtual result<void> lock() = 0;
    virtual void unlock() = 0;

    virtual result<std::optional<file_status>> status(file_number file) = 0;  ///< Nothing when it does not exist.
    /// Fills `into` from `offset` on, or fails.
    virtual result<void> read(file_number file, std::uint64_t offset, mutable_byte_view into) = 0;
    /// Makes the file ready to be written: its folders, itself as `X.part`, an `X` to be adopted renamed to it. What
    /// exists and is not to be adopted is `foreign_file`. Idempotent. With `reserve_size` the disk space is reserved.
    virtual result<void> open_for_writing(file_number file, adopting adopt,
                                          std::optional<std::uint64_t> reserve_size) = 0;
    /// Writes the buffers one after the other, all or fails; some may be written then. After `open_for_writing`.
    virtual result<void> write(file_number file, std::uint64_t offset, std::span<byte_view const> buffers) = 0;
    /// The disk has taken all that was written to these files before, or the call fails.
    virtual result<void> sync(std::span<file_number const> files) = 0;
    /// Renames `X.part` to `X`, cut to `size`; creates an empty file when `size` is 0 and there is none. Never replaces
    /// a file, and never empties one: `foreign_file`.
    virtual result<void> complete(file_number file, std::uint64_t size) = 0;
    /// Forgets what is cached of the file, also which one it was, so that the next `read` asks the disk. Where it fails
    /// the system may still have bytes of it; a file that is not there is no failure.
    virtual result<void> drop_cache(file_number file) = 0;
    /// Nobody will ask for anything soon: keeps open what holds the lock alone.
    virtual void rest();

    /// Reserves and maps bytes of one file for writing, every page present. Nothing: this back end does not map.
    virtual result<std::optional<mapped_bytes>> prepare(file_number file, std::uint64_t offset, std::size_t size);
    /// Maps what `resident` will ask for, if this back end maps.
    virtual void map_for_reading(file_number file, std::uint64_t offset, std::size_t size);
    /// The bytes, when they are mapped and in memory as of the last two seconds. [home] No disk access.
    virtual std::optional<mapped_bytes> resident(file_number file, std::uint64_t offset, std::size_t size);

    /// The present by the clock that `file_status::modified` is of.
    virtual std::int64_t now() const = 0;

    virtual result<std::optional<byte_vector>> read_journal() = 0;  ///< Nothing when there is none.
    virtual result<void> append_journal(byte_view record) = 0;      ///< Appended and on disk, or fails.
    /// All of it replaced at once: after a crash the journal is the old or the new one.
    virtual result<void> replace_journal(byte_view journal) = 0;
    virtual result<void> set_journal_aside() = 0;  ///< Renamed to `.bad`, where a person can look at it.
    virtual bool has_journal() const noexcept = 0;

    /// The file that the last failure was about, for messages; empty when none was. [any thread]
    virtual std::string last_failed_path() const;
};

/// Where content lies whose names on disk are not those of the torrent, which are portable: shared folders hold `a:b`.
struct content_names {
    std::string root;  ///< Of the root folder or single file; empty: the torrent's name.
    std::unordered_map<file_number, std::string>
        paths;  ///< Below the root folder, `/` between elements; else as in the torrent.
};

/// Where and how `disk_files` works.
struct disk_settings {
    // As text: `std::filesystem::path` keeps each element of a path once more, which thousands of torrents would pay.
    std::string directory;  ///< Holds the torrent's root folder or single file. Created by the first write.
    std::string journal;    ///< Empty: none.
    bool writable = true;
    bool mapped = true;
    std::size_t open_files_max = 128;
    content_names names;  ///< Of files that are only read.
};

/// Windows of a file that are mapped as one. Large, since each mapping costs the kernel an entry; a power of two, since
/// aligned blocks then never cross two.
inline constexpr std::uint64_t window_size = 64 * 1024 * 1024;
/// Mappings of one store. A process has 65 530 (vm.max_map_count).
inline constexpr std::size_t windows_max = 2048;
/// Mappings of all stores of this process: half of what the system allows, which leaves room for the heap's.
inline constexpr std::size_t process_windows_max = 32 * 1024;

/// Real files. Every path is opened below the torrent's folder without following links; new files are made with 0644,
/// folders with 0755, less the umask. Opens nothing yet.
result<std::shared_ptr<back_end_files>> open_disk_files(std::shared_ptr<metainfo::torrent const> torrent,
                                                        disk_settings settings);

/// What survives when the simulated machine loses power; outlives the `simulated_files` that work on it.
class simulated_disk {
public:
    /// `seed` decides what a crash tears. `capacity` in bytes.
    explicit simulated_disk(std::uint64_t seed, std::uint64_t capacity = UINT64_MAX);

    /// Every call from the `n`-th on (1: the next) that touches the disk fails with this errno, `count` times.
    void fail(std::uint64_t n, int error_number, std::uint64_t count = 1);
    void set_capacity(std::uint64_t bytes);
    /// Power is lost: of what was not synced, each 512-byte sector of each write is kept or dropped by chance.
    /// So is the time of modification. Locks are gone; objects that were open fail with EIO from now on.
    void crash();
    /// Calls that touched the disk so far: a run can be repeated with a failure at each of them.
    std::uint64_t calls() const;

    // What a test does behind the store's back.
    std::optional<byte_vector> content(std::string const& name) const;
    /// Whether these bytes stand there from `offset` on; nothing where there is no such file.
    std::optional<bool> holds(std::string const& name, std::uint64_t offset, byte_view bytes) const;
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
        std::int64_t durable_modified = 0;  // as of the last sync, or its beginning
        bool is_durable = false;            // it existed at the last sync
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
    result<void> drop_cache(file_number file) override;
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

/// The journal as bytes: a header, then records, each with a checksum over itself and all before it. No I/O.
///
///     header  "SHOALJNL", version u32, swarm hash (20), digest of the geometry (20), checksum (8)
///     record  length of the payload u32, kind u8, payload, checksum (8)
///     kinds   1 held: piece u32 each
///             2 stamps: file u32, size u64, modified i64, latest i64 each
///             3 all held: a wire bitfield, the first record only
///
/// Numbers are big-endian. A checksum is the first 8 bytes of SHA-1 over the checksum before and the record. Records
/// only add claims, so that a journal cut anywhere claims nothing that was not true; to take a claim back it is
/// rewritten.
export namespace shoal::store::journal {
inline constexpr std::uint32_t version = 1;
/// Larger journals are refused: 2^21 pieces and 10^5 stamps take less than 3 MiB when rewritten.
inline constexpr std::size_t size_max = 256 * 1024 * 1024;

using checksum = identifier<8, struct checksum_tag>;

/// How a file looked when the pieces in it were last recorded.
struct stamp {
    std::uint64_t size = 0;     ///< Bytes.
    std::int64_t modified = 0;  ///< Nanoseconds since 1970.
    /// As `modified`, or later where the store was writing to the file: until then the store may have changed it.
    std::int64_t latest = 0;

    bool is_settled() const noexcept { return latest == modified; }
    /// Whether a file that looks like this now can be the one that was stamped, changed by nobody but the store.
    bool covers(std::uint64_t size_now, std::int64_t modified_now) const noexcept {
        return modified <= modified_now && modified_now <= latest &&
               (is_settled() ? size_now == size : size_now >= size);
    }
    friend bool operator==(stamp const&, stamp const&) = default;
};
struct file_stamp {
    std::uint32_t file = 0;
    journal::stamp stamp;
};

/// What a journal claims.
struct claims {
    bitfield held;
    std::vector<std::optional<stamp>> stamps;  ///< One for each file.
    journal::checksum last;                    ///< The next record is chained to this.
    bool torn = false;  ///< The last record is incomplete, as after a crash; it was left out. Rewrite before appending.
};

/// Reads a journal of this torrent. A file cut inside its last record, or with zeros in place of it, is `torn`; all
/// else that is not as written fails with `errc::bad_journal`.
result<claims> parse(byte_view bytes, metainfo::torrent const& of);

/// A whole new journal; `last` is set to its last checksum.
byte_vector compose(metainfo::torrent const& of, bitfield const& held, std::vector<std::optional<stamp>> const& stamps,
                    checksum& last);

// Records to append: each appends to `out` and moves `last` on.
void append_held(byte_vector& out, checksum& last, std::vector<piece_index> const& pieces);
void append_stamps(byte_vector& out, checksum& last, std::vector<file_stamp> const& stamps);
}  // namespace shoal::store::journal
