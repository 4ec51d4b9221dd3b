#pragma once
// Values that the tests of the session are made of. Include it last: it imports.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

import shoal.core;

namespace values {
using namespace shoal;

inline info_hash hash_of(char letter) {
    return *info_hash::from(as_bytes(std::string(20, letter)));
}
inline endpoint at(std::string_view text) {
    return *endpoint::parse(text);
}
inline bitfield pieces_of(std::uint32_t count, std::vector<std::uint32_t> const& had) {
    bitfield made{count};
    for (auto const each : had) made.set(piece_index{each});
    return made;
}
}  // namespace values
