module;
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

module peer;
import shoal.bencode;
import shoal.core;
import shoal.metainfo;
import shoal.store;

namespace shoal::cli {
namespace {
namespace fs = std::filesystem;

std::string message_of(int error_number) {
    return std::system_category().message(error_number);
}
std::string shown(fs::path const& path) {
    return escaped(path.string());
}

/// Why `path` could not be opened; errno says it.
failure not_opened(fs::path const& path) {
    auto const why = errno;
    auto const status = why == ENOENT || why == ENOTDIR ? exit_status::not_found : exit_status::failed;
    // Landlock forbids to open it, not to ask whether it could be.
    bool const is_sandbox = why == EACCES && access(path.c_str(), R_OK) == 0;
    return {
        status,
        shown(path) + ": " +
            (is_sandbox ? "not what was there at the start, and so out of the sandbox: start again" : message_of(why)),
        why == EMFILE || why == ENFILE || why == ENOMEM || why == EIO};
}

/// Reads until `into` is full or the file ends; -1 with errno when the disk fails.
std::ptrdiff_t read_fully(int file, std::uint64_t offset, mutable_byte_view into) {
    std::size_t done = 0;
    while (done < into.size()) {
        auto const count = pread(file, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -1;
        if (count == 0) break;
        done += static_cast<std::size_t>(count);
    }
    return static_cast<std::ptrdiff_t>(done);
}

/// Opens below `folder`: no symbolic link is followed and no path leads out. Does not wait for the writer of a FIFO.
descriptor open_below(int folder, std::string const& path) {
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    return descriptor{static_cast<int>(syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how))};
}

std::string joined(std::vector<std::string> const& path) {
    std::string text;
    for (auto const& element : path) text.append(text.empty() ? "" : "/").append(element);
    return text;
}

file_stamp stamp_of(struct stat const& status) {
    auto const nanoseconds = [](timespec const& time) {
        return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
    };
    return {static_cast<std::uint64_t>(status.st_size), status.st_ino, nanoseconds(status.st_mtim),
            nanoseconds(status.st_ctim)};
}

/// Why something that is neither file nor folder is left out.
std::string kind_of(fs::file_type type) {
    switch (type) {
        case fs::file_type::symlink:
            return "a symbolic link";
        case fs::file_type::fifo:
            return "a FIFO";
        case fs::file_type::socket:
            return "a socket";
        case fs::file_type::block:
        case fs::file_type::character:
            return "a device";
        default:
            return "no file";
    }
}
}  // namespace

descriptor::~descriptor() {
    if (number_ >= 0) close(number_);
}
descriptor& descriptor::operator=(descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
}
int descriptor::release() noexcept {
    return std::exchange(number_, -1);
}

bool is_magnet(std::string_view target) {
    return target.starts_with("magnet:");
}

metainfo::magnet read_magnet(std::string_view link) {
    auto read = metainfo::parse_magnet(link);
    if (!read) throw failure{exit_status::failed, "the magnet link cannot be used: " + read.error().message()};
    return std::move(read).value();
}

metainfo::torrent load_torrent(fs::path const& path) {
    descriptor const file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.number() < 0) throw not_opened(path);
    struct stat status{};
    if (fstat(file.number(), &status) != 0) throw failure{exit_status::failed, shown(path) + ": " + message_of(errno)};
    if (!S_ISREG(status.st_mode)) throw failure{exit_status::failed, shown(path) + " is no file"};
    metainfo::limits const limits;
    if (static_cast<std::uint64_t>(status.st_size) > limits.input_bytes_max)
        throw failure{exit_status::failed, shown(path) + " is too large for a torrent"};
    byte_vector bytes(static_cast<std::size_t>(status.st_size));
    auto const count = read_fully(file.number(), 0, bytes);
    if (count < 0) throw failure{exit_status::failed, shown(path) + ": " + message_of(errno)};
    auto torrent = metainfo::parse_torrent(byte_view{bytes}.first(static_cast<std::size_t>(count)), limits);
    if (!torrent)
        throw failure{exit_status::failed, shown(path) + " is no valid torrent: " + torrent.error().message()};
    return std::move(torrent).value();
}

namespace {
std::string name_of(fs::path const& path) {
    auto const absolute = fs::absolute(path).lexically_normal();
    return (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
}
}  // namespace

std::optional<named_stamp> stamp_of_single_file(fs::path const& path) {
    struct stat status{};
    if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    return named_stamp{name_of(path), stamp_of(status)};
}

shared_content::shared_content(fs::path const& path, fs::path const& except) {
    root_ = descriptor{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status{};
    if (root_.number() < 0 || fstat(root_.number(), &status) != 0) throw not_opened(path);
    name_ = name_of(path);
    std::error_code error;
    place_ = fs::canonical(path, error);
    if (error) throw failure{exit_status::failed, shown(path) + ": " + error.message()};
    if (S_ISDIR(status.st_mode)) {
        walk(path, except);
        return;
    }
    if (!S_ISREG(status.st_mode)) throw failure{exit_status::failed, shown(path) + " is neither a file nor a folder"};
    single_file_ = true;
    files_.push_back({.path = {name_},
                      .size = static_cast<std::uint64_t>(status.st_size),
                      .executable = (status.st_mode & S_IXUSR) != 0});
    stamps_.push_back(stamp_of(status));
}

void shared_content::walk(fs::path const& path, fs::path const& except) {
    std::error_code error;
    for (fs::recursive_directory_iterator at(path, error), end; at != end; at.increment(error)) {
        if (error) break;
        auto const type = at->symlink_status(error).type();
        if (error) break;
        if (type == fs::file_type::directory) continue;
        auto const below = at->path().lexically_relative(path);
        if (type != fs::file_type::regular) {
            left_out_.push_back(shown(below) + " (" + kind_of(type) + ")");
            continue;
        }
        std::error_code unrelated;
        if (fs::equivalent(at->path(), except, unrelated)) {
            left_out_.push_back(shown(below) + " (the torrent to be written)");
            continue;
        }
        metainfo::source_file file;
        for (auto const& element : below) file.path.push_back(element.string());
        if (!is_valid_utf8(below.string()))
            throw failure{exit_status::failed, "the name " + shown(below) + " is not valid UTF-8"};
        struct stat status{};
        if (lstat(at->path().c_str(), &status) != 0) {
            if (errno == ENOENT) continue;  // gone meanwhile
            error = {errno, std::system_category()};
            break;
        }
        file.size = static_cast<std::uint64_t>(status.st_size);
        file.executable = (status.st_mode & S_IXUSR) != 0;
        files_.push_back(std::move(file));
        stamps_.push_back(stamp_of(status));
    }
    if (error) throw failure{exit_status::failed, shown(path) + ": " + error.message()};
}

std::uint64_t shared_content::total_size() const noexcept {
    std::uint64_t total = 0;
    for (auto const& file : files_) total += file.size;
    return total;
}

result<std::size_t> shared_content::read(std::size_t file, std::uint64_t offset, mutable_byte_view into) const {
    descriptor opened;
    if (!single_file_) opened = open_below(root_.number(), joined(files_[file].path));
    auto const number = single_file_ ? root_.number() : opened.number();
    struct stat status{};
    if (number < 0 || fstat(number, &status) != 0) return read_failed(file, errno);
    if (!S_ISREG(status.st_mode)) return metainfo::make_error_code(metainfo::errc::source_changed);
    auto const count = read_fully(number, offset, into);
    if (count < 0) return read_failed(file, errno);
    return static_cast<std::size_t>(count);
}

std::error_code shared_content::read_failed(std::size_t file, int error_number) const {
    std::lock_guard const lock(mutex_);
    failed_file_ = escaped(joined(files_[file].path)) + ": ";
    return {error_number, std::system_category()};
}

std::string shared_content::failed_file() const {
    std::lock_guard const lock(mutex_);
    return failed_file_;
}

std::vector<store::file_number> files_made_of(metainfo::torrent const& torrent) {
    std::vector<store::file_number> numbers;
    auto const& files = torrent.content().files();
    for (store::file_number i = 0; i < files.size(); ++i)
        if (!files[i].pad && !files[i].symlink) numbers.push_back(i);
    return numbers;
}

store::content_names names_of(shared_content const& content, metainfo::torrent const& torrent) {
    store::content_names names;
    names.root = content.place().filename().string();
    if (content.single_file()) return names;
    std::vector<std::vector<std::string>> paths;
    for (auto const& file : content.files()) paths.push_back(file.path);
    std::ranges::sort(paths);
    auto const numbers = files_made_of(torrent);
    for (std::size_t i = 0; i < std::min(numbers.size(), paths.size()); ++i)
        if (auto path = joined(paths[i]); path != torrent.content().files()[numbers[i]].joined())
            names.paths.emplace(numbers[i], std::move(path));
    return names;
}

namespace {
/// The names of a folder, sorted by their bytes.
std::vector<std::string> entries_of(fs::path const& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
        names.push_back(at->path().filename().string());
    std::ranges::sort(names);
    return names;
}

/// The name that the torrent was made with, where a file can have it: `a:b` for what is read as `a_b`.
std::string name_as_written(metainfo::torrent const& torrent) {
    auto const info = bencode::decode(torrent.info_bytes(), bencode::lenient);
    auto const name = info ? info.value().root().find_text("name") : std::nullopt;
    bool const is_name = name && !name->empty() && *name != "." && *name != ".." &&
                         name->find_first_of(std::string_view{"/\0", 2}) == name->npos;
    return is_name ? std::string{*name} : std::string{};
}

/// The torrent's root folder or single file in `directory`, where it is not under the name that the torrent is read
/// with. The name that it was made with goes first: `a_b` beside it is another file.
std::string root_in(fs::path const& directory, metainfo::torrent const& torrent) {
    auto const is_there = [&directory](std::string const& name) {
        std::error_code error;
        return fs::exists(fs::symlink_status(directory / name, error));
    };
    if (auto written = name_as_written(torrent); !written.empty() && written != torrent.name() && is_there(written))
        return written;
    if (is_there(torrent.name())) return {};
    auto const names = entries_of(directory);
    auto const found = std::ranges::find(names, torrent.name(), metainfo::sanitise_name);
    return found == names.end() ? std::string{} : *found;
}
}  // namespace

store::content_names names_in(fs::path const& directory, metainfo::torrent const& torrent) {
    store::content_names names;
    names.root = root_in(directory, torrent);
    if (torrent.single_file()) return names;
    auto const root = directory / (names.root.empty() ? torrent.name() : names.root);
    std::unordered_map<std::string, store::file_number> wanted;
    bool is_any_missing = false;
    std::error_code error;
    for (auto const number : files_made_of(torrent)) {
        auto const path = torrent.content().files()[number].joined();
        is_any_missing = is_any_missing || !fs::exists(fs::symlink_status(root / path, error));
        wanted.emplace(path, number);
    }
    if (!is_any_missing || !fs::is_directory(root, error)) return names;

    std::vector<std::vector<std::string>> there;
    for (fs::recursive_directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
        if (at->symlink_status(error).type() != fs::file_type::regular) continue;
        auto& path = there.emplace_back();
        for (auto const& element : at->path().lexically_relative(root)) path.push_back(element.string());
    }
    std::ranges::sort(there);
    metainfo::unique_paths taken{0};
    for (auto const& path : there) {
        auto portable = metainfo::sanitise_path({path.begin(), path.end()});
        taken.claim(portable);
        auto const found = wanted.find(joined(portable));
        if (found != wanted.end() && found->first != joined(path)) names.paths.emplace(found->second, joined(path));
    }
    return names;
}
}  // namespace shoal::cli
