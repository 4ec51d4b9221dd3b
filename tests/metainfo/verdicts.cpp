// Reads torrents from standard input, each behind four bytes of length, and says of each in one line whether it is
// canonical bencode (1 or 0) and what torrent it is: `-`, or its info-hashes, bytes and pieces. For agreement.py.
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

import shoal.bencode;
import shoal.core;
import shoal.metainfo;

using namespace shoal;

namespace {
bool read(mutable_byte_view into) {
    return std::fread(into.data(), 1, into.size(), stdin) == into.size();
}
template <class Digest>
std::string shown(std::optional<Digest> const& digest) {
    return digest ? to_hex(digest->view()) : "-";
}
}  // namespace

int main() {
    byte_vector length(4);
    while (read(length)) {
        byte_vector bytes(load_be<std::uint32_t>(length));
        if (!read(bytes)) return 1;
        std::string line = bencode::decode(bytes) ? "1 " : "0 ";
        if (auto const torrent = metainfo::parse_torrent(bytes)) {
            auto const& it = torrent.value();
            line += shown(it.info_hash_v1()) + " " + shown(it.info_hash_v2()) + " " +
                    std::to_string(it.pieces().total_size()) + " " + std::to_string(it.pieces().piece_count());
        } else {
            line += "-";
        }
        std::puts(line.c_str());
        std::fflush(stdout);
    }
    return 0;
}
