module;
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

export module shoal.engine:hub_session;
import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.session;
import :transfer;

export namespace shoal::engine {
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

    /// Connects, and comes back when the connection is lost, until cancelled.
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
    net::task<result<void>> wait_for(session::request what, info_hash torrent);
    void look_at_transfers();
    void look_at(transfer& which);
    void take_events();
    void use_peers(info_hash const& torrent);
    void settle(session::request what, info_hash const& torrent, result<void> answer);
    time_point now() const { return outside_.clock.now(); }

    net::environment& outside_;
    asio::any_io_executor home_;
    std::string url_;
    session::client client_;
    net::signal news_;  // something is to be sent
    net::signal open_;  // the session is there, or `place_` or why it is not has changed
    std::map<info_hash, std::shared_ptr<transfer>> transfers_;
    std::map<info_hash, bitfield> told_;
    std::list<question> questions_;
    std::optional<std::uint32_t> place_;
    std::string refusal_;
    std::error_code unreachable_;  // why the last connection could not be opened
};
}  // namespace shoal::engine
