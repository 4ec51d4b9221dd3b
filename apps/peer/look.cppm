module;
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

/// A file or folder that is shared, as it is now, and the torrent of it. All of this waits for the disk: on a pool.
module peer:look;
import shoal.core;
import shoal.metainfo;
import shoal.share_record;
import shoal.store;
import :files;
import :options;
import :output;

namespace shoal::cli {
using share_record::snapshot;

/// Bytes, told by the threads that hash.
struct hashing_progress {
    std::atomic<std::uint64_t> done = 0, total = 0;
};

/// An earlier torrent, and what it was made of.
struct made_before {
    snapshot from;
    std::shared_ptr<metainfo::torrent const> content;  ///< None: nothing was made before.
};

/// What a look came to.
struct look {
    std::optional<failure> trouble;  ///< Not found, or unreadable.
    snapshot seen;
    std::int64_t at = 0;  ///< When it began, nanoseconds since 1970.
    std::vector<std::string> left_out;
    std::filesystem::path place;  ///< The folder that the files are in.
    // Where there is a torrent.
    std::shared_ptr<byte_vector const> metainfo;
    std::shared_ptr<metainfo::torrent const> content;
    store::content_names names;  ///< Of its files, as they are on disk.
    std::uint64_t hashed = 0;    ///< Bytes of content that were read for it.
    bool is_hashed = false;      ///< It was made just now: what is there is what it says.
};

/// Looks alone, and tells of a single file nothing but `seen`.
look look_at(std::filesystem::path const& path);
/// Makes a torrent of what is there; what is as it was before is not read.
look make_of(std::filesystem::path const& path, share_options const& options, made_before const& before,
             hashing_progress& telling, std::stop_token stop);
/// Takes the torrent of a record where it is what would be made now, `made_with` included. Otherwise looks alone.
look look_with(share_record::record const& kept, byte_vector const& made_with);

/// All that the torrent of a content depends on besides: options and this program.
byte_vector made_with(share_options const& options);

/// The files of a folder, a torrent each; none while it is not there. Throws `failure`.
std::vector<std::filesystem::path> files_of(std::filesystem::path const& folder);
}  // namespace shoal::cli
