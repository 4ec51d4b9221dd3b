module;
#include <string>
#include <system_error>

module shoal.bencode;

namespace shoal::bencode {
namespace {
class bencode_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.bencode"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::truncated:
                return "the bencoded data ends inside a value";
            case errc::unexpected_byte:
                return "no bencoded value starts here";
            case errc::bad_integer:
                return "an integer is not written in canonical form";
            case errc::integer_overflow:
                return "an integer does not fit 64 bits";
            case errc::bad_length:
                return "the length of a string is not written in canonical form";
            case errc::key_not_string:
                return "a dictionary key is not a string";
            case errc::unsorted_keys:
                return "dictionary keys are repeated or out of order";
            case errc::too_deep:
                return "lists and dictionaries are nested too deeply";
            case errc::too_many_items:
                return "the bencoded data has too many items";
            case errc::too_large:
                return "the bencoded data is too large";
            case errc::trailing_bytes:
                return "bytes are left over after the bencoded value";
        }
        return "unknown bencode error";
    }
    std::error_condition default_error_condition(int) const noexcept override {
        return shoal::make_error_condition(condition::peer_fault);
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static bencode_category const category;
    return {static_cast<int>(value), category};
}
}  // namespace shoal::bencode
