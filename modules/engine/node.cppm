module;
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

export module shoal.engine:node;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.session;
import :transfer;

namespace shoal::engine {
struct node_state;
}

export namespace shoal::engine {
/// How a node behaves towards everyone.
struct node_settings {
    std::string client = "Shoal 0.1";              ///< Told to peers and trackers.
    std::uint64_t upload_limit = 0;                ///< Bytes per second for all transfers; 0 for none.
    std::uint64_t download_limit = 0;              ///< The same.
    std::optional<ip_address> outgoing_from = {};  ///< Address that connections are made from.
    /// Takes part in the DHT (BEP 5) at the UDP port of the same number, once it listens.
    bool dht = false;
    /// Nodes to begin with, by name; asked while too few others are known.
    std::vector<metainfo::host_port> dht_routers = {};
    /// Takes connections by uTP (BEP 29) at the UDP port of the same number, once it listens, and makes them so where
    /// TCP does not get through.
    bool utp = false;
    /// Finds peers on the local network by multicast (BEP 14), once it listens.
    bool local_discovery = false;
    /// What was verified is read again within so long (`scrub_rate_max` at most), for disks lose bits; 0: never.
    duration scrub_interval = std::chrono::hours{24 * 14};
    byte_vector dht_state = {};  ///< What `node::dht_state` gave in an earlier run; anything else is as nothing.
    /// Told of an exception that ended a task of the node or of a transfer: a defect, or no memory. Only that task has
    /// ended. Called on the home executor.
    std::function<void(std::string_view task, std::exception_ptr const& why)> on_failure = {};
};

/// How a magnet link is looked for.
struct magnet_options {
    std::vector<endpoint> connect = {};      ///< Peers to try first, besides those of the link.
    std::vector<std::string> trackers = {};  ///< Besides those of the link.
    bool is_public = true;                   ///< As in `transfer_options`.
    transfer_observer on_event = {};         ///< Is told of trackers' answers, and of peers that are talked to.
};
struct found_torrent {
    std::shared_ptr<metainfo::torrent const> torrent;
    std::vector<endpoint> peers;    ///< Whom trackers, the link and the options named.
    std::vector<endpoint> hearsay;  ///< Of whom others said that they take part: `transfer_options::hearsay`.
};

/// A peer: its identity, listeners, budgets and transfers.
///
/// The environment and the executor have to outlive it and its transfers. `stop` has to be awaited before it is
/// destroyed.
class node {
public:
    node(net::environment, asio::any_io_executor home, node_settings);
    ~node();
    node(node const&) = delete;
    node& operator=(node const&) = delete;

    /// Accepts peers at an address (port 0: any) and gives the one that was bound. Where the settings want a UDP port
    /// beside it and there is none, it goes on without: see `datagram_trouble`.
    result<endpoint> listen(endpoint at);
    /// Why the last `listen` has no UDP port although the settings want one; no error when it has.
    std::error_code datagram_trouble() const noexcept;
    /// What the DHT knows, for the next run. Bencoded; empty where there is no DHT.
    byte_vector dht_state() const;
    /// Nodes of the DHT that are known.
    std::size_t dht_nodes() const;
    /// Begins a transfer: opens the store, checks what is there, joins the swarm. Fails with `errc::v2_only`,
    /// `errc::already_added`, or `errc::stopped` once `stop` was called; errors of the store come from
    /// `transfer::checked`.
    result<std::shared_ptr<transfer>> add(std::shared_ptr<metainfo::torrent const>, transfer_options);
    /// Fetches from peers what a magnet link names, and its trackers and peers with it. Goes on until it is found:
    /// cancel it, by a deadline for example. Fails with `errc::v2_only`, `errc::stopped`, and when the torrent is none
    /// that we read. Source: BEP 9.
    net::task<result<found_torrent>> find(metainfo::magnet link, magnet_options options);
    /// Stops every transfer and listener; at most `farewell_timeout` plus the time to write the journals.
    net::task<void> stop();

    peer_id const& id() const noexcept;

private:
    std::shared_ptr<node_state> state_;
};

/// Where the hub takes sessions that this announce URL belongs to: `http://hub:6969/announce` gives
/// `ws://hub:6969/session`, with its passkey where it has one. Nothing for other schemes.
std::optional<std::string> session_url(std::string_view announce_url, std::string_view path = session::path);

/// A node's lasting connection to a hub, for all of its transfers: tells what they have and move, and gives them the
/// hub's peer sets. Transfers go on without it. Protocol: docs/hub-protocol.md.
///
/// All calls come from the executor it was made with. `outside` outlives it.
class hub_session {
public:
    /// `id` and `port` are the node's own; port 0: it accepts nobody.
    hub_session(net::environment& outside, asio::any_io_executor home, peer_id const& id, std::uint16_t port,
                std::string client, std::string url);
    ~hub_session();

    /// The local address to connect from; as `node_settings::outgoing_from`. Set it before `run`.
    std::optional<ip_address> connect_from;

    /// Connects, and comes back when the connection is lost, until cancelled. Where there is no memory it throws; begun
    /// again (`net::task_group::spawn_lasting`), it goes on as after a lost connection.
    net::task<void> run();

    /// From now on the hub hears of this transfer, which has been checked. Its peers of the hub's set are tried while
    /// it is automatic, and those that uploaded least are asked first.
    void join(std::shared_ptr<transfer> which);
    bool has_joined(info_hash const& torrent) const;
    bool is_open() const noexcept;
    /// Its place in line while the hub has no room for it; 1 is next.
    std::optional<std::uint32_t> place() const noexcept { return place_; }
    /// As the hub told last; kept when the session is lost.
    std::map<endpoint, session::set_member> const& peers(info_hash const& torrent) const;
    /// Why the last try to connect failed: `net::errc::not_permitted` where the hub wants a passkey, or another one.
    std::error_code unreachable() const noexcept { return unreachable_; }
    /// The hub's last refusal, in its words: escape them.
    std::string const& refusal() const noexcept { return refusal_; }

    // Each asks the hub and waits for its answer, at most `hub_answer_timeout`. They fail with `net::errc::timed_out`
    // or `errc::hub_refused`.

    /// The session is there. In line it waits as long as it takes; without `stays_in_line` it returns as soon as there
    /// is a `place`. Fails also with what the next try to connect fails with.
    net::task<result<void>> opened(bool stays_in_line = true);
    net::task<result<void>> ask_status(info_hash torrent);
    net::task<result<void>> ask_peers(info_hash torrent);
    /// Leaves the hub with this transfer, or with `quits` the torrent. Done at once where there is no session.
    net::task<result<void>> leave(info_hash torrent, bool quits);
    net::task<result<void>> publish(info_hash torrent, std::shared_ptr<byte_vector const> metainfo);
    net::task<result<void>> unpublish(info_hash torrent);

    /// Told of everything that the hub says, after the session has acted on it. Must not destroy the session.
    std::function<void(session::any_client_event const&)> on_event;

private:
    struct question {
        session::request what;
        info_hash torrent;
        net::signal answered;
        std::optional<result<void>> answer;
    };
    net::task<void> converse(net::web_socket& with);
    net::task<void> receive(net::web_socket& with);
    net::task<void> send(net::web_socket& with);
    void lose_connection();
    net::task<result<void>> wait_for(session::request what, info_hash torrent);
    void look_at_transfers();
    void look_at(transfer const& which);
    void take_events();
    void use_peers(info_hash const& torrent);
    void settle(session::request what, info_hash const& torrent, result<void> answer);
    time_point now() const { return outside_.clock.now(); }

    net::environment& outside_;
    asio::any_io_executor home_;
    std::string url_;
    session::client client_;
    bool is_begun_ = false;  // `run` was called
    net::signal news_;       // something is to be sent
    net::signal open_;       // the session is there, or `place_` or why it is not has changed
    std::map<info_hash, std::shared_ptr<transfer>> transfers_;
    std::set<info_hash> moving_;  // those of them that were not quiet at the last look
    info_hash looked_at_;         // last, in the round of the others
    std::list<question> questions_;
    std::optional<std::uint32_t> place_;
    std::string refusal_;
    std::error_code unreachable_;  // why the last connection could not be opened
};
}  // namespace shoal::engine
