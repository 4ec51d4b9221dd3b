module;
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

export module peer:files;
import shoal.core;
import shoal.metainfo;
import shoal.share_record;
import shoal.store;

namespace shoal::cli {
/// An open file descriptor.
class descriptor {
public:
    explicit descriptor(int number = -1) noexcept : number_(number) {}
    ~descriptor();
    descriptor(descriptor&& other) noexcept : number_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept;
    int number() const noexcept { return number_; }
    int release() noexcept;

private:
    int number_;
};

/// Reads a torrent file. Throws `failure`: `not_found`, or `failed` when it is no torrent, no regular file, too large.
metainfo::torrent load_torrent(std::filesystem::path const& path);
/// Whether a TARGET is a magnet link.
bool is_magnet(std::string_view target);
/// Reads a magnet link. Throws `failure`.
metainfo::magnet read_magnet(std::string_view link);

using share_record::file_stamp;

/// A file's name, and what tells that somebody wrote to it or put another in its place.
struct named_stamp {
    std::string name;
    file_stamp stamp;
};
/// Of the file at a path; nothing where there is none, or something else. One system call: thousands are looked at.
std::optional<named_stamp> stamp_of_single_file(std::filesystem::path const& path);

/// What there is to share at a path: a file, or every regular file below a folder.
///
/// No symbolic link below the path is followed; links, devices, FIFOs and sockets are left out, and so is `except`.
/// Files are opened again for each read, below the folder only (openat2), so that their number does not matter and a
/// file that became a link meanwhile is refused.
class shared_content {
public:
    /// Looks at the names and sizes. Throws `failure`.
    shared_content(std::filesystem::path const& path, std::filesystem::path const& except);

    bool single_file() const noexcept { return single_file_; }
    /// The last element of the path.
    std::string const& name() const noexcept { return name_; }
    /// The path with its links resolved: the last element may be another than `name()`.
    std::filesystem::path const& place() const noexcept { return place_; }
    std::vector<metainfo::source_file> const& files() const noexcept { return files_; }
    /// What tells, for each of `files()`, that somebody wrote to it or put another in its place.
    std::vector<file_stamp> const& stamps() const noexcept { return stamps_; }
    std::uint64_t total_size() const noexcept;
    /// What was left out and why, one line each, escaped.
    std::vector<std::string> const& left_out() const noexcept { return left_out_; }
    /// Reads from `files()[file]`; short only at the end of the file. Any thread.
    result<std::size_t> read(std::size_t file, std::uint64_t offset, mutable_byte_view into) const;
    /// Which file the last failure of `read` was about, escaped and with `: ` behind; empty where none was. Any thread.
    std::string failed_file() const;

private:
    std::error_code read_failed(std::size_t file, int error_number) const;
    void walk(std::filesystem::path const& path, std::filesystem::path const& except);

    descriptor root_;  // the folder, or the single file
    bool single_file_ = false;
    std::string name_;
    std::filesystem::path place_;
    std::vector<metainfo::source_file> files_;
    std::vector<file_stamp> stamps_;  // of files_
    std::vector<std::string> left_out_;
    mutable std::mutex mutex_;
    mutable std::string failed_file_;  // under mutex_
};

/// The files that a torrent was made of, in the order of their paths: pads and links were not read.
std::vector<store::file_number> files_made_of(metainfo::torrent const& torrent);

/// Under which names the content lies that `torrent` was made of, in the folder of `content.place()`.
store::content_names names_of(shared_content const& content, metainfo::torrent const& torrent);

/// Under which names `directory` holds the content of a torrent. A torrent's names are read as portable ones, and a
/// folder that was shared need not have such: `a:b`, or `README` beside `readme`. Unless the torrent's own names are
/// all there, those on disk are made portable in the same way, all of them in their order, and compared: of `a:b` and
/// `a_b` the first is `a_b`, and the second `a_b (1)`.
store::content_names names_in(std::filesystem::path const& directory, metainfo::torrent const& torrent);
}  // namespace shoal::cli
