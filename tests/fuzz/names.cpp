#include <algorithm>
#include <string>
#include <string_view>
#include <vector>
#include "fuzz.hpp"

import shoal.core;
import shoal.metainfo;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const input = fuzz::text(data, size);
    auto const name = metainfo::sanitise_name(input);
    fuzz::require(!name.empty() && name != "." && name != "..", "a name is a name");
    fuzz::require(name.size() <= metainfo::name_bytes_max, "a name fits");
    for (auto const c : name)
        fuzz::require(c != '/' && c != '\\' && static_cast<unsigned char>(c) >= 0x20, "no separator, no control");
    fuzz::require(metainfo::sanitise_name(name) == name, "once is enough");
    std::vector<std::string_view> elements;
    for (std::size_t begin = 0; begin <= input.size();) {
        auto const end = std::min(input.find('\n', begin), input.size());
        elements.push_back(input.substr(begin, end - begin));
        begin = end + 1;
    }
    auto const path = metainfo::sanitise_path(elements);
    fuzz::require(!path.empty() && path.size() <= metainfo::path_depth_max, "a path has some elements");
    std::size_t bytes = 0;
    for (auto const& each : path) {
        fuzz::require(metainfo::sanitise_name(each) == each, "each is a name");
        bytes += each.size() + 1;
    }
    fuzz::require(bytes <= metainfo::path_bytes_max + 1, "a path fits");
    auto const shown = escaped(input);
    for (auto const c : shown)
        fuzz::require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "nothing reaches a terminal");
    return 0;
}
