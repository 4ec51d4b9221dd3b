module;
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

module shoal.store:state;
import shoal.core;
import shoal.hash;
import shoal.metainfo;
import :chunks;
import :files;

// Hashing one piece against what the torrent says of it. Not exported.

namespace shoal::store {
/// Takes the bytes of one piece in order, pad bytes included, and compares: v1, v2, or both where both are known. Where
/// the torrent has a v2 half whose hash of this piece is not known, that hash is computed as well.
class piece_hasher {
public:
    piece_hasher(metainfo::torrent const& torrent, piece_index piece);

    /// Whether the torrent has any hash for this piece.
    bool can_judge() const noexcept { return v1_.has_value() || v2_.has_value(); }
    void update(byte_view bytes);
    /// The same for mapped bytes. False: a page was dead; `restart`.
    bool update_mapped(byte_view bytes) noexcept;
    enum class verdict : std::uint8_t {
        right,
        wrong,
        contradictory,  ///< One hash says so and the other not, of the same bytes: the torrent describes two contents.
    };
    verdict judge();  ///< After all bytes; as new afterwards.
    /// Of the bytes judged last, as `torrent::piece_root`; zero where the torrent is v1.
    sha256_digest const& root() const noexcept { return root_; }
    void restart();

private:
    std::optional<sha1_digest> v1_;
    std::optional<sha256_digest> v2_;
    bool makes_root_ = false;
    sha256_digest root_{};
    std::uint64_t size_ = 0;      // of the piece
    std::uint64_t v2_size_ = 0;   // bytes of the file in this piece; pad bytes are no part of the tree
    std::uint64_t v2_width_ = 0;  // leaves; 0: as many as the file needs
    std::uint64_t v2_left_ = 0;
    hash::sha1_hasher sha1_;
    hash::merkle_hasher merkle_;
};
}  // namespace shoal::store

// What a chunk_store holds, shared by its parts. Not exported.

namespace shoal::store {
/// Several failures of `sync` in a row: the disk is given up.
constexpr int sync_failures_max = 3;
/// What is read and hashed at once when checking. Source: TOOLCHAIN.md, "Where bytes go" (256 KiB to 1 MiB is best).
constexpr std::size_t check_read_size = 512 * 1024;

template <class Work>
struct scope_exit {
    Work work;
    ~scope_exit() { work(); }
};
template <class Work>
scope_exit(Work) -> scope_exit<Work>;

struct file_state {
    std::uint32_t missing = 0;  // pieces not held
    std::uint32_t unread = 0;   // pieces without a root in `roots`
    bool by_v1_alone = false;   // of a hybrid, and its piece layer is not known
    bool ready = false;         // opened for writing
    bool dirty = false;         // to be synced and stamped
    bool synced = false;        // by this run, or made by it: while it is not dirty, the disk has it as it looks
    bool stale = false;         // the cache may show what the disk never got: a sync failed, maybe in an earlier run
    bool ours = false;          // as stamped by an earlier run
    bool part_ours = false;  // so is its incomplete form: by a journal that does not know better, or made by this run
    bool named = false;      // has its final name
    bool is_completable = false;  // stands in `completable`
    bool changed = false;         // by somebody else, when it had that
    // Written to only until then: later, a crash would make the journal's stamp look like somebody else's change.
    std::int64_t writable_until = std::numeric_limits<std::int64_t>::max();
    std::optional<file_status> seen;   // before its pieces were checked; nothing once it was written to
    std::optional<file_status> least;  // after a crash it is no smaller and no older than this
    std::optional<file_status> wrong;  // as `seen`, when a piece was last found wrong; a missing file looks like none
};

/// A file whose bytes a sync brings to the disk.
struct synced_file {
    file_number file = 0;
    bool is_final = false;  // nothing was written to it since, nor will be
};

/// A part of a piece that is mapped for receiving.
struct prepared_part {
    std::uint32_t begin = 0;  // in the piece
    mapped_bytes mapped;
};

struct piece_progress {
    piece_progress(metainfo::torrent const& torrent, piece_index which)
        : piece(which),
          size(torrent.pieces().piece_size(which)),
          written(torrent.pieces().block_count(which)),
          lent(written.size()),
          hasher(torrent, which) {}

    piece_index const piece;
    std::uint32_t const size;  // bytes

    // Under store_state::mutex.
    std::vector<bool> written;  // blocks
    std::vector<bool> lent;     // blocks whose window somebody receives into
    std::size_t written_count = 0;
    std::vector<prepared_part> parts;
    bool prepared = false;
    bool suspect = false;  // a sync failed meanwhile: the disk may lack some of it

    // The writer's alone.
    piece_hasher hasher;
    std::uint32_t hashed = 0;  // bytes from the start
    std::vector<block_data> order;
    std::vector<byte_view> run;
    std::vector<byte_view> gather;
};

struct store_state {
    store_state(std::shared_ptr<metainfo::torrent const> of, store_settings with, std::shared_ptr<back_end_files> on);

    std::shared_ptr<metainfo::torrent const> const torrent;
    store_settings const settings;
    std::shared_ptr<back_end_files> const files;

    // Order of locking: syncing, then journaling, then mutex. Only `mutex` is taken by [home] calls.
    std::mutex syncing;     // one sync, close or check_files at a time
    std::mutex journaling;  // the journal and what it says
    journal::checksum last{};
    bool rewrite = true;        // the journal is to be replaced before anything is appended
    bool is_known = false;      // what the journal said was read, or it was replaced
    bool has_recorded = false;  // the journal is not as it was read, or is to be another
    std::vector<std::optional<journal::stamp>> stamps;
    /// Of files in whose place an incomplete one of somebody else stands: the journal goes on telling the two apart.
    std::map<file_number, journal::stamp> strangers;
    int failed_in_a_row = 0;  // syncs

    mutable std::mutex mutex;
    bitfield held;
    bitfield durable;
    std::vector<piece_index> unsynced;  // held, and not durable
    bitfield doubtful;                  // held, but a sync failed: nobody is given it until it was read again
    std::vector<file_state> file_states;
    std::vector<sha256_digest> roots;      // of pieces whose file is `by_v1_alone`, as they were last read; else zero
    std::vector<file_number> completable;  // all pieces held, without their final name
    std::unordered_map<piece_index, std::shared_ptr<piece_progress>> progress;
    std::vector<piece_index> given_up;  // for take_lost
    bool claims_withdrawn = false;      // the journal claims a piece that is lost
    std::atomic<std::uint64_t> unsynced_bytes{0};
    std::atomic<std::uint64_t> failed_syncs{0};  // after one, what was read before proves nothing; under mutex to count
    std::atomic<bool> disk_failing{false};
    std::atomic<bool> closed{false};

    bool is_real(file_number file) const;  // it is on disk and has bytes
    /// Calls `visit(file_range, offset in the block)` for the files on disk and the pad files of a block.
    template <class Visit>
    void for_each_range(block_ref block, Visit&& visit) const {
        std::uint32_t done = 0;
        torrent->content().for_each_range(torrent->pieces().offset_of(block), block.length,
                                          [&](metainfo::file_range const& range) {
                                              visit(range, done);
                                              done += static_cast<std::uint32_t>(range.length);
                                          });
    }
    block_ref whole(piece_index piece) const { return {piece, 0, torrent->pieces().piece_size(piece)}; }

    // Under mutex.
    void hold(piece_index piece);                     // not durable yet
    void give_up(piece_index piece, bool by_others);  // by_others: somebody changed its files, not our own disk
    void give_up_file(file_number file);              // somebody changed it; says so in given_up
    void note_wrong(piece_index piece);
    void mark_dirty(block_ref written);
    bool has_final_name(file_number file) const;

    /// Reads any range of a piece; pad bytes are zeros.
    result<void> read(block_ref block, mutable_byte_view into);
    /// Makes a file ready to be written, its folders and all, unless it is. After that the journal expects changes.
    result<void> make_writable(file_number file);
    /// Whether the bytes on disk have the piece's hash; an absent or short file is no error.
    result<bool> is_right_on_disk(piece_index piece);
    bool hash_in_place(piece_index piece, piece_hasher& hasher);
    /// Whether the v2 half of a hybrid knows this piece as well, which is right by v1. Without its layer a file shows
    /// that when the roots of all its pieces are known, by theirs: so the last piece is not held where it differs, and
    /// a file of which all is held is right by both halves (class E4).
    bool fits_file_root(piece_index piece, sha256_digest const& root);
    /// Says in the journal that a file may change from here on. Under journaling.
    result<void> announce(file_number file);
    /// Appends to the journal, or rewrites it with `now_durable` added. Under journaling.
    result<void> record(std::vector<piece_index> const& now_durable, std::vector<journal::file_stamp> const& seen);
    /// Looks at files that were synced; gives up those that are gone or that somebody else changed. Under
    /// journaling.
    std::vector<journal::file_stamp> stamps_of(std::vector<synced_file> const& synced);
    /// Says in the journal that these files are ours, before they get names under which a stranger's file would be left
    /// alone: a power cut may keep the name and take the bytes.
    result<void> claim(std::vector<file_number> const& files);
    result<std::vector<journal::file_stamp>> unclaimed(std::vector<file_number> const& named);  // under journaling
    bool looks_as_on_disk(std::vector<journal::file_stamp> const& of);
    result<void> recheck_doubtful();
    result<void> drop_stale(file_number file);      // what is read of it next comes from the disk
    result<void> drop_cache_of(piece_index piece);  // the same of all its files
    result<void> sync();                            // under syncing
};
}  // namespace shoal::store
