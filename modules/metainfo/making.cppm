module;
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

export module shoal.metainfo:making;
import shoal.core;
import :torrent;

export namespace shoal::metainfo {
/// A file to be shared.
struct source_file {
    std::vector<std::string> path = {};  ///< Elements below the root folder; unused for a single file.
    std::uint64_t size = 0;              ///< Bytes.
    bool executable = false;
};

/// What to make a torrent of. Names are written as they are: valid UTF-8, no separator, `.`, `..` or NUL.
struct source {
    std::string name = {};  ///< Of the root folder, or of the single file.
    bool single_file = false;
    std::vector<source_file> files = {};  ///< In any order; one if `single_file`.
    /// Reads bytes of `files[file]` from `offset` on; fewer than asked for only where the file ends. Called from
    /// several threads at once. Its errors end the making.
    std::function<result<std::size_t>(std::size_t file, std::uint64_t offset, mutable_byte_view into)> read = {};
};

enum class format { v1, v2, hybrid };

/// Hashes from an earlier making, so that unchanged files are not read again. Used where the piece length and the
/// format are the same, and every file starts on a piece boundary (hybrid and v2).
struct known_hashes {
    std::shared_ptr<torrent const> from;
    /// For each of `source::files`: its index in the files of `from`, if it has the same bytes as then.
    std::vector<std::optional<std::uint32_t>> files;
};

/// Automatic piece lengths start here and double until there are fewer pieces than `automatic_pieces_max`.
inline constexpr std::uint32_t piece_length_default = 512 * 1024;
inline constexpr std::uint32_t automatic_pieces_max = 1U << 16;

struct make_options {
    metainfo::format format = format::hybrid;
    std::uint32_t piece_length = 0;  ///< Bytes, a power of two, at least 16 KiB; 0: automatic.
    bool is_private = false;
    std::vector<std::vector<std::string>> trackers = {};  ///< Tiers.
    std::vector<std::string> web_seeds = {};
    std::string comment = {};
    std::string created_by = {};
    std::optional<std::int64_t> creation_date = {};  ///< Seconds since 1970.
    known_hashes known = {};
    std::size_t threads = 0;  ///< 0: as many as the machine has cores.
    /// Bytes hashed so far, and of how many. Called from the hashing threads, one at a time.
    std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
    std::stop_token stop = {};
};

/// The piece length that `make_torrent` chooses for files of these sizes. Pad files count as they do there.
std::uint32_t automatic_piece_length(std::vector<source_file> const& files, format made) noexcept;

/// Makes a .torrent file: the same bytes for the same source and options, whatever the number of threads.
///
/// Files are sorted by the raw bytes of their path. A hybrid has pad files, so that every file starts on a piece
/// boundary. Fails with `bad_source` or `bad_options`, with `source_changed` where a file is shorter or longer
/// than described, with `stopped`, and with the errors of `read`. Source: BEP 3, 47, 52.
result<byte_vector> make_torrent(source const& of, make_options const& options);
}  // namespace shoal::metainfo
