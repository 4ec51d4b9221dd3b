/// A node of the distributed hash table, as a value: datagrams and time in, datagrams and found peers out. Source: BEP
/// 5, 32, 42, 43.
module;
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

export module shoal.dht;
import shoal.core;

export namespace shoal::dht {
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;

/// What a node calls itself, and a place in the space of info-hashes. Source: BEP 5, "Overview".
using node_id = identifier<20, struct node_id_tag>;
/// The place where peers of a torrent are kept.
node_id place_of(info_hash const& torrent) noexcept;

struct contact {
    node_id id;
    endpoint at;
    friend constexpr auto operator<=>(contact const&, contact const&) = default;
};

/// Whether `a` is nearer to `target` than `b`: by exclusive or, as a number. Source: BEP 5, "Overview".
bool is_nearer(node_id const& target, node_id const& a, node_id const& b) noexcept;
/// Leading bits that both have; at most 160.
std::size_t common_prefix(node_id const& a, node_id const& b) noexcept;

/// Makes `id` one that somebody at this address may have: its first 21 bits follow from the address and its last byte.
/// Source: BEP 42, "Node ID restriction".
void tie_to(node_id& id, ip_address const& address) noexcept;
/// Whether it is such a one. Nodes at local addresses may have any. Source: BEP 42, "Enforcement".
bool is_tied(node_id const& id, ip_address const& address) noexcept;

/// The network that somebody is taken to own: the /24, of IPv6 the /48.
ip_address network_of(ip_address const& address) noexcept;

/// Whether an address means the same to somebody at `there` as it does here: nobody from outside knows who is on a
/// local network, and loopback is everybody's own (class H9).
bool means_the_same(ip_address const& address, ip_address const& there) noexcept;

/// Whether a node or a peer can be there: a port, no multicast, not 0.0.0.0 (class H9).
bool is_usable(endpoint const& at) noexcept;

// All limits and intervals. Those without a source are ours.

/// Nodes of a bucket, and nodes that a search ends with. Source: BEP 5, K.
inline constexpr std::size_t bucket_size = 8;
/// Nodes of one network (`network_of`) in the whole table; local ones do not count.
inline constexpr std::size_t nodes_per_network_max = 3;
/// Nodes of a full bucket's range that wait for a place.
inline constexpr std::size_t replacements_max = 8;
/// How long a node is good after it was heard. Source: BEP 5, "Routing Table".
inline constexpr auto good_for = 15min;
/// Queries in a row without a reply that make a node a bad one. Source: BEP 5 suggests two.
inline constexpr unsigned failures_max = 2;
/// A query is given up after so long; a search asks the next one already after the second figure.
inline constexpr auto query_timeout = 5s;
inline constexpr auto query_slow_after = 1s;
/// Queries that a search has under way, those that are slow not counted.
inline constexpr std::size_t search_width = 4;
/// Nodes that one search has heard of and keeps, the nearest.
inline constexpr std::size_t search_candidates_max = 128;
/// Queries of one search: then it ends with what it has, whatever liars promise.
inline constexpr std::size_t search_queries_max = 128;
/// Searches at once; others wait for their turn.
inline constexpr std::size_t searches_max = 8;
inline constexpr std::size_t searches_waiting_max = 65'536;
/// Peers that one search gives back.
inline constexpr std::size_t found_max = 500;
/// Queries under way, of searches and pings together.
inline constexpr std::size_t queries_max = 256;
/// Nodes that were only heard of are asked who they are at this rate.
inline constexpr auto ping_interval = 250ms;
inline constexpr std::size_t pings_waiting_max = 64;
/// How often nodes, buckets and the peers in store are looked after.
inline constexpr auto upkeep_interval = 10s;
/// A bucket without news for so long is refreshed. Source: BEP 5, "Routing Table".
inline constexpr auto refresh_after = 15min;
/// A table with too few nodes looks for more after so long, and then after twice that, up to the second figure.
inline constexpr auto bootstrap_again_after = 5s;
inline constexpr auto bootstrap_again_after_max = 5min;
/// Tokens are good for one to two of these. Source: BEP 5, "Overview": five minutes, ten at most.
inline constexpr auto token_interval = 5min;
/// How long an announced peer is told of. Most clients announce again every 15 minutes.
inline constexpr auto announced_for = 30min;
/// Torrents whose peers are kept, those far from our id leave first; peers of one, and of all; and peers of one
/// customer (H6).
inline constexpr std::size_t stored_torrents_max = 2000;
inline constexpr std::size_t stored_peers_max = 500;
inline constexpr std::size_t stored_in_all_max = 100'000;
inline constexpr std::size_t stored_per_customer_max = 200;
/// Bytes of a reply: at most this, and at most so many times the query (class H1, T-AMP).
inline constexpr std::size_t reply_bytes_max = 600;
inline constexpr std::size_t reply_factor_max = 5;
/// Bytes of all replies a second, and of those to one customer: a query's source may be forged (class H1).
/// At once, two seconds of the one, and for a customer, the first lookups of a newcomer.
inline constexpr pace reply_bytes_of_all{.burst = 16'000, .per_second = 8000};
inline constexpr pace reply_bytes_per_customer{.burst = 4000, .per_second = 400};
/// Bytes of a transaction id and of a token that are echoed; queries with longer ones are not answered (class H8).
inline constexpr std::size_t transaction_bytes_max = 32;
inline constexpr std::size_t token_bytes_max = 64;
/// Networks that have to agree on our address, and time between two changes of our id (class H10).
inline constexpr std::size_t votes_needed = 5;
inline constexpr auto id_change_interval = 5min;

/// Why a datagram is no message of the DHT.
enum class errc {
    not_krpc = 1,   ///< No bencoded dictionary with `t` and `y` as BEP 5 has them.
    bad_query,      ///< A query without its arguments.
    bad_reply,      ///< A reply without an id.
    too_long_name,  ///< The transaction id is longer than `transaction_bytes_max`.
};
std::error_code make_error_code(errc) noexcept;

// The messages. Source: BEP 5, "KRPC Protocol". Views point into the datagram.

enum class method : std::uint8_t { ping, find_node, get_peers, announce_peer, unknown };
struct query {
    method what = method::ping;
    node_id id{};
    node_id target{};  ///< `target`, or `info_hash`.
    std::uint16_t port = 0;
    bool implied_port = false;
    byte_view token{};
    bool is_read_only = false;  ///< It answers nobody. Source: BEP 43.
};
struct reply {
    node_id id{};
    std::vector<contact> nodes{};    ///< Of `nodes` and `nodes6`.
    std::vector<endpoint> values{};  ///< Peers.
    std::optional<byte_view> token{};
    std::optional<ip_address> seen_as{};  ///< Our address, as the other side sees it. Source: BEP 42.
};
struct failure {
    std::int64_t code = 0;
};
struct message {
    byte_view transaction;
    std::variant<query, reply, failure> content;
};
/// Reads one datagram. Fails with any `errc`, or as bencoding does. What is known and malformed in a reply (half a
/// node, a port 0) is left out.
result<message> parse(byte_view datagram);
byte_vector encode(byte_view transaction, query const& what);
/// `to` is told as `ip`.
byte_vector encode(byte_view transaction, reply const& what, endpoint const& to);
byte_vector encode(byte_view transaction, failure const& what, std::string_view text);

/// Numbers that nobody without the key can foresee.
class keyed_random {
public:
    explicit keyed_random(siphash_key const& key) noexcept : key_(key) {}
    std::uint64_t next() noexcept;
    /// Below `bound`, which is not 0.
    std::size_t below(std::size_t bound) noexcept { return static_cast<std::size_t>(next() % bound); }
    node_id id() noexcept;

private:
    siphash_key key_;
    std::uint64_t count_ = 0;
};

/// The nodes that we know, most of them near to us. Only nodes that answered get in; one of each customer, and one of
/// each network in a bucket, unless the address is local (class H3). Source: BEP 5, "Routing Table".
class routing_table {
public:
    explicit routing_table(node_id const& own) : own_(own) {}

    /// A node answered, in time and from where it was asked.
    void answered(contact const& who, time_point now);
    /// A node that is in the table asked something.
    void asked(contact const& who, time_point now);
    /// A node left a query without an answer.
    void silent(endpoint const& who);
    /// Whether it is worth asking this node who it is.
    bool has_room_for(contact const& who, time_point now) const;

    /// The nearest to `target`, at most `count`, good ones before others.
    std::vector<contact> nearest(node_id const& target, std::size_t count, time_point now) const;
    /// Whom to ask whether they are still there: of each bucket one that was not heard lately, in turn.
    std::vector<contact> questionable(time_point now);
    /// Places in the ranges of buckets that had no news for `refresh_after`; they count as refreshed now.
    std::vector<node_id> stale(keyed_random& random, time_point now);
    std::vector<contact> all() const;
    std::size_t size() const noexcept { return customers_.size() + local_count_; }
    /// Those that are not bad.
    std::size_t alive() const noexcept;
    node_id const& own() const noexcept { return own_; }
    /// The same nodes around another id.
    void move_to(node_id const& own, time_point now);

private:
    struct entry {
        contact who;
        time_point heard{};  // an answer, or a question after an answer
        time_point asked{};  // by `questionable`
        unsigned failures = 0;
        bool is_tied = false;
    };
    struct bucket {
        std::vector<entry> nodes;
        std::deque<entry> replacements;  // the last one first; they answered
        time_point changed{};
    };
    static bool is_good(entry const& each, time_point now) noexcept;
    bucket& bucket_of(node_id const& id) noexcept;
    bucket const& bucket_of(node_id const& id) const noexcept;
    bool may_join(bucket const& in, contact const& who) const;
    void insert(bucket& in, entry&& newcomer, time_point now);
    void erase(bucket& from, std::size_t index);
    void count(endpoint const& at, bool is_in);
    /// Takes out the node at this place; with `only_bad`, if it is a bad one. True when none is there now.
    bool make_way_at(endpoint const& at, bool only_bad);

    node_id own_;
    std::array<bucket, 160> buckets_;  // by common prefix with `own_`
    std::map<ip_address, endpoint> customers_;
    std::map<ip_address, std::size_t> networks_;
    std::size_t local_count_ = 0;  // nodes on loopback, which is everybody's
};

/// Peers that others announced to us, and the tokens that let them. Source: BEP 5, "get_peers", "announce_peer".
class peer_store {
public:
    peer_store(std::uint64_t seed, node_id const& own) : random_({seed, ~seed}), own_(own) {}

    /// Eight bytes that prove, for five to ten minutes, that somebody gets what is sent to this address (class H5).
    std::array<std::byte, 8> token_for(ip_address const& who, time_point now);
    bool is_token(byte_view token, ip_address const& who, time_point now);
    void add(info_hash const& torrent, endpoint const& peer, time_point now);
    /// Some at random, at most `count`.
    std::vector<endpoint> some_of(info_hash const& torrent, std::size_t count, time_point now);
    void forget_old(time_point now);
    /// Our id is another now, and other torrents are near to us.
    void move_to(node_id const& own);
    std::size_t torrents() const noexcept { return torrents_.size(); }

private:
    struct stored {
        endpoint at;
        time_point announced;
    };
    void rotate(time_point now);
    std::array<std::byte, 8> token_of(siphash_key const& secret, ip_address const& who) const;
    /// Key in `torrents_`.
    node_id distance_to(info_hash const& torrent) const noexcept;
    void release(endpoint const& peer);

    keyed_random random_;
    node_id own_;
    siphash_key secret_{}, last_secret_{};
    std::optional<time_point> rotated_;
    std::map<node_id, std::vector<stored>> torrents_;  // by distance from us
    std::size_t stored_ = 0;
    std::unordered_map<ip_address, std::size_t> of_customer_;  // peers in store; keys are chosen by who owns them
};

/// A look for the nodes nearest to a place, asking nearer and nearer ones. Source: BEP 5, "Overview".
class search {
public:
    enum class purpose : std::uint8_t { nodes, peers, announce };

    search(node_id const& target, purpose why) noexcept : target_(target), why_(why) {}

    /// Somebody to ask; known ones and further ones than enough are passed over.
    void add(contact const& who);
    /// The next to ask, if it is time to; it counts as asked.
    std::optional<contact> next(time_point now);
    /// One that turns out to be another than was said is of no use here.
    void answered(contact const& who, std::optional<byte_view> token);
    void silent(endpoint const& who);
    /// It tells others of us too.
    void announce_too() noexcept { why_ = purpose::announce; }
    /// Nobody is left to ask, and nobody's answer is waited for.
    bool is_over() const;
    /// When `next` may say something else than now, if nothing else happens.
    time_point deadline(time_point now) const;
    /// The nearest that answered with a token, and it.
    std::vector<std::pair<contact, byte_vector>> storers() const;
    /// Takes a peer that was found, unless it was before.
    bool is_new(endpoint const& peer);

    node_id const& target() const noexcept { return target_; }
    purpose why() const noexcept { return why_; }
    std::size_t answers() const noexcept { return answers_; }

private:
    enum class progress : std::uint8_t { fresh, asked, answered, failed };
    struct candidate {
        contact who;
        progress is = progress::fresh;
        time_point asked{};
        byte_vector token{};
        bool has_token = false;
    };
    void fail(candidate& which);

    node_id target_;
    purpose why_;
    std::vector<candidate> candidates_;  // nearest first
    std::set<ip_address> customers_;     // one node of each, loopback apart
    std::set<endpoint> found_;
    std::size_t queries_ = 0, answers_ = 0;
};

struct node_settings {
    siphash_key key{};  ///< From a random device: all that strangers must not guess follows from it.
    bool is_v6 = false;
    std::uint16_t port = 0;  ///< Where peers reach us, told with announces.
    /// Peers reach us where the node is too, so that those asked take the port that they see: behind a NAT it is the
    /// right one. Source: BEP 5, "announce_peer".
    bool implied_port = true;
    byte_view state{};  ///< What `node::state` gave; anything else is as nothing.
};

namespace event {
/// Peers were found by a search, or announced themselves to this node, searched for or not.
struct found {
    info_hash torrent;
    std::vector<endpoint> peers;
};
struct search_ended {
    info_hash torrent;
    std::size_t nodes;  ///< That answered.
    std::size_t told;   ///< That were told of us.
};
/// Enough nodes agree that this is our address.
struct address_learned {
    ip_address address;
};
}  // namespace event
using any_event = std::variant<event::found, event::search_ended, event::address_learned>;

/// One node, in the network of one address family. Source: BEP 5, BEP 32 for IPv6.
class node {
public:
    node(node_settings const& settings, time_point now);

    // Inputs. Drain the outputs after each.
    void receive(endpoint const& from, byte_view datagram, time_point now);
    void wake(time_point now);  ///< `deadline()` has passed.
    /// Somebody says that there is a node: a PORT message, a torrent.
    void hear_of(endpoint const& maybe, time_point now);
    /// Nodes to begin with while we know too few. They do not get into the table.
    void set_routers(std::vector<endpoint> routers, time_point now);
    /// Looks for peers of a torrent, and with `announces` tells that we are one. A search for it that is under way, or
    /// waits, is the same.
    void find(info_hash const& torrent, bool announces, time_point now);
    void forget(info_hash const& torrent, time_point now);

    // Outputs.
    struct outgoing {
        endpoint to;
        byte_vector bytes;
    };
    std::optional<outgoing> next_datagram();
    std::optional<any_event> next_event();
    time_point deadline() const noexcept { return deadline_; }

    node_id const& id() const noexcept { return table_.own(); }
    std::size_t nodes() const noexcept { return table_.size(); }
    /// Fewer nodes answer than a bucket has.
    bool needs_routers() const noexcept { return table_.alive() < bucket_size; }
    std::size_t stored_torrents() const noexcept { return store_.torrents(); }
    /// What to keep for the next start: our address and the nodes. Bencoded. The id is another each time, since several
    /// programs may begin with one state.
    byte_vector state() const;

private:
    struct pending {
        endpoint to;
        time_point sent;
        std::optional<node_id> target;  // of the search that it belongs to
        bool is_router = false;
    };
    struct wish {
        info_hash torrent;
        bool announces;
    };

    bool is_mine(endpoint const& at) const noexcept { return at.address.is_v4() != settings_.is_v6; }
    void answer(endpoint const& from, byte_view transaction, query const& asked, std::size_t bytes, time_point now);
    void hear_announce(info_hash const& torrent, endpoint const& peer, time_point now);
    void refuse(endpoint const& to, byte_view transaction, std::int64_t code, std::string_view text, std::size_t bytes,
                time_point now);
    void reply_to(endpoint const& to, byte_vector&& bytes, std::size_t asked_bytes, time_point now);
    budget& reply_bytes_to(ip_address const& who) noexcept;
    bool on_reply(endpoint const& from, byte_view transaction, reply const& told, time_point now);
    void vote(ip_address const& voter, ip_address const& address, time_point now);

    bool ask(contact const& whom, query what, std::optional<node_id> target, time_point now, bool is_router = false);
    void consider(contact const& who, time_point now);
    void begin(node_id const& target, search::purpose why, time_point now);
    void begin_waiting(time_point now);
    bool advance(time_point now);
    void end(search const& over, time_point now);
    void give_up_old(time_point now);
    void keep_up(time_point now);
    void bootstrap(time_point now);
    void set_deadline(time_point now);
    void settle(time_point now);  // after each input
    void read_state(byte_view state);

    node_settings settings_;
    keyed_random random_;
    routing_table table_;
    peer_store store_;
    std::vector<endpoint> routers_;
    std::vector<contact> remembered_;           // of an earlier run, to begin with
    std::map<std::uint32_t, pending> queries_;  // by transaction
    std::map<node_id, search> searches_;
    std::deque<wish> wishes_;
    std::deque<endpoint> pings_;  // who they are is to be asked
    time_point next_ping_{}, next_upkeep_{}, next_bootstrap_{};
    duration bootstrap_wait_ = bootstrap_again_after;
    std::deque<outgoing> outbox_;
    std::deque<any_event> events_;
    budget reply_bytes_{reply_bytes_of_all};
    siphash_key customers_key_;
    std::vector<budget> customers_{1024, budget{reply_bytes_per_customer}};  // by a keyed hash of the customer
    std::map<ip_address, ip_address> votes_;                                 // by the voter's network
    std::optional<ip_address> address_;
    std::optional<time_point> id_changed_;
    time_point deadline_{};
};
}  // namespace shoal::dht
export template <>
struct std::is_error_code_enum<shoal::dht::errc> : std::true_type {};
