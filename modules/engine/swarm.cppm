module;
#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>  // takes no memory while it is empty, as most are of most peers

/// What a node and its transfers are made of. Only implementation units of this room import it.
module shoal.engine:swarm;
import shoal.asio;
import shoal.core;
import shoal.announce;
import shoal.choker;
import shoal.dht;
import shoal.metainfo;
import shoal.net;
import shoal.picker;
import shoal.store;
import shoal.utp;
import shoal.wire;
import :transfer;
import :node;
import :finding;
import :pool_share;

namespace shoal::engine {
class swarm;

/// A block buffer that finds its way back to its pool.
class lent_buffer {
public:
    lent_buffer() = default;
    explicit lent_buffer(store::block_pool& pool) : pool_(&pool), buffer_(pool.take()) {}
    lent_buffer(lent_buffer&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), buffer_(std::move(other.buffer_)) {}
    lent_buffer& operator=(lent_buffer&& other) noexcept {
        std::swap(pool_, other.pool_);
        std::swap(buffer_, other.buffer_);
        return *this;
    }
    ~lent_buffer() {
        if (pool_ && buffer_) pool_->give(std::move(buffer_));
    }
    explicit operator bool() const noexcept { return static_cast<bool>(buffer_); }
    mutable_byte_view bytes() const noexcept { return buffer_.bytes(); }

private:
    store::block_pool* pool_ = nullptr;
    store::block_buffer buffer_;
};

/// With whom this address shares places and turns: its network (the /24, of IPv6 the /48), on the local network itself.
/// Loopback stands alone: what connects from there is this machine's own.
choker::share_holder share_holder_of(ip_address const& address) noexcept;

/// Everything that the transfers of one node share.
struct node_state {
    node_state(net::environment outside, asio::any_io_executor home, node_settings settings);

    net::environment outside;
    asio::any_io_executor home;
    node_settings settings;
    peer_id id;
    std::uint32_t key;  ///< Told to trackers, so that they know us after a change of address. Source: BEP 7.
    std::uint16_t port = 0;
    store::block_pool receiving{receive_budget};
    store::block_pool sending{send_budget};
    picker::block_prints prints;
    choker::rate_budget upload;
    choker::rate_budget download;
    choker::uplink uplink;        ///< Whose turn it is, where the upload is limited.
    net::signal uploads_waiting;  ///< A peer asked for something, or its socket has room again.
    std::uint32_t sessions_so_far = 0;
    std::vector<block_ref> chosen;  ///< Of one `fill`; kept for its memory.
    std::unordered_map<info_hash, swarm*> swarms;
    std::vector<std::shared_ptr<transfer>> transfers;
    std::vector<std::unique_ptr<datagram_port>> datagram_ports;
    std::unordered_multimap<info_hash, dht_announcer*> dht_announcers;
    std::vector<std::unique_ptr<local_group>> local_groups;
    std::unordered_multimap<info_hash, announced*> announced_locally;
    std::error_code datagram_trouble;
    /// A stranger whose handshake is awaited; taken out when his place is given to somebody else.
    struct handshake {
        std::uint32_t number;
        ip_address from;
        net::stream* with;  // lives as long
        time_point since;
    };
    std::vector<handshake> handshakes;
    std::uint32_t handshakes_so_far = 0;
    std::vector<ip_address> unnamed;  ///< By customer: who waits to be named, in vain where the torrent is not here.
    bool is_stopping = false;         ///< No stranger is listened to any more.
    bool is_starved = false;          ///< Some session got no buffer: fill again when one comes back.
    net::task_group tasks;

    time_point now() const { return outside.clock.now(); }
    ~node_state();
    result<endpoint> listen(endpoint at);
    bool wants_datagrams() const noexcept { return settings.dht || settings.utp; }
    /// The port of our DHT node in this address family; 0 where there is none.
    std::uint16_t dht_port(ip_address const& family) const noexcept;
    /// Nodes of the DHT may be there.
    void hear_of_nodes(std::vector<endpoint> const& at);
    /// The same by name; found out in a task of its own.
    void hear_of_nodes(std::vector<metainfo::host_port> named);
    /// Where a name leads to, within `connect_timeout`; empty where it does not.
    net::task<std::vector<endpoint>> addresses_of(metainfo::host_port named);
    net::task<void> resolve_nodes(std::vector<metainfo::host_port> named, bool are_routers);
    /// Announces a torrent on the local network, and hears of others there, until cancelled or not public any more.
    net::task<void> announce_locally(announced& owner);
    net::task<void> accept(net::listener& at);
    /// A stranger has connected: hears whom it wants, or hangs up where too many are there.
    void welcome(std::unique_ptr<net::stream> stranger);
    bool make_room_for_handshake(ip_address const& newcomer);
    net::task<void> greet(std::unique_ptr<net::stream> stranger, std::uint32_t number);
    bool has_room_for_unnamed(ip_address const& who) const;
    /// Keeps somebody among `unnamed` while it lives.
    struct unnamed_one {
        unnamed_one(node_state& at, ip_address const& who) : node(at), customer(who.customer()) {
            node.unnamed.push_back(customer);
        }
        unnamed_one(unnamed_one const&) = delete;
        unnamed_one& operator=(unnamed_one const&) = delete;
        ~unnamed_one() { node.unnamed.erase(std::ranges::find(node.unnamed, customer)); }
        node_state& node;
        ip_address const customer;
    };
    /// Hands out the limited upload, block by block, to one session after another.
    net::task<void> share_upload();
    bool is_upload_limited() const noexcept { return settings.upload_limit != 0; }
    /// No buffer is left for what peers asked for: those who sit on theirs are sent away (class C5).
    void free_send_buffers();
    /// Connects by TCP, or where that takes long or fails, by uTP; with `utp_first` the other way round.
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, bool utp_first);
    datagram_port* utp_port(ip_address const& family) const noexcept;
    /// Connects and exchanges handshakes, each within its time. Fails with `errc::unknown_info_hash` when the peer
    /// answers for another torrent.
    struct met_peer {
        std::unique_ptr<net::stream> stream;
        wire::handshake theirs;
    };
    net::task<result<met_peer>> meet(endpoint to, wire::handshake ours, bool utp_first);
    /// The identity of this node towards a torrent.
    wire::handshake handshake_for(info_hash const& hash) const;
    net::task<void> stop();
    /// A transfer that has stopped is the node's no more; the caller may hold the last of it.
    std::shared_ptr<transfer> release(swarm& stopped);
};

/// One connected peer of a swarm: a wire conversation, its socket, and the blocks under way.
class peer_session {
public:
    peer_session(swarm& owner, std::unique_ptr<net::stream> stream, wire::handshake const& theirs, endpoint listens_at,
                 bool outgoing, picker::peer_slot slot);

    /// Talks until either side ends it; says why.
    net::task<std::error_code> run();
    /// Ends `run` with this reason.
    void close(std::error_code why);
    bool is_closing() const noexcept { return static_cast<bool>(why_); }
    /// As a place that somebody else may want.
    choker::place place(time_point now) const;

    /// Asks for blocks up to the depth that the connection deserves.
    void fill();
    /// Withdraws a request that another peer has answered.
    void cancel(block_ref block);
    /// Takes back all requests, as after a choke. The picker is told.
    void return_requests();
    /// Something was put into the core's output.
    void flush() { output_.notify(); }
    /// Withdraws all requests for a piece. The picker is told.
    void cancel_piece(piece_index piece);
    /// The peer has refused to send a piece that it has: it is not asked for it for `refused_piece_rest`.
    void set_aside(piece_index piece);
    /// Where people know it to be: where it listens, or else where it connected from.
    endpoint address() const noexcept { return listens_at.port != 0 ? listens_at : remote; }
    /// Who it is when it comes to bans.
    picker::sender identity() const noexcept { return {remote.address.customer(), id}; }
    /// Tells who it is, unless that was told.
    void introduce();
    bool is_introduced() const noexcept { return is_introduced_; }
    /// By its own word; the picker leaves out what it has refused.
    bool is_seed() const noexcept { return core.peer_pieces().all(); }
    /// It has said what it has.
    bool has_told_pieces() const noexcept { return has_told_pieces_; }
    bool answers_pings() const { return id_of(wire::ping_extension) != 0; }
    /// Sends a ping and gives its number.
    std::uint64_t send_ping(time_point now);
    std::optional<duration> round_trip(std::uint64_t ping) const;
    void forget_ping(std::uint64_t ping) { pings_.erase(ping); }
    void update_interest();
    void tick(time_point now);
    /// As a candidate for the next block of the limited upload; nothing when it could send none.
    std::optional<choker::waiting_peer> waiting() const;
    /// It may send one block more.
    void grant() {
        ++granted_;
        flush();
    }
    bool is_served_by_seed() const noexcept;

    std::uint32_t const number;  ///< Of all sessions of the node, in order.
    picker::peer_slot const slot;
    endpoint const remote;
    choker::share_holder const network;
    endpoint listens_at;  ///< Where others can reach it; port 0 while unknown.
    peer_id const id;
    bool const outgoing;
    wire::connection core;
    std::uint64_t downloaded = 0, uploaded = 0;
    time_point const connected_since;
    time_point last_unchoked{};
    time_point last_sent{};  ///< When bytes of a block last went out.
    bool is_idle(time_point now) const;
    /// It holds buffers of the node, and has read nothing of what lies in them for so long.
    bool sits_on_buffers(time_point now) const;
    /// It lost its slot without having used it.
    void note_idle(time_point now);
    /// As `choker::candidate` has it; half of it is forgotten each `choker::idle_forgotten_after`.
    std::uint32_t idle_turns(time_point now);
    time_point next_ping{};  ///< Not before that.

private:
    struct open_ping {
        time_point sent;
        std::optional<duration> round_trip;
    };
    struct told_upload {
        piece_index piece;
        std::uint32_t sent = 0;  // bytes
    };
    struct pending {
        block_ref block;
        lent_buffer buffer;
        bool is_aimed = false;  // the read under way may write to it
    };
    struct refused {
        piece_index piece;
        time_point until;
    };
    struct sending {
        std::shared_ptr<void const> mapping;
        lent_buffer buffer;
        block_ref block;
        time_point since;
    };
    net::task<std::error_code> read();
    net::task<std::error_code> write();
    net::task<void> load_uploads();
    void ask_for_more();
    bool may_upload() const noexcept;
    std::size_t uploads_queued() const noexcept { return postponed_.size() + core.uploads_queued(); }
    std::optional<block_ref> next_upload();
    net::task<void> send_from_disk(std::span<block_ref const> blocks);
    void handle(wire::any_event& happened);
    void on_ping(byte_view payload);
    void on_metadata(byte_view payload);
    void send_metadata();
    void on_exchange(byte_view payload);
    void tell_of_peers(time_point now);
    std::uint8_t id_of(std::string_view extension) const;
    void upload_begins(block_ref const& block);
    void upload_goes_on(block_ref const& sent);
    std::optional<pending> take_pending(block_ref block);
    void retire(pending entry) noexcept;
    void ask_again(time_point now);

    swarm& swarm_;
    std::unique_ptr<net::stream> stream_;
    net::signal output_;
    boost::container::deque<pending> pending_;
    boost::container::deque<refused> set_aside_;  // the picker believes that the peer lacks them
    std::vector<lent_buffer> retired_;            // the read under way may write to them; freed after its commit
    boost::container::deque<sending> sending_;
    std::uint64_t sent_blocks_ = 0;
    std::size_t granted_ = 0;                       // blocks, where the upload is limited
    boost::container::deque<block_ref> postponed_;  // asked for, and found no buffer: sent first when there is one
    block_ref last_upload_{};
    std::error_code why_;
    std::uint32_t idle_turns_ = 0;
    time_point idle_noted_{};
    bool is_introduced_ = false;
    bool has_told_pieces_ = false;
    std::map<std::uint64_t, open_ping> pings_;  // by number
    budget pings_answered_;
    budget metadata_sent_;
    boost::container::deque<std::uint32_t> metadata_asked_;  // pieces
    bool has_told_port_ = false;                             // of its DHT node
    std::set<endpoint> told_peers_;                          // of whom it knows by us
    time_point next_exchange_{};                             // ours
    time_point exchange_due_{};                              // its next one is heeded from then on
    std::vector<told_upload> told_uploads_;
};

/// One torrent being moved. Lives on the node's home executor.
class swarm final : public announced {
public:
    swarm(std::shared_ptr<node_state> node, std::shared_ptr<metainfo::torrent const> content, transfer_options options);
    ~swarm() override;

    void start();
    net::task<void> stop();
    net::task<result<void>> when_checked();
    net::task<result<void>> when_completed();
    transfer_status status() const;
    std::vector<peer_status> peers() const;
    void add_peers(std::vector<endpoint> const& peers) override;
    void hear_of(std::vector<endpoint> const& peers) override;
    /// A peer at `told_by` says that these take part.
    void hear_of(std::vector<wire::exchanged_peer> const& peers, ip_address const& told_by);
    bool is_public() const noexcept override {
        return options_.is_public && !options_.by_hand && !options_.members_only && !content->is_private();
    }
    /// Whether peers are told of peers.
    bool exchanges_peers() const noexcept { return options_.peer_exchange && is_public(); }
    void serve_members_only();
    void keep_to_trackers();
    std::vector<endpoint> known_peers() const;
    void learn_uploaded(std::vector<std::pair<endpoint, std::uint64_t>> const& told);
    /// A peer that connected to us and said this torrent's hash.
    void adopt(std::unique_ptr<net::stream> stream, wire::handshake const& theirs);

    // By hand: swarm_by_hand.cpp. What they mean stands at `transfer`.
    void set_automatic(bool is_on);
    bool is_automatic() const noexcept { return is_automatic_; }
    bool is_announcing() const noexcept { return is_announcing_; }
    net::task<void> stop_announcing();
    net::task<result<void>> connect_to(endpoint to);
    net::task<result<void>> disconnect(endpoint from);
    net::task<result<duration>> ping(endpoint to);
    net::task<result<void>> fetch_piece(endpoint from, piece_index piece);
    net::task<result<void>> finish_file(std::uint32_t file);

    // For the sessions and announcers.
    void block_arrived(peer_session& from, block_ref block, lent_buffer buffer);
    /// After a batch of input: starts writing what came, and gives work to who lost some.
    void settle();
    void interest_changed(peer_session& peer);
    void retry_peers() { needs_refill_ = true; }
    /// The session's peer told where it listens: no second connection is made to it.
    void learned_address(peer_session& peer);
    /// Whoever waits for something in this swarm looks whether it has happened.
    void news();
    /// A peer that does not choke us refused a block.
    void request_refused(peer_session& from, block_ref block);
    /// Connections that neither side needs are ended.
    bool drops_idle_peers() const noexcept { return !options_.by_hand; }
    /// What we said we have could not be read: it is looked at again, and given up where that fails too.
    void content_failed(piece_index piece, std::error_code why);
    void fill_all();
    std::vector<peer_session*> const& sessions() const noexcept { return sessions_; }  ///< By slot, with gaps.
    void tell(transfer_event const& happened) override;
    node_state& at_node() noexcept override { return node; }
    announce::announce_request numbers() const override;
    bool is_hungry() const override { return wants_data() && peer_count() < peers_enough; }
    bool is_running() const noexcept {
        return !is_stopping_ && (state_ == transfer_state::downloading || state_ == transfer_state::seeding);
    }
    /// Gives what it has, even where it can receive nothing for the time being.
    bool is_giving() const noexcept {
        return is_running() ||
               (!is_stopping_ && was_checked_ && state_ == transfer_state::failed && !contradicts_itself());
    }
    /// A hybrid whose hashes are of different bytes: nothing is fetched and nothing given any more (class E4).
    bool contradicts_itself() const noexcept { return error_ == store::errc::hashes_disagree; }
    bool wants_data() const noexcept { return state_ == transfer_state::downloading; }
    /// It has all that it will ever have: what is wanted, or what there is where nothing may be written.
    bool is_upload_only() const noexcept { return picker.complete() || !options_.storage.writable; }
    std::size_t peer_count() const noexcept { return session_count_; }
    bool is_quiet() const noexcept { return session_count_ == 0 && state_ == transfer_state::seeding; }

private:
    std::shared_ptr<node_state> const keeps_node_;  // who asked for the transfer may hold it longer than the node

public:
    node_state& node;
    pool_share workers;
    std::shared_ptr<metainfo::torrent const> const content;
    std::optional<std::size_t> place;  // in node_state::transfers
    picker::picker picker;
    std::unique_ptr<store::chunk_store> store;
    std::uint64_t downloaded = 0, uploaded = 0, wasted = 0;

private:
    /// A piece whose blocks are arriving; its task writes them in batches.
    struct piece_work {
        explicit piece_work(asio::any_io_executor const& home) : ready(home) {}
        struct arrival {
            block_ref block;
            lent_buffer buffer;
            picker::sender by;
        };
        std::vector<arrival> arrived;
        net::signal ready;
        bool has_news = false;
        bool is_written = false;  // its task is there
    };
    /// A piece that a person asked one peer for.
    struct fetch {
        std::uint32_t session = 0;  // its number
        time_point heard{};         // when the last block came
        bool has_begun = false;
        std::uint32_t refusals = 0;  // since a block came
        std::uint32_t failures = 0;  // of its hash
        std::optional<std::error_code> outcome;
    };
    /// How an attempt to connect ended, when it has.
    using attempt = std::shared_ptr<std::optional<std::error_code>>;
    /// What the threads that check pieces share.
    struct check_state;
    /// Keeps a session in the table while its coroutine runs.
    class registration;

    net::task<void> wind_up();

    /// Starts a task, unless we are stopping: then nobody would cancel it.
    void spawn(std::string name, net::task<void> work);
    /// The same of work that goes on as long as the swarm does.
    void spawn_lasting(std::string name, net::task<void> (swarm::*work)());
    /// Does it with each session. One for which there is no memory ends, and the others do not notice.
    void with_sessions(std::function<void(peer_session&)> const& what);

    // Start-up and disk: swarm_disk.cpp.
    net::task<void> start_up();
    void begin_work();
    net::task<result<void>> open_and_check();
    bool has_failed_for_good() const noexcept;
    net::task<result<void>> check_pieces();
    net::task<void> check_on_pool(std::shared_ptr<check_state> state);
    net::task<void> write_piece(piece_index piece, piece_work& work);
    net::task<bool> receive_piece(piece_index piece, piece_work& work);
    void blank_padding(block_ref block, mutable_byte_view bytes) const;
    net::task<void> write_batch(piece_index piece, store::piece_writer& writer,
                                std::span<store::block_data const> batch, std::span<picker::received_block> received);
    net::task<void> write_padding(piece_index piece, store::piece_writer& writer);
    void take_prints(piece_index piece, std::span<store::block_data const> batch,
                     std::span<picker::received_block> received);
    net::task<void> keep_files();
    net::task<void> look_after_content();
    duration look_pause() const;
    net::task<void> look_at_content();
    net::task<void> scrub(piece_index piece);
    net::task<void> look_again();
    net::task<void> look_at(piece_index piece, std::error_code why);
    void stop_checking();
    std::uint32_t pieces_checked() const;
    void give_up_lost();
    void give_up(std::vector<piece_index> const& pieces, std::error_code why);
    void piece_lost(piece_index piece, std::error_code why, bool by_somebody = true);
    void piece_mended(piece_index piece);
    void sync_ended(std::error_code why);
    void piece_verified(piece_index piece, std::span<picker::received_block const> blocks);
    void piece_rejected(piece_index piece, std::span<picker::received_block const> blocks);
    void fetch_again(piece_index piece);
    void storage_failed(std::error_code why);
    void storage_recovered();
    void finished();
    void update_interest();  // in each peer
    transfer_state state_at_work() const noexcept {
        return is_upload_only() ? transfer_state::seeding : transfer_state::downloading;
    }
    void count_missing_per_file();

    // Peers: swarm_peers.cpp.
    net::task<void> keep_time();
    time_point next_tick(time_point now) const;
    void stir();
    void peers_changed();
    void hold_choke_round(time_point now);
    void connect_more(time_point now);
    /// There may be more to call, or more to call them for.
    void call_peers();
    net::task<void> connect(endpoint to, attempt outcome);
    net::task<std::error_code> converse_with(endpoint to, std::function<void()> when_connected);
    void keep_to_named();
    void introduce(ip_address const& who);
    bool is_named(ip_address const& who) const;
    net::task<bool> is_let_in(ip_address who);
    net::task<void> answer(std::unique_ptr<net::stream> stream, wire::handshake theirs);
    net::task<std::error_code> run_session(std::unique_ptr<net::stream> stream, wire::handshake theirs,
                                           endpoint listens_at, bool outgoing);
    std::error_code refusal(wire::handshake const& theirs, ip_address const& from, bool outgoing);
    std::vector<choker::place> places() const;
    std::set<ip_address> crowded_addresses() const;
    void ban(picker::sender const& who);
    bool is_banned(peer_id const& id, ip_address const& from) const;
    time_point banned_until(ip_address const& there) const;

    // By hand: swarm_by_hand.cpp.
    peer_session* session_at(endpoint const& at) const noexcept;
    /// Hands the picker what the hub told of this peer, if it did.
    void use_uploaded(peer_session const& peer);
    peer_session* session_numbered(std::uint32_t number) const noexcept;
    /// Waits until `what` is true, which is asked after whatever happens in the swarm. False at `until`, and when the
    /// swarm stops.
    net::task<bool> comes_true(std::function<bool()> what, time_point until);
    net::task<result<void>> await_fetch(piece_index piece, fetch& under_way);
    void fetch_heard(peer_session const& from, piece_index piece);
    void fetch_ended(piece_index piece, std::error_code why);
    void fetch_failed_hash(piece_index piece);
    void session_ended(std::uint32_t number, std::error_code why);
    void start_announcing();
    net::task<void> say_farewell();

    transfer_options options_;
    transfer_state state_ = transfer_state::checking;
    std::error_code error_;
    std::error_code sync_error_;  // what was verified cannot be recorded: told, and tried again
    std::shared_ptr<check_state> checking_;
    std::uint64_t failed_pieces_ = 0;
    std::uint32_t pieces_hashed_ = 0;
    std::uint64_t bytes_wanted_ = 0;
    bool was_checked_ = false;
    bool is_complete_ = false;
    bool was_complete_ = false;      // at the start, or once since
    bool is_completion_due_ = true;  // it was never told, or pieces were fetched again since
    bool is_stopping_ = false;
    bool is_winding_up_ = false;
    bool has_stopped_ = false;
    std::size_t work_begun_ = 0;  // of the tasks that follow the check
    bool keeps_time_ = false;     // its task is there
    bool is_automatic_ = true;
    bool is_announcing_ = false;
    std::vector<std::uint32_t> missing_per_file_;  // pieces
    std::vector<piece_index> lost_;                // of changed files, which are not written to: to be looked at
    std::vector<piece_index> wrong_;  // of them: looked at, to be looked at again when their files look otherwise
    std::error_code lost_why_;
    std::unordered_set<piece_index> doubted_;  // could not be read: being looked at
    std::unordered_map<std::uint32_t, std::unique_ptr<piece_work>> work_;
    std::vector<piece_index> work_with_news_;

    net::task_group tasks_, announcing_;
    net::task_group telling_;  // others than trackers: the DHT, the local network
    net::signal checked_, completed_, files_ready_, stirred_, asked_for_;
    choker::choker choker_;
    std::vector<peer_session*> sessions_;  // by slot
    std::size_t session_count_ = 0, connecting_ = 0, answering_ = 0;
    peer_book known_;
    std::map<ip_address, time_point> introduced_;  // where `members_only`: when they were last named
    picker::blame blame_;
    using bans = std::unordered_map<peer_id, time_point>;  // when each was banned
    std::map<ip_address, bans> banned_;                    // by customer
    std::vector<picker::peer_slot> also_asked_;
    bool needs_refill_ = false;
    std::map<std::uint32_t, fetch> fetches_;           // by piece
    std::map<endpoint, std::uint64_t> uploaded_told_;  // by a hub
    std::vector<net::signal*> waiting_;                // of `comes_true`
    std::vector<std::unique_ptr<announcer>> announcers_;
    dht_announcer dht_announcer_;
};
}  // namespace shoal::engine
