module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

export module shoal.metainfo:geometry;
import shoal.core;

export namespace shoal::metainfo {
/// How the bytes of a torrent divide into pieces and blocks. Knows sizes only.
///
/// The bytes are numbered through all files in torrent order, pad files included ("linear space").
class geometry {
public:
    geometry() = default;  ///< No pieces.
    /// `piece_length` above 0; at most 2^32 - 1 pieces.
    geometry(std::uint64_t total_size, std::uint32_t piece_length) noexcept;

    std::uint32_t piece_length() const noexcept { return piece_length_; }  ///< Bytes in every piece but the last.
    std::uint32_t piece_count() const noexcept { return piece_count_; }
    std::uint64_t total_size() const noexcept { return total_size_; }  ///< Bytes, pad files included.

    std::uint32_t piece_size(piece_index piece) const noexcept;   ///< Bytes in this piece.
    std::uint32_t block_count(piece_index piece) const noexcept;  ///< 16 KiB blocks, the last one perhaps shorter.
    std::uint64_t offset_of(piece_index piece) const noexcept;    ///< Of its first byte, in the linear space.
    std::uint64_t offset_of(block_ref block) const noexcept;

    /// A number from a message, when it is one of a piece.
    std::optional<piece_index> piece(std::uint64_t number) const noexcept;
    /// The numbers of a request, when they name at least one byte and stay inside the piece.
    std::optional<block_ref> block(std::uint32_t piece, std::uint32_t begin, std::uint32_t length) const noexcept;
    /// The `n`-th 16 KiB block; `n` below `block_count(piece)`.
    block_ref block_at(piece_index piece, std::uint32_t n) const noexcept;

    friend bool operator==(geometry const&, geometry const&) = default;

private:
    std::uint64_t total_size_ = 0;
    std::uint32_t piece_length_ = 0;
    std::uint32_t piece_count_ = 0;
};

/// One file of a torrent.
struct file {
    std::vector<std::string> path =
        {};                    ///< Sanitised elements below the torrent's root folder; of a single file, its name.
    std::uint64_t size = 0;    ///< Bytes.
    std::uint64_t offset = 0;  ///< Of its first byte, in the linear space.
    bool pad = false;          ///< Zeros that align the next file; never on disk. Source: BEP 47.
    bool executable = false;
    bool symlink = false;                           ///< Has size 0 and is never created. Source: BEP 47.
    std::optional<sha256_digest> pieces_root = {};  ///< v2 and hybrid, files that are not empty. Source: BEP 52.

    std::string joined() const;  ///< The path with `/` between its elements.
};

/// Bytes of one file.
struct file_range {
    std::uint32_t file = 0;    ///< Index into `layout::files()`.
    std::uint64_t offset = 0;  ///< In the file, bytes.
    std::uint64_t length = 0;  ///< Bytes, at least 1.
    friend bool operator==(file_range const&, file_range const&) = default;
};

/// Pieces from `first` on.
struct piece_span {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    friend bool operator==(piece_span const&, piece_span const&) = default;
};

/// Where the pieces lie in the files.
class layout {
public:
    layout() = default;
    /// Sets the files' offsets; their order is the torrent's, their sizes add up to less than 2^63.
    layout(std::uint32_t piece_length, std::vector<file> files);

    metainfo::geometry const& geometry() const noexcept { return geometry_; }
    /// In torrent order, pad files included; v2 torrents get the pad files that a hybrid would name.
    std::vector<file> const& files() const noexcept { return files_; }

    /// Calls `visit(file_range)` for each file that holds some of these bytes, pad files included and empty ones left
    /// out, in order. The bytes have to lie in the linear space. Finds the first file by binary search.
    template <class Visit>
    void for_each_range(std::uint64_t offset, std::uint64_t length, Visit&& visit) const {
        for (auto at = file_at(offset); length > 0; ++at) {
            auto const& here = files_[at];
            auto const inside = offset - here.offset;
            auto const taken = std::min(length, here.size - inside);
            if (taken == 0) continue;
            visit(file_range{at, inside, taken});
            offset += taken;
            length -= taken;
        }
    }
    std::vector<file_range> ranges(std::uint64_t offset, std::uint64_t length) const;
    std::vector<file_range> ranges(block_ref block) const { return ranges(geometry_.offset_of(block), block.length); }

    /// The pieces that hold bytes of file `index`; none for an empty file.
    piece_span pieces_of(std::uint32_t index) const noexcept;
    /// The file that holds this byte of the linear space.
    std::uint32_t file_at(std::uint64_t offset) const noexcept;

private:
    metainfo::geometry geometry_;
    std::vector<file> files_;
};
}  // namespace shoal::metainfo
