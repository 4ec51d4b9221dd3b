module;
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

module shoal.share_record;
import shoal.core;
import shoal.hash;
import shoal.options;

namespace shoal::share_record {
namespace {
namespace fs = std::filesystem;

/// Of a used record the time is not written anew more often.
constexpr auto used_steps = std::chrono::days{1};

class descriptor {
public:
    explicit descriptor(int number) noexcept : number_(number) {}
    ~descriptor() {
        if (number_ >= 0) close(number_);
    }
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
    int number() const noexcept { return number_; }

private:
    int number_;
};

std::error_code last_error() noexcept {
    return {errno, std::generic_category()};
}

std::chrono::sys_seconds now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}
std::chrono::sys_seconds last_used(struct stat const& facts) {
    return std::chrono::sys_seconds{std::chrono::seconds{facts.st_mtim.tv_sec}};
}
}  // namespace

fs::path record_folder::file_of(fs::path const& whole_path) const {
    return folder_ / to_hex(hash::sha1_of(as_bytes(whole_path.native())).view());
}

std::vector<std::string> record_folder::names() const {
    std::vector<std::string> found;
    std::error_code error;
    for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
        struct stat facts{};
        if (lstat(at->path().c_str(), &facts) != 0) continue;
        if (now() - last_used(facts) > kept_for)
            (void)unlink(at->path().c_str());
        else if (S_ISREG(facts.st_mode) && at->path().extension().empty())
            found.push_back(at->path().filename().string());
    }
    return found;
}

std::optional<record> record_folder::read(std::string const& name) const {
    descriptor const file{open((folder_ / name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    struct stat facts{};
    if (file.number() < 0 || fstat(file.number(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
    if (static_cast<std::uint64_t>(facts.st_size) > record_bytes_max) return std::nullopt;
    byte_vector bytes(static_cast<std::size_t>(facts.st_size));
    for (std::size_t done = 0; done < bytes.size();) {
        auto const count = ::read(file.number(), bytes.data() + done, bytes.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return std::nullopt;
        done += static_cast<std::size_t>(count);
    }
    auto out = decode(bytes);
    if (!out || file_of(out->path).filename() != name) return std::nullopt;
    return out;
}

void record_folder::mark_used(std::string const& name) const {
    auto const path = folder_ / name;
    struct stat facts{};
    if (lstat(path.c_str(), &facts) == 0 && now() - last_used(facts) > used_steps)
        (void)utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
}

result<void> record_folder::write(record const& what) const {
    if (mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return last_error();
    try {
        options::atomic_file{file_of(what.path), 0600}.commit_unsynced(encode(what));
    } catch (std::system_error const& why) {
        return why.code();
    }
    return success();
}

void record_folder::remove(fs::path const& whole_path) const {
    (void)unlink(file_of(whole_path).c_str());
}
}  // namespace shoal::share_record
