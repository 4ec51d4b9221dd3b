module;
#include <string>
#include <system_error>

module shoal.metainfo;
import shoal.core;

namespace shoal::metainfo {
namespace {
class metainfo_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.metainfo"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::input_too_large:
                return "the torrent or link is too large";
            case errc::not_a_torrent:
                return "this is not a torrent file";
            case errc::wrong_type:
                return "a key of the torrent has a value of the wrong type";
            case errc::missing_key:
                return "the torrent lacks a required key";
            case errc::repeated_key:
                return "the torrent has a key twice";
            case errc::unsupported_version:
                return "the torrent's meta version is not supported";
            case errc::bad_piece_length:
                return "the piece length is not allowed";
            case errc::bad_piece_count:
                return "the number of piece hashes does not fit the size of the content";
            case errc::too_many_pieces:
                return "the torrent has too many pieces";
            case errc::bad_file_size:
                return "the size of a file or of a pad file is not possible";
            case errc::bad_file:
                return "a file entry contradicts itself";
            case errc::no_content:
                return "the torrent has no content";
            case errc::paths_too_large:
                return "the file paths are too large for a torrent of this size";
            case errc::bad_pieces_root:
                return "the pieces root of a file is missing or wrong";
            case errc::bad_piece_layer:
                return "a piece layer does not fit its file";
            case errc::hybrid_mismatch:
                return "the v1 and v2 parts of the torrent describe different content";
            case errc::not_a_magnet:
                return "this is not a magnet link";
            case errc::bad_info_hash:
                return "the info-hash of the magnet link is malformed";
            case errc::other_torrent:
                return "this is not the torrent that the magnet link names";
            case errc::no_info_hash:
                return "the magnet link has no BitTorrent info-hash";
            case errc::bad_source:
                return "there is nothing to share, or a file name that cannot be shared";
            case errc::bad_options:
                return "the piece length is not allowed for this content";
            case errc::source_changed:
                return "a file changed while it was hashed";
            case errc::stopped:
                return "stopped before the torrent was complete";
        }
        return "unknown metainfo error";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::bad_source:
            case errc::bad_options:
            case errc::source_changed:
                return shoal::make_error_condition(condition::local_fault);
            case errc::stopped:
                return shoal::make_error_condition(condition::transient);
            default:
                return shoal::make_error_condition(condition::peer_fault);
        }
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static metainfo_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::metainfo
