module;
#include <coroutine>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

export module shoal.engine:transfer;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import :events;

namespace shoal::engine {
class swarm;
struct node_state;
}  // namespace shoal::engine

export namespace shoal::engine {
/// What to do with a torrent.
struct transfer_options {
    store::store_settings storage;                 ///< Where the content lies and its journal.
    std::shared_ptr<store::back_end_files> files;  ///< Instead of the disk; empty: the disk, as `storage` says.
    std::vector<endpoint> connect;                 ///< Peers to try first.
    std::vector<std::string> trackers;             ///< Besides those of the torrent; each a tier of its own.
    std::vector<bool> wanted_files;                ///< One for each file; empty: all.
    bool sequential = false;                       ///< Pieces in order instead of rarest first.
    bool is_hashed = false;                        ///< The caller has just hashed the content: nothing is read again.
    bool by_hand = false;                          ///< See `transfer::set_automatic`.
    /// Serves only addresses that a tracker or a hub has named, or `connect`: for trackers that let members alone in. A
    /// member whom we have not heard of yet is heard of within `naming_patience`.
    bool members_only = false;  ///< See also `transfer::serve_members_only`.
    std::size_t peers_max = 0;  ///< Connections; 0 for `peers_max_default`.
    transfer_observer on_event;
};

/// `failed`: nothing is received; what is there and right is still given to others.
/// `seeding`: so is a folder that may not be written to, be all there or not.
enum class transfer_state { checking, downloading, seeding, failed, stopped };

/// A snapshot. Bytes count payload; rates are bytes per second over the last seconds.
struct transfer_status {
    transfer_state state = transfer_state::checking;
    std::error_code error;  ///< While `failed`.
    std::uint32_t pieces_have = 0, pieces_total = 0, pieces_checked = 0;
    std::uint32_t pieces_hashed = 0;                ///< Of those checked at the start: the journal proved the others.
    std::uint64_t bytes_total = 0, bytes_left = 0;  ///< Of what is wanted.
    std::uint64_t downloaded = 0, uploaded = 0, wasted = 0;
    std::uint64_t failed_pieces = 0;
    double download_rate = 0, upload_rate = 0;
    std::size_t peers = 0, peers_known = 0;
};

/// One connected peer, for people to look at.
struct peer_status {
    endpoint remote;
    endpoint listens_at;  ///< Where others reach it; port 0 while unknown.
    std::string client;   ///< What it calls itself, a stranger's words.
    bool outgoing = false, choked_by = false, choking = false, interested = false, interesting = false;
    std::uint64_t downloaded = 0, uploaded = 0;
    double download_rate = 0, upload_rate = 0;
    std::uint32_t pieces_have = 0;
    bitfield pieces;
};

/// One torrent of a node. Shared with its owner, who keeps it until what is awaited of it has returned; its work
/// belongs to the node and ends with it, what it says stays.
class transfer {
public:
    transfer(std::unique_ptr<swarm> work) noexcept;
    ~transfer();
    transfer(transfer const&) = delete;
    transfer& operator=(transfer const&) = delete;

    metainfo::torrent const& content() const noexcept;
    transfer_status status() const;
    std::vector<peer_status> peers() const;
    /// The pieces that are here and verified.
    bitfield const& have() const noexcept;
    /// Every address that was heard of, connected or not.
    std::vector<endpoint> known_peers() const;

    /// Waits until what is on disk is known. Fails with the store's error when it cannot be opened; what may pass, such
    /// as a full disk, is waited for. The transfer tries again either way.
    net::task<result<void>> checked();
    /// Waits until all that is wanted is there and verified. Fails with the error that stopped the transfer: only
    /// those that no waiting can mend (no permission, stopped); a full disk is waited for, see `event::failed`.
    net::task<result<void>> completed();
    /// As `transfer_options::members_only`, from now on.
    void serve_members_only();
    /// Tries these peers too.
    void connect(std::vector<endpoint> const& peers);
    /// What these peers have uploaded in the swarm, as a hub says: those with less are asked first.
    void learn_uploaded(std::vector<std::pair<endpoint, std::uint64_t>> const& told);

    // By hand, for a transfer that a person drives. A peer is named by the address it listens at, or by the one that it
    // connected from when it does not say. All fail with `errc::stopped` once the transfer stops.

    /// Whether the transfer connects, asks, announces and finishes files by itself. It does from the start unless
    /// `transfer_options::by_hand`; what is there is verified and served either way. When switched off, what was asked
    /// for still comes, and trackers are still told of it. A transfer begun by hand keeps connections that neither
    /// side needs.
    void set_automatic(bool is_on);
    bool is_automatic() const noexcept;
    /// Trackers are told of this peer, from the first time that it was automatic.
    bool is_announcing() const noexcept;
    /// Leaves the trackers (at most `farewell_timeout`) and not the swarm, until it is made automatic again. One call
    /// at a time.
    net::task<void> stop_announcing();
    /// Returns when the peer has shaken hands and introduced itself. Fails with `errc::duplicate_peer`,
    /// `too_many_peers`, `banned`, or what the connection failed with.
    net::task<result<void>> connect_to(endpoint peer);
    /// Returns when the connection is gone. Fails with `errc::not_connected`.
    net::task<result<void>> disconnect(endpoint peer);
    /// The time of a round trip through the peer's program. At most one each `ping_interval`, others wait. Fails with
    /// `errc::not_connected`, `no_ping`, `no_answer`.
    net::task<result<duration>> ping(endpoint peer);
    /// Asks this peer, and nobody else, for a piece; returns when it is verified and on disk. Fails with
    /// `errc::not_connected`, `piece_is_held`, `piece_is_busy`, `piece_not_offered`, `piece_refused`, `choked`,
    /// `no_answer`, `banned` (its data is bad), or what ended the connection. What came of it is kept.
    net::task<result<void>> fetch_piece(endpoint peer, piece_index piece);
    /// Reads and hashes all pieces of a file and gives it its own name. Fails with `errc::pieces_missing`, or when the
    /// disk does; then nothing has changed.
    net::task<result<void>> finish_file(std::uint32_t file);
    /// Leaves the swarm: connections end, trackers are told (at most `farewell_timeout`), the journal is written.
    net::task<void> stop();

private:
    friend struct node_state;
    std::unique_ptr<swarm> work_;
};
}  // namespace shoal::engine
