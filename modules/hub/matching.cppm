module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What a person typed against the names there are. Not exported.
module shoal.hub:matching;

namespace shoal::hub {
/// The text in `typed`: what is no valid UTF-8 and no character is a space, and there is none at the ends.
std::string readable(std::string_view typed);

/// A query for FTS5: each word of a readable text as the beginning of a word. No character of it has a meaning to FTS5.
std::string prefix_query(std::string_view text);

/// Names with `*` for any characters and `?` for one; every other character stands for itself.
class wildcards {
public:
    /// `form` and the names have their case folded.
    explicit wildcards(std::string form) : form_(std::move(form)) {}
    /// Whether the whole name has this form. Takes its work off `steps`; nothing when they do not last.
    std::optional<bool> match(std::string_view name, std::size_t& steps) const noexcept;

private:
    std::string form_;
};

/// How alike names are to a given one.
class similarity {
public:
    /// Its case is folded, as is that of the names it is compared with.
    explicit similarity(std::string_view name);
    /// From 0, no trigram in common, to 1, the same. Linear in the size of `other`.
    double to(std::string_view other);

private:
    std::vector<std::uint32_t> trigrams_;  // in order, each once
    std::vector<std::uint32_t> met_at_;    // for each trigram, the last comparison that met it
    std::uint32_t comparison_ = 0;
};
/// Names less alike than this are no near matches: `cat` and `cta` are.
constexpr double similarity_min = 0.25;
}  // namespace shoal::hub
