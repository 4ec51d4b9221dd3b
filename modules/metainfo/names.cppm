module;
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

export module shoal.metainfo:names;

export namespace shoal::metainfo {
/// Bytes in one name: what ext4, XFS, NTFS and APFS take.
inline constexpr std::size_t name_bytes_max = 255;
/// Bytes in a path below the torrent's root, separators counted: leaves half of Linux's PATH_MAX to the download
/// folder.
inline constexpr std::size_t path_bytes_max = 2048;
/// Names in a path; bounds the memory that a path of one-letter names takes.
inline constexpr std::size_t path_depth_max = 100;
/// What an incomplete file has appended to its name.
inline constexpr std::string_view part_suffix = ".part";

/// A stranger's name as one that every common file system takes and that stays in its folder.
///
/// Separators, `: * ? " < > |`, control characters and invalid UTF-8 become `_`; invisible and bidi characters,
/// trailing dots and spaces go; a device name of Windows (`CON`, `com1.txt`) gets a `_` in front; a name longer than
/// `name_bytes_max` is cut on a UTF-8 boundary and keeps its extension; `.`, `..` and what ends up empty are `_`.
/// Idempotent. Use it for every source: torrent file, metadata from a peer, magnet link, rename.
std::string sanitise_name(std::string_view name);

/// Every element by `sanitise_name`. Where the whole is longer or deeper than the limits, the file name and as many
/// leading folders as fit stay. No elements: `_`. Idempotent.
std::vector<std::string> sanitise_path(std::vector<std::string_view> const& elements);

/// The name of a file while it is incomplete: with `part_suffix`, cut where it would exceed `name_bytes_max`.
std::string part_name(std::string_view name);

/// Capital letters as small ones, by simple folding of Latin, Greek, Cyrillic, Armenian and full-width letters: names
/// that fold alike are one name to a person, and to a file system that does not know case. Invalid UTF-8 stays as it
/// is.
std::string folded_name(std::string_view name);

/// Keeps the files of one torrent from sharing a place on disk, and from being a folder of another.
///
/// Names with one `folded_name` count as equal, and so do `x.part` and the incomplete form of `x`.
class unique_paths {
public:
    /// `seed` should depend on the torrent, so that nobody can choose names that hash alike; it changes no answer.
    explicit unique_paths(std::uint64_t seed);
    ~unique_paths();
    unique_paths(unique_paths&&) noexcept;
    unique_paths& operator=(unique_paths&&) noexcept;

    /// Takes the place `path` (sanitised, not empty), renaming elements to `name (1).ext`, `name (2).ext`... where it
    /// is taken. The answer depends on the earlier claims alone. Constant time per element, amortised.
    void claim(std::vector<std::string>& path);

private:
    struct places;
    std::unique_ptr<places> places_;
};
}  // namespace shoal::metainfo

namespace shoal::metainfo {
/// `sanitise_path` for one path after another, where folders that a path shares with the one before cost nothing: each
/// folder of a tree is read once, however many files are in it.
class path_sanitiser {
public:
    /// `elements` have to stay in place until the next call has returned.
    std::vector<std::string> operator()(std::vector<std::string_view> const& elements);

private:
    struct folder {
        std::string_view raw;
        std::string clean;
    };
    std::vector<folder> folders_;  // of the last path, as far as they were read
};

/// The longest start of `text` with at most `bytes_max` bytes that does not end inside a character.
std::string_view cut(std::string_view text, std::size_t bytes_max) noexcept;
/// Where the extension starts, its dot included; the size of `name` when there is none or it is over 32 bytes long.
std::size_t extension_at(std::string_view name) noexcept;
}  // namespace shoal::metainfo
