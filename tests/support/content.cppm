module;
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

export module shoal.testing:content;
import shoal.core;
import shoal.metainfo;

export namespace shoal::testing {
/// A torrent and the bytes that it describes.
struct content {
    std::shared_ptr<metainfo::torrent const> torrent;
    byte_vector metainfo;            ///< The .torrent file.
    std::vector<byte_vector> files;  ///< By number in `layout::files()`; of pad files, zeros.
    byte_vector linear;              ///< All of them in a row.

    byte_view block(block_ref block) const;
    /// Writes the files below `folder`, as somebody who has them would hold them.
    void place(std::filesystem::path const& folder) const;
    /// Whether exactly these bytes are below `folder`, under their final names.
    bool is_in(std::filesystem::path const& folder) const;
    std::filesystem::path path_of(std::filesystem::path const& folder, std::size_t file) const;
};

struct content_settings {
    metainfo::format format = metainfo::format::hybrid;
    std::uint32_t piece_length = 32 * 1024;
    std::uint64_t seed = 1;  ///< Of the bytes.
    std::vector<std::string> trackers = {};
    std::string name = "content";
    bool is_private = false;
};

/// Makes a torrent of files with these paths and sizes, filled with random bytes. A single path without a slash makes
/// a single-file torrent of that name.
content make_content(std::vector<std::pair<std::string, std::size_t>> const& files, content_settings const& with);

/// A folder of its own that goes away with this object.
class temporary_folder {
public:
    temporary_folder();
    ~temporary_folder();
    temporary_folder(temporary_folder const&) = delete;
    temporary_folder& operator=(temporary_folder const&) = delete;
    std::filesystem::path const& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};
}  // namespace shoal::testing
