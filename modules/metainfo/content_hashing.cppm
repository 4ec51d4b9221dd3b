module;
#include <cstddef>
#include <cstdint>
#include <vector>

/// Internal: the content of a torrent that is made, read and hashed on several threads.
module shoal.metainfo:content_hashing;
import :geometry;
import :making;
import shoal.core;

namespace shoal::metainfo {
/// What the content hashes to.
struct content_hashes {
    byte_vector pieces;                // v1 and hybrid: SHA-1 of each piece
    std::vector<sha256_digest> roots;  // v2 and hybrid: merkle root of each piece, as `torrent::piece_root`
};

/// `sources` has, for each file of `content`, its index in `of.files`. Files of v2 and hybrid start on a piece
/// boundary. Fails as `make_torrent`; rethrows here what the callbacks throw.
result<content_hashes> hash_content(source const& of, layout const& content, std::vector<std::size_t> const& sources,
                                    make_options const& options);

/// `pieces root` of a file that is not empty.
sha256_digest file_root(layout const& content, std::uint32_t file, std::vector<sha256_digest> const& roots);
}  // namespace shoal::metainfo
