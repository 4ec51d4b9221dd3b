#pragma once
// Bugs that are planted on purpose, to see that the tests find them (tests/simulation/canaries.py, docs/testing.md).
// Included by the units that hold one. Without the CMake option SHOAL_CANARIES there are none, and no code is left.
#include <string_view>

#ifdef SHOAL_CANARIES
#include <cstdlib>
#endif

namespace shoal {
#ifdef SHOAL_CANARIES
/// Whether the environment asks for this bug: SHOAL_CANARY is its name.
inline bool is_planted(std::string_view name) noexcept {
    static char const* const planted = std::getenv("SHOAL_CANARY");
    return planted != nullptr && name == planted;
}
#else
constexpr bool is_planted(std::string_view) noexcept {
    return false;
}
#endif
}  // namespace shoal
