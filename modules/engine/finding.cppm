module;
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
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

/// How the peers of a torrent are found and reached: trackers, the DHT, the local network, UDP ports. Only
/// implementation units of this room import it.
module shoal.engine:finding;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.dht;
import shoal.net;
import shoal.utp;
import :transfer;
import :node;

namespace shoal::engine {
/// The tiers of a torrent and, each a tier of its own, the trackers that were given besides. A tracker that both name
/// is announced to with the passkey of the given one, where it has one: the torrent's may be that of whoever made it.
std::vector<std::vector<std::string>> tiers_with(std::vector<std::vector<std::string>> tiers,
                                                 std::vector<std::string> const& given);

/// What trackers are told of, and who hears their answers: a transfer, or the search for what it holds.
class announced {
public:
    virtual ~announced();
    virtual node_state& at_node() noexcept = 0;
    /// Torrent, bytes moved and left. The announcer fills in who we are and what happened.
    virtual announce::announce_request numbers() const = 0;
    /// Few peers are there and more are needed.
    virtual bool is_hungry() const = 0;
    virtual void add_peers(std::vector<endpoint> const& peers) = 0;
    /// Somebody who may be anybody says that these take part.
    virtual void hear_of(std::vector<endpoint> const& peers) = 0;
    /// Others than trackers and hubs may be told of it.
    virtual bool is_public() const noexcept = 0;
    virtual void tell(transfer_event const& happened) = 0;
};

/// Tells one tier of trackers about us and brings back peers. Source: BEP 3, 12, 15.
class announcer {
public:
    /// `owner` outlives it. `given` are the URLs that the user named.
    announcer(announced& owner, std::vector<std::string> urls, std::vector<std::string> const& given);
    /// Announces until cancelled.
    net::task<void> run();
    /// Says that we leave, if the tracker knows us. The caller sets the deadline.
    net::task<void> farewell();
    /// The content is complete: announce that soon.
    void completed();

private:
    net::task<result<announce::announce_reply>> announce(std::string url, announce::event what);
    net::task<result<announce::announce_reply>> over_http(std::string url, announce::announce_request request);
    net::task<result<announce::announce_reply>> over_udp(std::string url, announce::announce_request request);
    net::task<result<announce::announce_reply>> over_udp_at(endpoint tracker, std::string path,
                                                            announce::announce_request request);
    announce::announce_request request_for(announce::event what) const;
    void heed_refusal(std::string const& url);
    /// Whether the user named it himself, and so vouches for it.
    bool is_given(std::string const& url) const;
    /// When the tracker may be asked again, as it said itself when it refused.
    time_point may_ask_at(std::string const& url) const;

    announced& owner_;
    node_state& node_;
    std::vector<std::string> urls_;
    std::set<std::string> given_;
    std::map<std::string, std::string> tracker_ids_;  // by URL
    std::string known_at_;                            // the URL that was told `started`
    net::signal news_;
    bool is_completed_ = false;
    ip_address asked_;                          // the tracker of the last announce
    announce::failure refused_;                 // by the last announce; its reason is empty when it was not
    std::map<std::string, time_point> ask_at_;  // by URL; the end of time: never
};

class utp_stream;

/// A UDP port of the node, of the same number as its TCP port: the node of the DHT is there, and uTP. Their datagrams
/// are told apart by their first byte, which is `d` in the DHT.
class datagram_port {
public:
    /// `owner` outlives it.
    datagram_port(node_state& owner, std::unique_ptr<net::datagram_socket> socket);
    /// Receives and sends until cancelled or closed.
    net::task<void> receive();
    /// Wakes the cores when their time has come.
    net::task<void> keep_time();
    /// Until what closing connections have sent is acknowledged, or their time is over.
    net::task<void> linger();
    void close() { socket_->close(); }

    endpoint const local;
    /// Nothing where the settings want no DHT. Call `news` after each input.
    dht::node* dht() noexcept { return dht_ ? &*dht_ : nullptr; }
    /// Nothing where the settings want no uTP. Call `news` after each input.
    utp::host* utp() noexcept { return utp_ ? &*utp_ : nullptr; }
    /// Something was said to a core: sends what it wants to send.
    void news();
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to);

private:
    friend class utp_stream;
    void drain();
    void send_dht();
    void send_utp();
    std::unique_ptr<utp_stream> stream_of(utp::handle which);
    time_point deadline() const noexcept;
    void hand_on(dht::any_event const& happened);

    node_state& node_;
    std::unique_ptr<net::datagram_socket> socket_;
    std::optional<dht::node> dht_;
    std::optional<utp::host> utp_;
    std::unordered_map<utp::handle, utp_stream*> streams_;
    byte_vector batch_;                     // datagrams of uTP about to be sent
    std::optional<time_point> full_until_;  // the socket took no more
    byte_vector copied_;                    // of what a stream writes, since it may lie in a mapping
    net::signal deadline_moved_;
};

/// A connection by uTP. Its port outlives it.
class utp_stream final : public net::stream {
public:
    utp_stream(datagram_port& port, utp::handle which);
    ~utp_stream() override;
    using net::stream::read_some;
    net::task<result<std::size_t>> read_some(std::span<mutable_byte_view const> places) override;
    net::task<result<std::size_t>> write_some(std::span<byte_view const> runs) override;
    void close() override;
    endpoint local() const override { return port_.local; }
    endpoint remote() const override { return remote_; }

    net::task<result<void>> connected();
    /// Its connection has changed.
    void changed();

private:
    datagram_port& port_;
    utp::handle const which_;
    endpoint const remote_;
    bool is_closed_ = false;
    net::signal readable_, writable_;
};

/// Keeps somebody in a table by torrent while it lives; then tells whether he was the last of his torrent.
template <class Who>
class listed {
public:
    using table = std::unordered_multimap<info_hash, Who*>;
    listed(table& among, info_hash const& torrent, Who& who, std::function<void()> when_last)
        : among_(among), at_(among.emplace(torrent, &who)), when_last_(std::move(when_last)) {}
    listed(listed const&) = delete;
    listed& operator=(listed const&) = delete;
    ~listed() {
        auto const torrent = at_->first;
        among_.erase(at_);
        if (!among_.contains(torrent)) when_last_();
    }

private:
    table& among_;
    typename table::iterator at_;
    std::function<void()> when_last_;
};

/// Who takes part in our swarms on the local network, by one multicast group. Source: BEP 14.
class local_group {
public:
    /// `owner` outlives it. Peers reach us at the second; an address that is not specified is any of this machine.
    local_group(node_state& owner, endpoint const& reached_at, std::uint64_t token);
    /// Joins the group, and again when that fails, and listens and announces until cancelled.
    net::task<void> run();
    void close();
    void add(info_hash const& torrent);
    void remove(info_hash const& torrent);

private:
    net::task<void> receive();
    net::task<void> announce();
    /// Until it cannot be received from any more.
    net::task<void> take_part();

    node_state& node_;
    announce::local_discovery core_;
    std::optional<ip_address> from_;
    std::unique_ptr<net::datagram_socket> socket_;
    net::signal news_;
};

/// Looks for peers of one torrent by the DHT, and where `announces`, tells it of us. Source: BEP 5.
class dht_announcer {
public:
    /// `owner` outlives it.
    dht_announcer(announced& owner, bool announces);
    dht_announcer(dht_announcer const&) = delete;
    dht_announcer& operator=(dht_announcer const&) = delete;
    /// Goes on until cancelled, or until there is no DHT or the torrent is not public any more.
    net::task<void> run();
    void found(std::vector<endpoint> const& peers);
    void ended(dht::event::search_ended const& search);

private:
    announced& owner_;
    node_state& node_;
    info_hash const torrent_;
    bool const announces_;
    net::signal news_;
    std::size_t under_way_ = 0;
    event::dht_searched outcome_{};
};

/// An address that may be a peer.
struct known_peer {
    unsigned failures = 0;
    bool is_busy = false;  ///< Connected or being connected.
    bool is_banned = false;
    bool is_hearsay = false;  ///< Only peers told of it.
    bool has_rested = false;  ///< All tries on hearsay were in vain once.
    time_point try_at{};

    /// The way that was taken last time may not be its: some take TCP connections and say nothing.
    bool tries_utp_first() const noexcept { return failures % 2 == 1; }
};

/// Whether one can connect there at all.
bool can_be_peer(endpoint const& at) noexcept;

/// Wait before the next try after so many failures in a row and this one.
duration back_off(unsigned failures) noexcept;

/// Whether one at `teller` can mean a peer by it: who has a local address is known to his network alone, and low ports
/// belong to the services of a system. Whoever is told may be a victim (class D5).
bool may_tell_of(ip_address const& teller, endpoint const& told) noexcept;

using peer_book = std::map<endpoint, known_peer>;
/// Somebody who may be anybody says that these are peers: bounded in number, for each address, and by the ports.
/// Whether any is new.
bool hear_of(peer_book& known, std::vector<endpoint> const& peers, time_point now);
/// A tracker, a hub or the user says so. False when there is room for no further ones.
bool name(peer_book& known, endpoint const& at);
enum class tried : std::uint8_t {
    begun,  ///< It counts as `connecting` from now on.
    passed_over,
    enough,  ///< Nobody else either.
};
/// Hands those whose time has come to `begin`.
void try_more(peer_book& known, std::size_t const& connecting, time_point now,
              std::function<tried(endpoint const&)> const& begin);
/// A try was in vain: the peer rests.
void failed(known_peer& peer, time_point now);
}  // namespace shoal::engine
