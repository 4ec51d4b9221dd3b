module;
#include <string>
#include <system_error>

module shoal.store;
import shoal.core;

namespace shoal::store {
namespace {
class store_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.store"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::in_use:
                return "another process or torrent is using this content or its journal";
            case errc::no_space:
                return "there is no space left on the disk";
            case errc::foreign_file:
                return "a file of this name exists and does not belong to the torrent";
            case errc::not_a_file:
                return "there is a folder or device where the torrent has a file";
            case errc::symbolic_link:
                return "the path leads through a symbolic link or out of the torrent's folder";
            case errc::missing_file:
                return "the file does not exist";
            case errc::truncated_file:
                return "the file is shorter than it should be";
            case errc::dead_page:
                return "the mapped file was truncated or its device is gone";
            case errc::read_only:
                return "the content was opened for reading only";
            case errc::bad_block:
                return "this is not a block of the piece";
            case errc::window_lent:
                return "the block is being received in place";
            case errc::piece_incomplete:
                return "the piece is not complete";
            case errc::no_writer:
                return "nobody is receiving this piece";
            case errc::already_held:
                return "the piece is verified already";
            case errc::no_hash:
                return "the torrent has no hash for this piece";
            case errc::too_many_files:
                return "too many open files or mappings";
            case errc::sync_failed:
                return "the disk did not take the data that was written";
            case errc::hashes_disagree:
                return "the torrent contradicts itself: its v1 and v2 hashes are of different bytes";
            case errc::doubtful_piece:
                return "the disk may have lost the piece: it is read again first";
            case errc::disk_failing:
                return "the disk fails again and again";
            case errc::bad_journal:
                return "the journal is damaged or belongs to another torrent";
            case errc::closed:
                return "the store is closed";
            case errc::changed_file:
                return "somebody changed a file of the torrent; it stays as it is";
            case errc::decayed:
                return "the disk gives other bytes than were verified, and nobody changed the file";
        }
        return "unknown store error";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        auto const code = static_cast<errc>(value);
        auto const passes = code == errc::window_lent || code == errc::too_many_files || code == errc::doubtful_piece;
        return make_error_condition(passes ? condition::transient : condition::local_fault);
    }
};
}  // namespace

std::error_code make_error_code(errc code) noexcept {
    static store_category const category;
    return {static_cast<int>(code), category};
}
}  // namespace shoal::store
