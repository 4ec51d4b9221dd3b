module;
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

module shoal.engine;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.session;
import :transfer;
import :node;

namespace shoal::engine {
namespace {
/// Transfers without a connection that are looked at each time: so many, or this part of all. What the disk has lost of
/// one can wait.
constexpr std::size_t looks_least = 100, looks_per_round = 20;
}  // namespace

std::optional<std::string> session_url(std::string_view announce_url, std::string_view path) {
    auto const scheme = announce_url.find("://");
    if (scheme == announce_url.npos) return std::nullopt;
    auto const name = announce_url.substr(0, scheme);
    auto const secure = equal_without_case(name, "https");
    if (!secure && !equal_without_case(name, "http")) return std::nullopt;
    auto const rest = announce_url.substr(scheme + 3);
    auto const host = rest.substr(0, rest.find_first_of("/?#"));
    if (host.empty() || !path.starts_with('/')) return std::nullopt;
    return announce::with_passkey_of(announce_url, std::string{secure ? "wss://" : "ws://"}.append(host).append(path));
}

hub_session::hub_session(net::environment& outside, asio::any_io_executor home, peer_id const& id, std::uint16_t port,
                         std::string client, std::string url)
    : outside_(outside),
      home_(std::move(home)),
      url_(std::move(url)),
      client_({.id = id, .port = port, .name = std::move(client), .seed = outside.random.next()}, outside.clock.now()),
      news_(home_),
      open_(home_) {}

hub_session::~hub_session() = default;

void hub_session::lose_connection() {
    client_.disconnected(now());
    take_events();
}

net::task<void> hub_session::run() {
    if (std::exchange(is_begun_, true)) lose_connection();
    net::web_socket_limits limits;
    limits.message_bytes = session::message_max;
    limits.ping = hub_ping_after;
    limits.idle = hub_idle_max;
    limits.handshake = connect_timeout;
    limits.connect_from = connect_from;
    for (;;) {
        if (!client_.wants_connection(now())) {
            co_await outside_.clock.wait(news_, client_.deadline());
            continue;
        }
        client_.opening();
        auto opened = co_await net::web_socket_connect(outside_, url_, limits);
        if (opened) {
            unreachable_.clear();
            client_.connected(now());
            co_await converse(*opened.value());
        } else {
            unreachable_ = opened.error();
            open_.notify();
        }
        lose_connection();
    }
}

net::task<void> hub_session::converse(net::web_socket& with) {
    co_await net::until_one_ends(receive(with), send(with));
}

net::task<void> hub_session::receive(net::web_socket& with) {
    for (;;) {
        auto const message = co_await with.receive();
        if (!message || !message.value() || message.value()->is_text) co_return;
        if (!client_.received(message.value()->bytes, now())) co_return;
        take_events();
        news_.notify();
    }
}

net::task<void> hub_session::send(net::web_socket& with) {
    for (auto next_look = now();;) {
        if (now() >= next_look) {
            look_at_transfers();
            next_look = now() + tick_interval;
        }
        while (auto const message = client_.next_message(now()))
            if (!co_await with.send(*message)) co_return;
        take_events();
        if (now() >= client_.deadline() && !client_.wake(now())) co_return;
        co_await outside_.clock.wait(news_, std::min(client_.deadline(), next_look));
    }
}

/// Those that move, or could, each time; of the others, which seed and have nobody connected, as many as make a round.
void hub_session::look_at_transfers() {
    for (auto at = moving_.begin(); at != moving_.end();) {
        auto const found = transfers_.find(*at);
        bool const is_over = found == transfers_.end() || found->second->is_quiet();
        if (found != transfers_.end()) look_at(*found->second);
        at = is_over ? moving_.erase(at) : std::next(at);
    }
    auto next = transfers_.upper_bound(looked_at_);
    for (auto left = std::min(transfers_.size(), std::max(looks_least, transfers_.size() / looks_per_round)); left > 0;
         --left) {
        if (next == transfers_.end()) next = transfers_.begin();
        auto& [torrent, each] = *next++;
        looked_at_ = torrent;
        if (!each->is_quiet() && !moving_.insert(torrent).second) continue;
        look_at(*each);
    }
}

/// Tells the client what has changed since the last look.
void hub_session::look_at(transfer const& which) {
    auto const torrent = which.content().swarm_hash();
    client_.has_now(torrent, which.have());
    auto const status = which.status();
    session::traffic const traffic{status.uploaded, status.downloaded, static_cast<std::uint64_t>(status.upload_rate),
                                   static_cast<std::uint64_t>(status.download_rate)};
    std::vector<session::served> serving;
    for (auto const& peer : which.peers()) {
        auto const rate = static_cast<std::uint64_t>(peer.upload_rate);
        if (peer.uploaded == 0 || (peer.choking && rate == 0)) continue;
        serving.push_back({peer.listens_at.port != 0 ? peer.listens_at : peer.remote, peer.uploaded, rate});
    }
    client_.update(torrent, traffic, std::move(serving));
}

void hub_session::join(std::shared_ptr<transfer> which) {
    auto const& content = which->content();
    auto const torrent = content.swarm_hash();
    auto const status = which->status();
    if (!client_.join(torrent, content.pieces().total_size(), which->have(),
                      {status.uploaded, status.downloaded, 0, 0}))
        return;  // more torrents than a session holds: the others only announce
    // The hub names its members as they come: nobody else need be served. Other trackers with passkeys do not.
    if (announce::passkey_of(url_)) which->serve_members_only();
    transfers_[torrent] = std::move(which);
    moving_.insert(torrent);
    news_.notify();
}

bool hub_session::has_joined(info_hash const& torrent) const {
    return client_.has_joined(torrent);
}
bool hub_session::is_open() const noexcept {
    return client_.is_open();
}
std::map<endpoint, session::set_member> const& hub_session::peers(info_hash const& torrent) const {
    return client_.peers(torrent);
}

void hub_session::take_events() {
    namespace event = session::client_event;
    while (auto const happened = client_.next_event()) {
        if (std::holds_alternative<event::welcomed>(*happened) || std::holds_alternative<event::lost>(*happened)) {
            place_.reset();
            open_.notify();
        } else if (auto const* waiting = std::get_if<event::waiting>(&*happened)) {
            place_ = waiting->place;
            open_.notify();
        } else if (auto const* changed = std::get_if<event::set_changed>(&*happened)) {
            use_peers(changed->torrent);
        } else if (auto const* answered = std::get_if<event::answered>(&*happened)) {
            settle(answered->what, answered->torrent, success());
        } else if (auto const* refused = std::get_if<event::refused>(&*happened)) {
            refusal_ = refused->reason;
            settle(refused->what, refused->torrent, errc::hub_refused);
            if (refused->what == session::request::hello) open_.notify();
        }
        if (on_event) on_event(*happened);
    }
}

/// Who uploaded least is asked first; who may have something for us, or wants something of us, is tried.
void hub_session::use_peers(info_hash const& torrent) {
    auto const found = transfers_.find(torrent);
    if (found == transfers_.end()) return;
    auto& which = *found->second;
    std::vector<std::pair<endpoint, std::uint64_t>> uploaded;
    std::vector<endpoint> useful;
    bool const is_complete = which.have().all();
    for (auto const& [at, member] : client_.peers(torrent)) {
        uploaded.emplace_back(at, member.uploaded);
        if (!is_complete || !member.is_complete) useful.push_back(at);
    }
    which.learn_uploaded(uploaded);
    if (which.is_automatic()) which.connect(useful);
}

void hub_session::settle(session::request what, info_hash const& torrent, result<void> answer) {
    for (auto& each : questions_) {
        if (each.answer || each.what != what || each.torrent != torrent) continue;
        each.answer = answer;
        each.answered.notify();
        return;
    }
}

net::task<result<void>> hub_session::wait_for(session::request what, info_hash torrent) {
    questions_.push_back({what, torrent, net::signal{home_}, std::nullopt});
    auto const mine = std::prev(questions_.end());
    struct removal {
        std::list<question>& all;
        std::list<question>::iterator which;
        ~removal() { all.erase(which); }
    } const at_end{questions_, mine};
    news_.notify();
    auto const until = now() + hub_answer_timeout;
    while (!mine->answer && now() < until) co_await outside_.clock.wait(mine->answered, until);
    if (!mine->answer) co_return net::make_error_code(net::errc::timed_out);
    co_return *mine->answer;
}

net::task<result<void>> hub_session::opened(bool stays_in_line) {
    auto until = now() + hub_answer_timeout;
    refusal_.clear();
    unreachable_.clear();
    while (!client_.is_open() && refusal_.empty() && !unreachable_ && now() < until) {
        if (place_ && !stays_in_line) break;
        bool const is_in_line = place_.has_value();
        co_await outside_.clock.wait(open_, is_in_line ? time_point::max() : until);
        if (is_in_line) until = now() + hub_answer_timeout;
    }
    open_.notify();  // whoever asks besides us
    if (client_.is_open() || (place_ && !stays_in_line)) co_return success();
    if (unreachable_) co_return unreachable_;
    if (!refusal_.empty()) co_return errc::hub_refused;
    co_return net::make_error_code(net::errc::timed_out);
}

net::task<result<void>> hub_session::ask_status(info_hash torrent) {
    if (auto const found = transfers_.find(torrent); found != transfers_.end()) look_at(*found->second);
    client_.ask_status(torrent);
    co_return co_await wait_for(session::request::status, torrent);
}
net::task<result<void>> hub_session::ask_peers(info_hash torrent) {
    client_.ask_peers(torrent);
    co_return co_await wait_for(session::request::peers, torrent);
}
net::task<result<void>> hub_session::leave(info_hash torrent, bool quits) {
    bool const is_heard = client_.is_open();
    client_.leave(torrent, quits);
    transfers_.erase(torrent);
    if (!is_heard) co_return success();
    co_return co_await wait_for(session::request::leave, torrent);
}
net::task<result<void>> hub_session::publish(info_hash torrent, std::shared_ptr<byte_vector const> metainfo) {
    if (auto const taken = client_.publish(torrent, std::move(metainfo)); !taken) co_return taken.error();
    co_return co_await wait_for(session::request::publish, torrent);
}
net::task<result<void>> hub_session::unpublish(info_hash torrent) {
    bool const is_heard = client_.is_open();
    client_.unpublish(torrent);
    if (!is_heard) co_return success();
    co_return co_await wait_for(session::request::unpublish, torrent);
}
}  // namespace shoal::engine
