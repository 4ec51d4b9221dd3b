#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>
#include "fuzz.hpp"

import shoal.core;
import shoal.metainfo;
import shoal.store;

using namespace shoal;

namespace {
metainfo::torrent const& some_torrent() {
    static auto const made = [] {
        metainfo::source source;
        source.name = "content";
        source.files = {{{"a"}, 100'000}, {{"b"}, 300'000}};
        source.read = [](std::size_t file, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
            auto const left = (file == 0 ? 100'000 : 300'000) - offset;
            std::ranges::fill(into, std::byte{'x'});
            return std::min<std::size_t>(into.size(), left);
        };
        metainfo::make_options options;
        options.piece_length = 16 * 1024;
        options.threads = 1;
        return metainfo::parse_torrent(metainfo::make_torrent(source, options).value()).value();
    }();
    return made;
}

/// A journal as it is written, with some pieces, and a bit more of it.
byte_vector written(bitfield const& held) {
    store::journal::checksum last;
    auto bytes = store::journal::compose(some_torrent(), held, {std::nullopt, store::journal::stamp{1, 2, 3}}, last);
    store::journal::append_held(bytes, last, {piece_index{7}});
    store::journal::append_stamps(bytes, last, {{0, {4, 5, 5}}});
    return bytes;
}
}  // namespace

/// First byte 0: the rest is the journal. Else a real journal is damaged: each four bytes of input are a place (two),
/// what its byte is changed by, and whether the journal is cut there instead.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const& torrent = some_torrent();
    bitfield held(torrent.pieces().piece_count(), false);
    for (std::uint32_t const piece : {0, 2, 5}) held.set(piece_index{piece});
    static auto const whole = written(held);
    held.set(piece_index{7});
    bool const is_raw = fuzz::take(data, size) == 0;
    byte_vector bytes(whole);
    if (is_raw) {
        auto const raw = as_bytes(fuzz::text(data, size));
        bytes.assign(raw.begin(), raw.end());
    }
    for (; !is_raw && size >= 4 && !bytes.empty(); data += 4, size -= 4) {
        auto const at = (std::size_t{data[0]} << 8 | data[1]) % bytes.size();
        bytes[at] ^= std::byte{data[2]};
        if (data[3] == 255) bytes.resize(at);
    }
    fuzz::heap_watch const heap;
    auto const read = store::journal::parse(bytes, torrent);
    heap.within(bytes.size());
    if (!read) return 0;
    auto const& claims = read.value();
    fuzz::require(claims.held.size() == torrent.pieces().piece_count(), "pieces are those of the torrent");
    if (!is_raw) fuzz::require(!claims.held.has_beyond(held), "a damaged journal claims nothing more than it did");
    return 0;
}
