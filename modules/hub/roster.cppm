module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

export module shoal.hub:roster;
import shoal.announce;
import shoal.core;
import shoal.session;

namespace shoal::hub {
/// Numbers of a stranger stay where every reader of JSON has them exact (class K10).
inline constexpr std::uint64_t exact_max = (std::uint64_t{1} << 53) - 1;
/// What a member takes that tells of so many pieces, bytes.
std::size_t bytes_for(std::uint32_t pieces);
/// `IP,PORT`, as the specification's log lines have it.
std::string comma(endpoint const& at);
}  // namespace shoal::hub

export namespace shoal::hub {
/// What a roster holds at most.
struct roster_limits {
    std::size_t sessions_max = 1000;  ///< Nodes with a session; further ones wait in line.
    std::size_t waiting_max = 1000;   ///< And these are sent away.
    /// Peers shown that only announce, once for each of their torrents; the registry knows all of them anyway. One
    /// takes about 600 bytes.
    std::size_t announced_max = 20'000;
    std::size_t output_max = 4u << 20;  ///< Bytes that wait for a node that does not read; then it is dropped.
    std::size_t set_peers_max = 2000;   ///< Peers that a whole peer set names.
    /// Memory for what nodes tell of torrents, bytes: of one session, and of all with those that were just lost. 10 000
    /// torrents of 2 GiB take 10 MiB.
    std::size_t session_bytes_max = 32u << 20;
    std::size_t bytes_max = 512u << 20;
    std::uint32_t messages_per_second = 200;
    std::chrono::seconds resumable{120};               ///< How long a lost session can be taken up again.
    std::chrono::seconds announced_lifetime{46 * 60};  ///< A hub sets it by its interval.
    std::chrono::seconds wait{30};                     ///< What a node in line is told.
    std::chrono::milliseconds every{1000};
};

/// Numbers a node for as long as it is there; never used twice.
using node_number = std::uint64_t;
/// Numbers a connection that may become a session.
using session_id = std::uint64_t;

/// Keyed: strangers choose addresses and torrents, and may look for some that meet in one bucket (class I14). Not
/// noexcept: libstdc++ keeps beside each element the hash of one that may throw, and compares that first.
struct keyed_hash {
    siphash_key key;
    std::size_t operator()(endpoint const& at) const;
    std::size_t operator()(info_hash const& torrent) const;
};

struct member;
/// Somebody who takes part: over a session, or by announcing.
struct node {
    explicit node(siphash_key const& secret) : torrents(0, keyed_hash{secret}) {}

    node_number number = 0;
    endpoint at;  ///< Where it accepts peers; port 0: nowhere.
    std::string client;
    std::string member_name;  ///< Of a private hub; empty in an open one, and for who only announces.
    bool is_session = false;
    time_point since{};
    /// Its members stand in `roster::torrents`. A seeder of thousands announces each of them.
    std::unordered_map<info_hash, member*, keyed_hash> torrents;
    std::size_t bytes = 0;        ///< Of its members, as `roster_limits` count them.
    std::set<info_hash> counted;  ///< Downloads that were counted while it only announced.
};

/// A node's part in one torrent.
struct member {
    // Together what each announce looks at.
    node_number of = 0;
    time_point seen{};     ///< Last heard of.
    time_point touched{};  ///< Of who only announces: last shown to pages.
    bool is_complete = false;
    std::uint64_t uploaded = 0, downloaded = 0;  ///< Bytes.
    std::uint64_t up_rate = 0, down_rate = 0;    ///< Bytes per second.
    bitfield have;                               ///< Of size 0 where the node does not tell.
    std::vector<session::served> serving;
    std::uint64_t number = 0;  ///< Changes of pieces told so far.
    time_point presented{};    ///< Last told to the registry.
    std::size_t bytes = 0;     ///< That it takes, roughly.
    // For the next peer_set.
    std::vector<piece_index> gained;
    bool is_new = true;
    bool is_counted = false;  ///< That it has got its last piece was told to the registry, or by an announce.
};

/// What members say they move: bytes per second, and bytes. Each counts as less than 2^43, so that no liar spoils the
/// sum.
struct traffic {
    std::uint64_t up_rate = 0, down_rate = 0, served = 0;
};

/// The nodes of a torrent.
struct membership {
    std::uint32_t pieces = 0;  ///< 0 while unknown.
    std::uint64_t size = 0;
    std::map<node_number, member> members;
    std::set<node_number> touched;  ///< Since the last peer_set.
    std::vector<endpoint> gone;     ///< Since then.
    time_point told_at{};
    std::size_t session_members = 0;
};

/// A line for the log of events.
struct happening {
    std::string_view kind;  ///< `connected`, `joined` ...: docs/api.md.
    node_number node = 0;   ///< 0: none.
    std::optional<endpoint> at;
    std::optional<info_hash> torrent;
    std::string text;
};

/// What the monitor has to look at again.
struct touched {
    std::set<node_number> nodes;
    std::set<std::pair<info_hash, node_number>> members;
    std::set<info_hash> torrents;
    /// Members that only announce, with their nodes and torrents: they came, announced again, or are gone. Nothing of
    /// theirs is urgent.
    std::set<std::pair<info_hash, node_number>> announced;
};

/// A torrent that a node wants in the catalogue, or out of it.
struct publish_order {
    session_id from = 0;
    node_number owner = 0;
    endpoint at;
    std::string member;  ///< As in `node`.
    info_hash torrent;
    std::optional<byte_vector> metainfo;  ///< Nothing: out of it.
};

/// For the registry, through which ordinary clients find the node.
struct presence {
    info_hash torrent;
    endpoint at;
    bool is_complete = false;
    bool has_left = false;
    bool has_completed = false;  ///< It has just got its last piece.
};

/// Who takes part in what, and what the hub's sessions say: messages and time in, messages and news out. It has no
/// socket and no clock. Protocol: docs/hub-protocol.md.
class roster {
public:
    /// `secret` makes the tokens by which lost sessions are taken up; from a random device.
    roster(roster_limits limits, siphash_key const& secret);

    // Sessions.

    /// A connection that has said nothing yet.
    /// `member`: whose passkey it showed; empty in an open hub.
    session_id connected(endpoint const& from, time_point now, std::string member = {});
    /// A message came. Fails when the connection is to be ended; the error says why.
    result<void> received(session_id from, byte_view message, time_point now);
    /// When to read on: a session that has said as much as it may in this second waits for the next. Further messages
    /// would end it.
    time_point may_go_on_at(session_id which) const;
    void disconnected(session_id which, time_point now);
    bool has_said_hello(session_id which) const;
    /// Messages to send, in order; `overflowed` is true when so much waits that the connection is to be ended.
    std::vector<std::shared_ptr<byte_vector const>> take_output(session_id to);
    bool overflowed(session_id which) const;
    /// Sessions that got output, or are over, since the last call.
    std::vector<session_id> take_ready();

    /// How many pieces the catalogue says a torrent has; 0: it does not know. Who claims another number is refused.
    std::function<std::uint32_t(info_hash const&)> pieces_known;

    // Publishing: the catalogue is slow, so the answer comes later.

    /// The next one; take it when the one before is answered, since what waits here is bounded.
    std::optional<publish_order> take_publication();
    /// `refusal` is empty when it was done. The session may be gone.
    void answer_publication(publish_order const& asked, std::string const& refusal);
    /// From a catalogue that knows the torrent: sessions that claim another number of pieces are refused.
    void know(info_hash const& torrent, std::uint32_t pieces, std::uint64_t size);

    // Ordinary clients.

    /// An announce that the registry has taken. `at` is where the peer accepts peers.
    void announced(announce::announce_request const& request, endpoint const& at, time_point now);

    // Time.

    /// Call often: sends changed peer sets, lets waiting nodes in, forgets who went silent.
    void tick(time_point now);

    // What there is, and what is new.

    std::map<node_number, node> const& nodes() const noexcept { return nodes_; }
    std::map<info_hash, membership> const& torrents() const noexcept { return torrents_; }
    traffic const& all_traffic() const noexcept { return traffic_; }  ///< Of all members together.
    node const* node_at(endpoint const& at) const;
    std::size_t session_count() const noexcept { return admitted_; }
    std::size_t waiting_count() const noexcept { return line_.size(); }
    std::size_t bytes() const noexcept { return bytes_; }
    std::size_t announced_count() const noexcept { return nodes_.size() - admitted_; }
    std::uint64_t refused_messages() const noexcept { return refused_messages_; }
    touched take_touched() { return std::exchange(touched_, {}); }
    std::vector<happening> take_happenings() { return std::exchange(happenings_, {}); }
    std::vector<presence> take_presences() { return std::exchange(presences_, {}); }
    roster_limits const& limits() const noexcept { return limits_; }

private:
    struct session_state {
        endpoint from;
        std::string member;
        peer_id id;
        std::string client;
        std::uint16_t port = 0;
        session::token proof{};
        node_number number = 0;                // 0: not admitted
        std::optional<session::token> resume;  // for when its turn comes
        bool has_said_hello = false;
        bool waits = false;
        std::deque<std::shared_ptr<byte_vector const>> output;
        std::size_t output_bytes = 0;
        time_point second{};
        std::uint32_t messages = 0;  // in this second
    };
    struct lost_session {
        peer_id id;
        std::map<info_hash, member> members;
        time_point until{};
    };

    result<void> handle(session_id from, session::hello const& said, time_point now);
    result<void> handle(session_id from, session::join& said, time_point now);
    result<void> handle(session_id from, session::status const& said, time_point now);
    result<void> handle(session_id from, session::leave const& said, time_point now);
    result<void> handle(session_id from, session::ask_peers const& said, time_point now);
    result<void> handle(session_id from, session::publish& said, time_point now);
    result<void> handle(session_id from, session::unpublish const& said, time_point now);
    bool fits(info_hash const& torrent, bitfield const& have) const;
    void admit(session_id which, std::optional<session::token> const& resume, time_point now);
    void order(session_id from, session::request what, info_hash const& torrent, std::optional<byte_vector> metainfo);
    void replace_older(session_id which, time_point now);
    void let_in(time_point now);
    void tell_places();
    session::token draw_token();

    node& add_node(endpoint const& at, std::string client, bool is_session, time_point now);
    void remove_node(node_number number);
    member& add_member(info_hash const& torrent, node& who);
    void remove_member(info_hash const& torrent, node_number of);
    bool is_room_for(node const& who, member const* had, std::size_t bytes);
    void weigh(node& who, member& what);
    void present(info_hash const& torrent, node const& who, member& what, time_point now, bool has_completed = false);
    void forget_lost(std::map<session::token, lost_session>::iterator which);
    void touch(info_hash const& torrent, node_number of);
    void send(session_id to, session::hub_message const& message);
    void send(session_id to, std::shared_ptr<byte_vector const> encoded);
    void send_whole_set(session_id to, info_hash const& torrent);
    void send_changes(info_hash const& torrent, membership& of, time_point now);
    void note(std::string_view kind, node_number of, std::optional<info_hash> torrent, std::string text);
    void expire(time_point now);

    roster_limits limits_;
    siphash_key secret_;
    std::uint64_t tokens_ = 0;  // drawn so far
    node_number last_node_ = 0;
    session_id last_session_ = 0;
    std::size_t admitted_ = 0;
    /// While it lives a member's traffic changes; then the sum is brought up to date.
    class traffic_change {
    public:
        traffic_change(traffic& sum, member const& of);
        traffic_change(traffic_change const&) = delete;
        traffic_change& operator=(traffic_change const&) = delete;
        ~traffic_change();

    private:
        traffic& sum_;
        member const& of_;
    };

    traffic traffic_;
    std::size_t members_ = 0;            // in all torrents
    std::size_t announced_members_ = 0;  // of these, who only announce
    std::size_t bytes_ = 0;              // of all members of sessions, and of lost ones
    std::uint64_t refused_messages_ = 0;
    std::map<node_number, node> nodes_;
    std::unordered_map<endpoint, node*, keyed_hash> by_address_;
    std::map<info_hash, membership> torrents_;
    std::map<session_id, session_state> sessions_;
    std::map<node_number, session_id> session_of_;
    std::deque<session_id> line_;
    std::map<session::token, lost_session> lost_;
    std::vector<session_id> ready_;
    std::deque<publish_order> publications_;
    std::size_t publication_bytes_ = 0;  // of their metainfo
    touched touched_;
    std::vector<happening> happenings_;
    std::vector<presence> presences_;
    time_point expired_at_{};
    node_number looked_at_ = 0;  // last, for its time
};

/// What a client calls itself by its peer id, `Transmission 3.00`; `unknown client` otherwise. Source: BEP 20.
std::string client_of(peer_id const& id);
}  // namespace shoal::hub
