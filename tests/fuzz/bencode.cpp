#include <algorithm>
#include <string_view>
#include "fuzz.hpp"

import shoal.bencode;
import shoal.core;

using namespace shoal;

namespace {
/// Writes what was read anew.
void write(bencode::encoder& out, bencode::value of, int depth) {
    if (of.is_list()) {
        out.list();
        for (auto const each : of.items()) write(out, each, depth + 1);
        out.end();
    } else if (of.is_dictionary()) {
        out.dictionary();
        for (auto const& [key, content] : of.entries()) write(out.key(key), content, depth + 1);
        out.end();
    } else if (auto const number = of.integer()) {
        out.integer(*number);
    } else {
        out.bytes(*of.bytes());
    }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    byte_view const input = as_bytes(fuzz::text(data, size));
    fuzz::heap_watch const heap;
    auto const strict = bencode::decode(input);
    auto const lenient = bencode::decode(input, bencode::lenient);
    auto const prefix = bencode::decode_prefix(input, bencode::lenient);
    heap.within(size, 64);
    fuzz::require(!strict || lenient, "what strict rules read, lenient ones do");
    fuzz::require(!lenient || prefix, "a whole is a prefix");
    if (lenient)
        fuzz::require(lenient.value().is_canonical() == strict.has_value(), "canonical is what strict rules read");
    if (!strict) return 0;
    bencode::encoder out;
    write(out, strict.value().root(), 0);
    fuzz::require(std::ranges::equal(out.take(), input), "canonical input is written as it was read");
    return 0;
}
