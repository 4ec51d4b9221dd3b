module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

export module shoal.store:chunks;
import :files;
import shoal.core;
import shoal.metainfo;

namespace shoal::store {
struct store_state;     // what a chunk_store holds, state.cppm
struct piece_progress;  // a piece that is being received, state.cppm

/// `mapped` receives into and sends from mappings, and does by system calls what these cannot; `plain` maps nothing.
export enum class back_end { mapped, plain };

export struct store_settings {
    std::filesystem::path directory;  ///< The user's: content is `directory/<torrent name>/...`, or the single file.
    back_end kind = back_end::mapped;
    bool writable = true;            ///< False: files are opened for reading, and nothing is created but the journal.
    bool preallocate = true;         ///< Reserves a file's whole size with its first write.
    std::vector<bool> wanted_files;  ///< One for each file; empty: all. What is not wanted is not reserved.
    std::filesystem::path journal;  ///< A file, with a `.lock` beside it; empty: none. One store that may write has it;
                                    ///< another such is refused (`in_use`). Who may not write does without while one
                                    ///< has it, and from when another has replaced it.
    std::size_t open_files_max = 128;  ///< Descriptors that this store keeps open.
    content_names names;               ///< Where files are that are not under the torrent's names; not if `writable`.
};

/// A block that has arrived.
export struct block_data {
    std::uint32_t begin = 0;  ///< In the piece, bytes; a multiple of `block_length`.
    byte_view bytes;          ///< The whole block. In place: the window.
    bool in_place = false;    ///< It arrived in its `window`.
};

/// Bytes of a held piece in memory that the disk shares. `keep` holds them in place until they are sent.
export struct resident_bytes {
    byte_view bytes;
    std::shared_ptr<void const> keep;
};

/// How long data may be written without a `sync`. After a crash a file is believed only when it was modified at most
/// this long, and as long again, after it was last recorded: a later change is somebody else's.
export inline constexpr std::chrono::seconds sync_interval_max{60};

/// How much `close` waits for.
export enum class closing {
    durable,  ///< All that was verified is on disk and in the journal.
    quick,    ///< What is not on disk yet is left to the system, and is verified again at the next start.
};

/// Receives one piece: writes its blocks in any order and hashes them as they come. Made by `chunk_store::begin`, which
/// it must not outlive. [pool], one call at a time; destroyed on any thread, and with it the windows of the piece.
export class piece_writer {
public:
    piece_writer(store_state& store, std::shared_ptr<piece_progress> progress);  // by chunk_store::begin
    ~piece_writer();
    piece_writer(piece_writer const&) = delete;
    piece_writer& operator=(piece_writer const&) = delete;

    /// Writes these blocks, consecutive ones by one system call, and hashes what continues the hashed part, the rest
    /// when the gap before it is closed. A block that was written before is ignored: the first copy counts.
    /// `bytes` may be reused when the call returns. After an error some blocks are written; calling again with the same
    /// blocks goes on. Fails with `bad_block`, `window_lent`, `no_space`, `foreign_file`, `dead_page`,
    /// `disk_failing`...
    result<void> write(std::span<block_data const> blocks);

    /// Whether the piece has its hash: v1, and v2 as well where both are known. True: the store holds it, and it
    /// becomes durable with the next `sync`. False: all blocks are to be received again, by this writer or another.
    /// Fails with `piece_incomplete`, with `hashes_disagree` (also where the last piece of a file shows it: then the
    /// torrent had no layer for that file), with `doubtful_piece` when the hash was right and a
    /// failed sync has lost some of the bytes (they are to be received again, and nobody is to blame), or when the disk
    /// does.
    result<bool> finish();

private:
    store_state& store_;
    std::shared_ptr<piece_progress> progress_;
};

/// One torrent's content on disk. Thread-safe; [pool] marks calls that wait for the disk, [home] and [any thread] those
/// that do not: they take a mutex that nobody holds while the disk works.
///
/// A piece is *held* when its hash was right, and *durable* when it was then synced and recorded in the journal. Blocks
/// are those of the geometry (`block_at`) where received, and any range of a piece where sent.
/// Errors are `errc`, or codes of `std::system_category`; `last_failed_path` says which file a failure was about.
export class chunk_store {
public:
    /// Takes the locks, creates nothing but the journal's lock and its folder. [pool] Fails with `in_use`.
    static result<std::unique_ptr<chunk_store>> open(std::shared_ptr<metainfo::torrent const> torrent,
                                                     store_settings settings);
    /// On other files, such as `simulated_files`. Of the settings `writable` and `preallocate` count.
    static result<std::unique_ptr<chunk_store>> open(std::shared_ptr<metainfo::torrent const> torrent,
                                                     store_settings settings, std::shared_ptr<back_end_files> files);
    /// Without `close`, what was not synced is verified again at the next start. No piece_writer may be left.
    ~chunk_store();
    chunk_store(chunk_store const&) = delete;
    chunk_store& operator=(chunk_store const&) = delete;

    // Start-up

    /// The pieces that the journal proves: recorded, and every file they touch has the size and time of modification
    /// that were recorded with them. Of a hybrid's file without its piece layer: all pieces or none. None when it is
    /// missing, damaged (it is then set aside as `.bad`) or stale. Call it once, first: a store that does not load
    /// replaces the journal when it first writes. Fails when the journal or the files cannot be looked at; it may be
    /// called again then. [pool]
    result<bitfield> load();
    /// The pieces that `check_piece` need not look at, since none of their files is there. They count as looked at, and
    /// as wrong: one look at each file instead of one for each piece. Call it before the first `check_piece`. [pool]
    bitfield absent_pieces();
    /// Reads and hashes one piece; when it is right the store holds it. False also where a file is missing or too
    /// short. [pool], any number in parallel. Fails with `no_hash`, `hashes_disagree`, or when the disk does.
    result<bool> check_piece(piece_index piece);
    /// Reads a held piece again. False: the disk has lost some of it and nobody changed its files; it is given up then,
    /// and may be received again. Where somebody did change them, `take_lost` tells. [pool]
    result<bool> recheck(piece_index piece);
    /// Takes the caller's word for it, who has just hashed these bytes. False where a file is missing or too short.
    /// Of a hybrid's file without its piece layer nobody has hashed all: `check_piece`. [pool]
    result<bool> trust_piece(piece_index piece);
    /// Somebody may have replaced the files of a piece: they are opened anew, so that `check_piece` judges what stands
    /// there now. [pool]
    void reopen(piece_index piece);
    /// Whether there is any file of the piece, so that `check_piece` could be true: asks the file system. [pool]
    bool may_have(piece_index piece);

    // Receiving

    /// Starts receiving a piece that is not held and has no other writer. [any thread]
    std::unique_ptr<piece_writer> begin(piece_index piece);
    /// Makes the windows of a piece that has a writer: reserves, maps, and brings every page in. Idempotent, may run
    /// beside the writer. Succeeds without windows where the back end does not map. [pool] Fails with `no_writer`,
    /// `no_space`, `foreign_file`...
    result<void> prepare(piece_index piece);
    /// Where this block may be received: file pages, valid as long as the writer. Each window is lent once, until its
    /// block is written in place or the window reclaimed; a block that was written gets none. Nothing also before
    /// `prepare`, and for blocks that lie in several files: use a buffer. [home]
    std::optional<mutable_byte_view> window(block_ref block);
    /// Takes a window back because the connection ended, or the block came from somebody else: from here on nobody may
    /// receive into it. [home]
    void reclaim(block_ref block);

    // Sending

    /// Bytes of a held piece when they are mapped, in memory and in one file; judged anew every two seconds. System
    /// calls on them answer EFAULT if their file is truncated meanwhile; for loads use `guarded_copy`. Nothing: use
    /// `read`, which also brings them in for the next `view`. [home]
    std::optional<resident_bytes> view(block_ref block);
    /// Reads bytes of a piece; `into` has the size of `block`. [pool] Fails with `missing_file`, `truncated_file`...,
    /// and with `doubtful_piece` after a sync that failed, until the piece was read again: then the system may show
    /// other bytes than were written. What was read or viewed while that sync ran cannot be taken back.
    result<void> read(block_ref block, mutable_byte_view into);

    // Durability

    /// All pieces are durable. False while a sync is under way that would make them so. [any thread]
    bool is_durable() const;
    /// The journal lacks pieces that are held, or has some that were given up: `sync` would mend that. [any thread]
    bool is_journal_behind() const;
    /// Makes what is held durable: data first, then the journal. Call it at least every `sync_interval_max` while
    /// receiving. After a failure of the disk (`sync_failed`) nothing new is durable, and the next call reads the
    /// pieces concerned again from the disk: see `take_lost`. [pool], one at a time, others wait.
    result<void> sync();
    /// Gives a piece up: its file was changed by somebody, or the disk cannot read it. The next `sync` records it.
    /// [any thread]
    void lost(piece_index piece, bool by_somebody = true);
    /// The pieces that `sync` and `check_files` had to give up since the last call: receive them again. [any thread]
    std::vector<piece_index> take_lost();
    /// Gives up the pieces of recorded files whose size or time of modification was changed by somebody else. [pool]
    result<void> check_files();
    /// Whether a piece that was given up may be received again. Not where one of its files was changed by somebody else
    /// when it had its final name: that file stays as it is, `changed_file`, until it is right again. [any thread]
    bool may_receive(piece_index piece) const;
    /// Whether a file in which `check_piece` found a wrong piece looks otherwise since. Each change is told once.
    /// [pool]
    bool have_wrong_files_changed();
    /// Gives files their final names when all their pieces are held, and creates the empty ones. Cheap when there is
    /// nothing to do: call it after each piece. Does not wait for the data to be on disk. [pool]
    result<void> complete_files();
    /// The same for one file; the others keep the names they have. [pool]
    result<void> complete_file(file_number file);
    /// Nothing will be asked for soon: closes files, which the next call that needs one opens again. [pool]
    void rest();
    /// Syncs, rewrites the journal compactly if anything has changed, and unlocks; the store answers `closed`
    /// afterwards. A store that neither loaded nor wrote anything leaves the journal as it is. [pool]
    result<void> close(closing how = closing::durable);

    // Facts. [any thread]

    bool is_held(piece_index piece) const;
    /// Held, and not given to anybody until the next `sync`: see `read`.
    bool is_doubtful(piece_index piece) const;
    /// Reads the doubtful pieces again, from the disk; lost ones are then given by `take_lost`. [pool] Fails when the
    /// disk does; they stay doubtful then.
    result<void> settle_doubts();
    /// Whether any piece is doubtful. [any thread]
    bool has_doubts() const;
    bitfield held() const;
    /// All pieces of the file are held and it has its final name. Pad files are complete.
    bool is_complete(file_number file) const;
    /// Bytes written since the last `sync`: what a crash may cost, and the dirty pages this store causes.
    std::uint64_t unsynced_bytes() const noexcept;
    std::string last_failed_path() const;

private:
    explicit chunk_store(std::unique_ptr<store_state> state);
    result<void> complete(std::vector<file_number> files);
    std::unique_ptr<store_state> state_;
};
}  // namespace shoal::store
