module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

export module shoal.hub:catalogue;
import shoal.core;

export namespace shoal::hub {
/// Time as calendars count it: what is written down has to mean the same after a restart.
using wall_time = std::chrono::sys_seconds;

/// What a catalogue holds, and for how long.
struct catalogue_limits {
    /// Contents: a search with wildcards looks at every name, which takes a tenth of a second at so many.
    std::size_t entries_max = 100'000;
    /// Bytes of all stored metainfo and indexed paths together.
    std::uint64_t bytes_max = std::uint64_t{1} << 30;
    /// Bytes of the file with its indexes, whatever else goes wrong. SQLite counts in pages of 4 KiB.
    std::uint64_t file_bytes_max = std::uint64_t{4} << 30;
    /// Bytes of a torrent file: 300 000 pieces in v1 and v2 hashes, 150 GiB at the default piece length.
    std::size_t metainfo_bytes_max = 16 * 1024 * 1024;
    /// Files of one content that can be found, and bytes of their paths: further ones are left out of the index.
    std::size_t indexed_files_max = 10'000;
    std::size_t indexed_path_bytes_max = 1024 * 1024;
    /// Owners of one content.
    std::size_t owners_max = 256;
    /// An owner of whom nothing was heard for so long owns nothing any more.
    std::chrono::seconds owner_kept = std::chrono::hours{7 * 24};
    /// A content without owner is forgotten after so long: its last owner may be back, and its name be asked for.
    std::chrono::seconds orphan_kept = std::chrono::hours{7 * 24};
};

/// Bytes of an owner's name: a host name has 255 at most.
inline constexpr std::size_t owner_bytes_max = 255;
/// Entries of one answer.
inline constexpr std::size_t listed_entries_max = 1000;
/// Owners that come with an entry, the first ones; the others are counted.
inline constexpr std::size_t listed_owners_max = 16;
/// Bytes of a pattern: more than any path.
inline constexpr std::size_t pattern_bytes_max = 4096;
/// Words of a pattern that count: each costs a look into the index.
inline constexpr std::size_t pattern_words_max = 32;
/// Steps of matching names with wildcards in one search: a tenth of a second. Common patterns take one a byte.
inline constexpr std::size_t matching_steps_max = 20'000'000;
/// Entries that `catalogue::forget` removes in one call, so that others have their turn.
inline constexpr std::size_t forgotten_at_once = 100;

/// Somebody who published a content.
struct content_owner {
    std::string name;  ///< A stranger's text: escape it where it is shown.
    wall_time since;   ///< When he first published it.
    wall_time seen;    ///< When he was last heard of.
};

/// One content of the catalogue.
struct catalogue_entry {
    info_hash swarm_hash;
    std::optional<sha1_digest> info_hash_v1;
    std::optional<sha256_digest> info_hash_v2;
    std::string name;                ///< Sanitised.
    std::uint64_t size = 0;          ///< Bytes, without pad files.
    std::uint32_t file_count = 0;    ///< Without pad files.
    std::uint32_t piece_length = 0;  ///< Bytes.
    wall_time added{};
    std::uint64_t completed = 0;        ///< Downloads that came to their end, of all times.
    std::size_t owner_count = 0;        ///< 0: its last owner has gone.
    std::vector<content_owner> owners;  ///< The first `listed_owners_max` by `since`.
};

/// One file of a content.
struct catalogue_file {
    std::string path;  ///< Sanitised, `/` between its elements.
    std::uint64_t size = 0;
};

/// Where a page ended: the entries after it have a greater name, or the same and a greater hash.
struct catalogue_position {
    std::string name;
    info_hash swarm_hash;
};

/// Entries by name, then hash. What is published or forgotten meanwhile moves none of the others to another page.
struct catalogue_page {
    std::vector<catalogue_entry> entries;
    std::optional<catalogue_position> next;  ///< Where to go on; nothing: these were the last.
};

/// What `catalogue::publish` did.
struct publication {
    catalogue_entry entry;
    bool is_new_content = false;
    bool is_new_owner = false;
};

/// A content and how to fetch it.
struct stored_torrent {
    catalogue_entry entry;
    byte_vector metainfo;  ///< A torrent file: the info dictionary as it was published, and the piece layers of v2.
};

/// Numbers that outlive the program, by name.
using saved_counters = std::map<std::string, std::uint64_t, std::less<>>;
/// Downloads that came to their end since they were last saved.
using completed_downloads = std::vector<std::pair<info_hash, std::uint64_t>>;

/// What the nodes of a hub share: contents by hash, their names, files and owners; and the hub's counters.
///
/// A file of SQLite with a write-ahead log. What a call has reported as done is on disk: neither a killed process nor a
/// power cut loses it. Blocking, and not thread-safe: run it on a pool, one call at a time. Failures of the disk come
/// as `errc` or system errors and leave the catalogue as it was before the call.
class catalogue {
public:
    /// Opens the file, or makes one with its folder; ":memory:" is a catalogue that goes away with the object.
    ///
    /// Takes a lock (`FILE.lock`) for as long as the object lives. Reads the whole file to check it, about a second a
    /// GiB: a damaged index is made anew, and a file that is damaged otherwise is set aside. Fails with `in_use`,
    /// `newer_schema`, `not_a_catalogue`, or when the disk does.
    static result<catalogue> open(std::filesystem::path file, catalogue_limits within = {});
    catalogue(catalogue&&) noexcept;
    catalogue& operator=(catalogue&&) noexcept;
    ~catalogue();

    /// Where a damaged file was moved to: `FILE.bad-TIME`, by the time of its last change. Nothing: all was well.
    std::optional<std::filesystem::path> const& set_aside() const noexcept;
    std::size_t size() const noexcept;  ///< Entries.

    // Publishing

    /// Takes in a whole torrent file for its owner, who thereby has been heard of. A content that is there already gets
    /// another owner. Fails with `bad_owner`, `missing_layers`, `catalogue_full`, `too_many_owners`, and what
    /// `metainfo::parse_torrent` refuses; takes as much memory as that.
    result<publication> publish(std::string_view owner, byte_view torrent_file, wall_time now);
    /// Whether he owned it. The last owner leaves an entry that `forget` removes later.
    result<bool> unpublish(std::string_view owner, info_hash const& content, wall_time now);
    /// The owner was heard of. Whether he owns something.
    result<bool> touch(std::string_view owner, wall_time now);
    /// Drops owners and contents whose time is up; how many contents, `forgotten_at_once` at most.
    result<std::size_t> forget(wall_time now);

    // Searching

    /// What a person looks for, `limit` entries at most. Empty: everything. With `*` or `?`: names of that form, in any
    /// case. Else: contents that have, for each word, a word in their name or paths that begins so, in any case and
    /// with any accents; where there are none, those with the text anywhere in their name. Any bytes will do: what is
    /// no text counts as a space. Fails with `pattern_too_long` and `pattern_too_wide`.
    result<catalogue_page> find(std::string_view pattern, std::size_t limit,
                                std::optional<catalogue_position> const& after = {});
    /// All contents of exactly this name, by hash; `listed_entries_max` at most.
    result<std::vector<catalogue_entry>> by_name(std::string_view name);
    /// The `count` contents with the most similar names, best first, by the trigrams they share. Looks at every name.
    result<std::vector<catalogue_entry>> near(std::string_view name, std::size_t count);
    /// Nothing when it is not there. Fails with `damaged` where the bytes are not those that were stored; who publishes
    /// the content again repairs it.
    result<std::optional<stored_torrent>> by_hash(info_hash const& content);
    /// The indexed files of a content in torrent order, without pad files, `listed_entries_max` at most; `from` skips
    /// the first ones.
    result<std::vector<catalogue_file>> files(info_hash const& content, std::size_t from = 0);
    /// All owners of a content, first come first.
    result<std::vector<content_owner>> owners(info_hash const& content);

    // Counters

    /// As they were when the catalogue was opened or when they were last saved.
    saved_counters const& counters() const noexcept;
    /// Sets these counters, leaves others as they are, and adds to `completed` of those contents that are there; all of
    /// it or nothing. Waits for the disk, so once a minute is enough.
    result<void> save_counters(saved_counters const& totals, completed_downloads const& completed = {});

private:
    struct parts;
    explicit catalogue(std::unique_ptr<parts> made) noexcept;
    std::unique_ptr<parts> parts_;
};
}  // namespace shoal::hub
