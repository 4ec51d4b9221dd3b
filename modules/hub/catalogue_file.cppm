module;
#include <filesystem>
#include <memory>

/// The catalogue's file as a file: whose it is, whether it is one, where a damaged one goes.
module shoal.hub:catalogue_file;
import shoal.core;

namespace shoal::hub {
/// An open file with a lock, both of which end with this object.
class lock_file {
public:
    explicit lock_file(int number) noexcept : number_(number) {}
    ~lock_file();
    lock_file(lock_file const&) = delete;
    lock_file& operator=(lock_file const&) = delete;

private:
    int number_;
};

/// Makes the folder and the file, for its owner's eyes only as it says who shares what, and takes the lock beside it.
result<std::unique_ptr<lock_file>> lock_catalogue(std::filesystem::path const& file);
/// What SQLite is too kind to: it takes a shred for a new file, and reads one that asks for a later version of it.
result<void> check_header(std::filesystem::path const& file);
/// Renames the file and its log, for a person to look at.
result<std::filesystem::path> set_file_aside(std::filesystem::path const& file);
}  // namespace shoal::hub
