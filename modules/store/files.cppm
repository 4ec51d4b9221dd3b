module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

export module shoal.store:files;
import shoal.core;
import shoal.metainfo;

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

    /// Takes journal and content for this object until `unlock` or its end. Creates no content.
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
    /// Forgets what is cached of the file, also which one it was, so that the next `read` asks the disk.
    virtual void drop_cache(file_number file) = 0;

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
    std::filesystem::path directory;  ///< Holds the torrent's root folder or single file. Created by the first write.
    std::filesystem::path journal;    ///< Empty: none.
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
}  // namespace shoal::store
