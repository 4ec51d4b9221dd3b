module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// What `peer share` remembers of each thing that it shares, so that its next start reads nothing that is as it was.
export module shoal.share_record;
import shoal.core;
import shoal.metainfo;

export namespace shoal::share_record {
/// What a file system says of a file that was changed.
struct file_stamp {
    std::uint64_t size = 0, inode = 0;
    std::int64_t modified = 0, changed = 0;  ///< Nanoseconds since 1970, of the bytes and of all else.
    friend bool operator==(file_stamp const&, file_stamp const&) = default;
};
/// What a folder or file held when it was looked at, by path; of a single file the path is its name.
using snapshot = std::map<std::vector<std::string>, file_stamp>;

/// A file may be written to again under the stamp that it has, for as long as the clock of its file system stands
/// still: FAT counts in steps of two seconds.
inline constexpr auto stamp_settles_after = std::chrono::seconds{2};
/// `seen` as it may be believed later: what was changed just before the look gets a stamp that no file has.
/// `looked_at` is nanoseconds since 1970.
snapshot believable(snapshot seen, std::int64_t looked_at);

/// A thing that is shared, and the torrent that was made of it.
struct record {
    std::filesystem::path path;  ///< As by `whole_path`.
    std::string hub;             ///< Whose catalogue lists it, without a passkey.
    byte_vector made_with;       ///< All that the torrent depends on besides the content. To be compared, not read.
    snapshot made_from;          ///< One entry for each file that was read, in the order of the torrent.
    /// The content was synced before this was written: what the stamps say is so after a power cut too.
    bool is_durable = false;
    std::shared_ptr<byte_vector const> metainfo;
    std::shared_ptr<metainfo::torrent const> content;  ///< What `metainfo` says.
};

/// Bytes of a record: room for the largest torrent, and for the names of its files once more.
inline constexpr std::size_t record_bytes_max = 2 * metainfo::limits{}.input_bytes_max;

/// As the file of a record has it.
byte_vector encode(record const& what);
/// Nothing where it is damaged, of another version, or contradicts itself.
std::optional<record> decode(byte_view bytes);

/// What tells things that are shared apart: absolute, without `.`, `..` and a last `/`. Links are not resolved.
std::filesystem::path whole_path(std::filesystem::path const& path);

/// A folder of records, a file each. For several threads, and programs, at once, unless they write one record; then
/// one of the two is there, or none. It is made when the first record is.
///
/// Nothing is synced: a record that a power cut takes, or takes half of, costs hashing the content, and its checksum
/// tells. So ten thousand records cost no ten thousand waits for the disk.
class record_folder {
public:
    explicit record_folder(std::filesystem::path folder) : folder_(std::move(folder)) {}

    /// The names of the records. Those that nobody has used for `kept_for` are removed, and so is what else is as old.
    std::vector<std::string> names() const;
    /// What is in the file of this name; nothing where that is no record.
    std::optional<record> read(std::string const& name) const;
    void mark_used(std::string const& name) const;
    /// Puts it in the place of the one before of the same path.
    result<void> write(record const& what) const;
    void remove(std::filesystem::path const& whole_path) const;

    /// Days, not years: records of what is shared no more do not pile up, and a disk that is away for a while is not
    /// hashed anew.
    static constexpr auto kept_for = std::chrono::days{180};

private:
    std::filesystem::path file_of(std::filesystem::path const& whole_path) const;

    std::filesystem::path folder_;
};
}  // namespace shoal::share_record
