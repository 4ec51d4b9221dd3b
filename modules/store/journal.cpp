module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/try.hpp"

module shoal.store;
import shoal.core;
import shoal.hash;
import shoal.metainfo;

namespace shoal::store::journal {
namespace {
constexpr std::string_view magic = "SHOALJNL";
enum class kind : std::uint8_t { held = 1, stamps, all_held };
constexpr std::size_t stamp_bytes = 4 + 8 + 8 + 8;
constexpr std::size_t header_bytes = magic.size() + 4 + 20 + 20;
constexpr std::size_t record_frame = 4 + 1;  // before the payload

checksum chained(checksum const& before, byte_view record) {
    hash::sha1_hasher hasher;
    hasher.update(before.view());
    hasher.update(record);
    checksum sum;
    auto const digest = hasher.finish();
    std::copy_n(digest.bytes.begin(), checksum::size(), sum.bytes.begin());
    return sum;
}

// Two torrents of one info-hash have one geometry; names are sanitised by code that may change between versions.
sha1_digest geometry_digest(metainfo::torrent const& of) {
    byte_vector facts;
    byte_writer to{facts};
    to.be(of.pieces().piece_length()).be(of.pieces().total_size());
    for (auto const& file : of.content().files())
        to.be(file.size).be(std::uint8_t{file.pad}).text(file.joined()).be(std::uint8_t{0});
    return hash::sha1_of(facts);
}

byte_vector header_of(metainfo::torrent const& of) {
    byte_vector header;
    byte_writer{header}.text(magic).be(version).bytes(of.swarm_hash().view()).bytes(geometry_digest(of).view());
    return header;
}

void append(byte_vector& out, checksum& last, kind what, byte_view payload) {
    auto const start = out.size();
    byte_writer to{out};
    to.be(static_cast<std::uint32_t>(payload.size())).be(static_cast<std::uint8_t>(what)).bytes(payload);
    last = chained(last, byte_view{out}.subspan(start));
    to.bytes(last.view());
}

byte_vector numbers(std::vector<piece_index> const& pieces) {
    byte_vector payload;
    byte_writer to{payload};
    for (auto const piece : pieces) to.be(to_number(piece));
    return payload;
}

bool apply_pieces(claims& to, byte_view payload) {
    if (payload.size() % 4 != 0) return false;
    for (byte_reader from{payload}; auto const piece = from.take_be<std::uint32_t>();) {
        if (*piece >= to.held.size()) return false;
        to.held.set(piece_index{*piece});
    }
    return true;
}

bool apply_stamps(claims& to, byte_view payload) {
    if (payload.size() % stamp_bytes != 0) return false;
    byte_reader from{payload};
    while (auto const file = from.take_be<std::uint32_t>()) {
        if (*file >= to.stamps.size()) return false;
        stamp read;
        read.size = *from.take_be<std::uint64_t>();
        read.modified = static_cast<std::int64_t>(*from.take_be<std::uint64_t>());
        read.latest = static_cast<std::int64_t>(*from.take_be<std::uint64_t>());
        to.stamps[*file] = read;
    }
    return true;
}

bool apply(claims& to, kind what, byte_view payload) {
    switch (what) {
        case kind::held:
            return apply_pieces(to, payload);
        case kind::stamps:
            return apply_stamps(to, payload);
        case kind::all_held:
            if (auto held = bitfield::parse(payload, to.held.size())) {
                to.held = std::move(*held);
                return true;
            }
            break;
    }
    return false;  // or of a kind that nobody knows
}

bool all_zero(byte_view bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}
}  // namespace

result<claims> parse(byte_view bytes, metainfo::torrent const& of) {
    if (bytes.size() > size_max) return errc::bad_journal;
    byte_reader from{bytes};
    auto const header = from.take(header_bytes);
    auto const header_sum = from.take(checksum::size());
    if (!header || !header_sum || !equal(*header, header_of(of))) return errc::bad_journal;

    claims read;
    read.held = bitfield(of.pieces().piece_count());
    read.stamps.resize(of.content().files().size());
    read.last = chained({}, *header);
    if (!equal(read.last.view(), *header_sum)) return errc::bad_journal;

    while (!from.rest().empty()) {
        auto const tail = from.rest();
        // What a crash leaves: the record was not written to its end, or the file grew and its bytes never came.
        auto const torn = [&] {
            read.torn = true;
            return read;
        };
        if (all_zero(tail)) return torn();
        auto const length = from.take_be<std::uint32_t>();
        auto const what = from.take_be<std::uint8_t>();
        if (!length || !what) return torn();
        auto const payload = from.take(*length);
        auto const sum = from.take(checksum::size());
        if (!payload || !sum) return torn();
        auto const next = chained(read.last, tail.first(record_frame + *length));
        if (!equal(next.view(), *sum)) return errc::bad_journal;
        if (!apply(read, static_cast<kind>(*what), *payload)) return errc::bad_journal;
        read.last = next;
    }
    return read;
}

byte_vector compose(metainfo::torrent const& of, bitfield const& held, std::vector<std::optional<stamp>> const& stamps,
                    checksum& last) {
    auto journal = header_of(of);
    last = chained({}, journal);
    byte_writer{journal}.bytes(last.view());
    std::vector<file_stamp> known;
    for (std::uint32_t file = 0; file < stamps.size(); ++file)
        if (stamps[file]) known.push_back({file, *stamps[file]});
    append(journal, last, kind::all_held, held.wire_bytes());
    append_stamps(journal, last, known);
    return journal;
}

void append_held(byte_vector& out, checksum& last, std::vector<piece_index> const& pieces) {
    if (!pieces.empty()) append(out, last, kind::held, numbers(pieces));
}

void append_stamps(byte_vector& out, checksum& last, std::vector<file_stamp> const& stamps) {
    if (stamps.empty()) return;
    byte_vector payload;
    byte_writer to{payload};
    for (auto const& [file, stamp] : stamps)
        to.be(file)
            .be(stamp.size)
            .be(static_cast<std::uint64_t>(stamp.modified))
            .be(static_cast<std::uint64_t>(stamp.latest));
    append(out, last, kind::stamps, payload);
}
}  // namespace shoal::store::journal
