module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

export module shoal.console:chunks;
import shoal.core;
import shoal.metainfo;

export namespace shoal::console {
/// More chunks than this are shown by ranges unless all are asked for: what a person still reads line by line.
inline constexpr std::size_t chunk_lines_max = 100;
/// Ranges in one line; what is left out is counted.
inline constexpr std::size_t ranges_max = 24;

/// The names of a torrent's pieces: `FILE.partN`, FILE the path in the torrent and N counted from 1 within the file.
///
/// A piece that several files share is named after the first of them that has bytes in it, so that each piece has one
/// name; N counts the pieces that are named after the file. Pad files give no name. All names are escaped, as they are
/// shown, and are found in that form.
class chunk_names {
public:
    /// `of` has to outlive the names.
    explicit chunk_names(metainfo::layout const& of);

    std::string name_of(piece_index piece) const;
    std::optional<piece_index> find(std::string_view chunk) const;
    /// The file of that path; pad files have none.
    std::optional<std::uint32_t> find_file(std::string_view path) const;
    std::string file_name(std::uint32_t file) const;
    /// The pieces that are named after a file: all of its own, but for a first one that it shares with a file before.
    metainfo::piece_span named_after(std::uint32_t file) const;

    /// At most `count_max` names of chunks, and of files, that begin with `prefix`.
    std::vector<std::string> chunks_from(std::string_view prefix, std::size_t count_max) const;
    std::vector<std::string> files_from(std::string_view prefix, std::size_t count_max) const;

    /// Those pieces in one line, in ranges (`a.part1..part3, b.part2`); `none` when there are none.
    std::string list(std::vector<piece_index> const& pieces) const;
    /// A line for each chunk, `a.part1: 0`; by ranges (`a.part1..part3: 1`) when there are more than `chunk_lines_max`
    /// and not `all` are asked for.
    std::vector<std::string> status_lines(bitfield const& have, bool all) const;

private:
    std::uint32_t owner_of(piece_index piece) const;
    std::string range_name(std::uint32_t first, std::uint32_t last) const;

    metainfo::layout const& layout_;
    std::unordered_map<std::string, std::uint32_t> files_;
};

/// The pieces that `have` has, and those that it lacks.
std::vector<piece_index> held(bitfield const& have);
std::vector<piece_index> missing(bitfield const& have);
}  // namespace shoal::console
