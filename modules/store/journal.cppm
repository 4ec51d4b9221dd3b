module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

export module shoal.store:journal;
import shoal.core;
import shoal.metainfo;

/// The journal as bytes: a header, then records, each with a checksum over itself and all before it. No I/O.
///
///     header  "SHOALJNL", version u32, swarm hash (20), digest of the geometry (20), checksum (8)
///     record  length of the payload u32, kind u8, payload, checksum (8)
///     kinds   1 held: piece u32 each
///             2 stamps: file u32, size u64, modified i64, latest i64 each
///             3 all held: a wire bitfield, the first record only
///
/// Numbers are big-endian. A checksum is the first 8 bytes of SHA-1 over the checksum before and the record. Records
/// only add claims, so that a journal cut anywhere claims nothing that was not true; to take a claim back it is
/// rewritten.
export namespace shoal::store::journal {
inline constexpr std::uint32_t version = 1;
/// Larger journals are refused: 2^21 pieces and 10^5 stamps take less than 3 MiB when rewritten.
inline constexpr std::size_t size_max = 256 * 1024 * 1024;

using checksum = identifier<8, struct checksum_tag>;

/// How a file looked when the pieces in it were last recorded.
struct stamp {
    std::uint64_t size = 0;     ///< Bytes.
    std::int64_t modified = 0;  ///< Nanoseconds since 1970.
    /// As `modified`, or later where the store was writing to the file: until then the store may have changed it.
    std::int64_t latest = 0;

    bool is_settled() const noexcept { return latest == modified; }
    /// Whether a file that looks like this now can be the one that was stamped, changed by nobody but the store.
    bool covers(std::uint64_t size_now, std::int64_t modified_now) const noexcept {
        return modified <= modified_now && modified_now <= latest &&
               (is_settled() ? size_now == size : size_now >= size);
    }
    friend bool operator==(stamp const&, stamp const&) = default;
};
struct file_stamp {
    std::uint32_t file = 0;
    journal::stamp stamp;
};

/// What a journal claims.
struct claims {
    bitfield held;
    std::vector<std::optional<stamp>> stamps;  ///< One for each file.
    journal::checksum last;                    ///< The next record is chained to this.
    bool torn = false;  ///< The last record is incomplete, as after a crash; it was left out. Rewrite before appending.
};

/// Reads a journal of this torrent. A file cut inside its last record, or with zeros in place of it, is `torn`; all
/// else that is not as written fails with `errc::bad_journal`.
result<claims> parse(byte_view bytes, metainfo::torrent const& of);

/// A whole new journal; `last` is set to its last checksum.
byte_vector compose(metainfo::torrent const& of, bitfield const& held, std::vector<std::optional<stamp>> const& stamps,
                    checksum& last);

// Records to append: each appends to `out` and moves `last` on.
void append_held(byte_vector& out, checksum& last, std::vector<piece_index> const& pieces);
void append_stamps(byte_vector& out, checksum& last, std::vector<file_stamp> const& stamps);
}  // namespace shoal::store::journal
