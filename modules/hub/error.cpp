module;
#include <string>
#include <system_error>

module shoal.hub;
import shoal.core;

namespace shoal::hub {
namespace {
class hub_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.hub"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::in_use:
                return "another tracker is using this data folder";
            case errc::newer_schema:
                return "the catalogue was written by a newer version of this program";
            case errc::not_a_catalogue:
                return "this file is not a catalogue but another program's database";
            case errc::damaged:
                return "the catalogue is damaged";
            case errc::no_space:
                return "there is no space left for the catalogue";
            case errc::read_only:
                return "the catalogue cannot be written";
            case errc::busy:
                return "another program is using the catalogue";
            case errc::database_failed:
                return "the catalogue's database failed";
            case errc::catalogue_full:
                return "the catalogue is full";
            case errc::too_many_owners:
                return "this content has as many owners as the catalogue takes";
            case errc::bad_owner:
                return "the owner's name is empty, too long, or not text";
            case errc::missing_layers:
                return "the torrent lacks piece layers";
            case errc::pattern_too_long:
                return "the search pattern is too long";
            case errc::pattern_too_wide:
                return "the search pattern has too many wildcards";
            case errc::bad_members:
                return "the file of members has a line that is no name and digest, or one that is there twice";
            case errc::bad_member_name:
                return "a member's name has 1 to 64 letters, digits, or one of -_.@";
            case errc::member_exists:
                return "there is a member of this name";
        }
        return "unknown hub error";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::busy:
            case errc::catalogue_full:
            case errc::too_many_owners:
                return make_error_condition(condition::transient);
            case errc::bad_owner:
            case errc::missing_layers:
            case errc::pattern_too_long:
            case errc::pattern_too_wide:
                return make_error_condition(condition::peer_fault);
            default:
                return make_error_condition(condition::local_fault);
        }
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static hub_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::hub
