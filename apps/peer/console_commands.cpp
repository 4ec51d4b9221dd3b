module;
#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <cstdio>
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

module peer;
import shoal.asio;
import shoal.console;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.session;
import :console;
import :moving;
import :output;
import :screen;

namespace shoal::cli {
namespace {
using console::peer_text;

/// `/auto_download` gives up when for so long no peer has offered a chunk that is missing, and nothing came.
constexpr auto nobody_patience = std::chrono::seconds{30};

std::string milliseconds_text(duration length) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.3f ms", std::chrono::duration<double, std::milli>(length).count());
    return text.data();
}

/// In a person's words, since the console says chunk for piece.
std::string chunk_trouble(std::error_code why) {
    if (why == engine::errc::piece_is_held) return "the chunk is here already";
    if (why == engine::errc::piece_is_busy) return "the chunk is being downloaded already";
    if (why == engine::errc::piece_not_offered) return "the peer does not have the chunk";
    if (why == engine::errc::piece_refused) return "the peer refuses to send the chunk";
    if (why == engine::errc::piece_is_bad || why == engine::errc::banned)
        return "the peer sent data that does not match the chunk's hash";
    if (why == engine::errc::disconnected || why == net::errc::closed) return "the connection ended";
    return why.message();
}
}  // namespace

net::task<void> hand_console::run_command(line command) {
    using console::command;
    switch (command.what) {
        case command::connect_peer:
            co_return co_await connect_peer(command.peer);
        case command::ping:
            co_return co_await ping(command.peer);
        case command::request_download:
            co_return co_await request_download(command.peer, std::move(command.name));
        case command::disconnect_peer:
            co_return co_await disconnect_peer(command.peer);
        case command::merge_chunks:
            co_return co_await merge_chunks(std::move(command.name));
        case command::auto_download:
            co_return co_await auto_download();
        case command::quit_torrent:
            co_return co_await net::uninterrupted(quit_torrent());  // not left half
        case command::connect_tracker:
            co_return co_await connect_tracker();
        case command::get_peer_set:
            co_return co_await get_peer_set();
        case command::update_status_to_tracker:
            co_return co_await update_status_to_tracker();
        case command::disconnect_tracker:
            co_return co_await net::uninterrupted(disconnect_tracker());
        case command::check_tracker_connected:
            co_return say(is_tracker_connected() ? "Peer is connected to tracker" : "Peer is not connected to tracker");
        case command::check_target_peer_connected:
            co_return say("Target " + peer_text(command.peer) +
                          (is_connected(command.peer) ? " is connected to current " : " is not connected to current ") +
                          me());
        case command::see_this_peer_info:
            co_return see_this_peer_info();
        case command::see_peer_set:
            co_return see_peer_set(command.all);
        case command::see_connected:
            co_return see_connected();
        case command::see_chunk_status:
            for (auto const& each : names_.status_lines(watched_->transfer->have(), command.all)) say(each);
            co_return;
        case command::help:
            for (auto const& each : console::help_lines()) say(each);
            co_return;
        case command::exit:
            co_return;
    }
}

std::optional<std::string> hand_console::tracker_url() const {
    for (auto const& url : options_.transfer.trackers)
        if (auto const hub = engine::session_url(url)) return hub;
    for (auto const& tier : content_->trackers())
        for (auto const& url : tier)
            if (auto const hub = engine::session_url(url)) return hub;
    return std::nullopt;
}

std::string hand_console::trouble(std::error_code why) const {
    if (why == engine::errc::hub_refused) return escaped(hub_ ? hub_->refusal() : std::string{});
    return why.message();
}

net::task<std::optional<std::string>> hand_console::open_tracker(bool stays_in_line) {
    auto const url = tracker_url();
    if (!url) co_return "neither the torrent nor --tracker names one by http or https";
    is_opening_ = true;
    if (is_in_line()) {
        say_place();
    } else {
        co_await drop_tracker();
        hub_ = with_.make_session(*url);
        hub_->on_event = [this](session::any_client_event const& happened) { on_hub_event(happened); };
        hub_->join(watched_->transfer);
        hub_task_.spawn("hub session", hub_->run());
    }
    auto opened = co_await hub_->opened(stays_in_line);
    if (is_tracker_connected()) opened = co_await hub_->ask_peers(content_->swarm_hash());
    is_opening_ = false;
    if (opened) co_return std::nullopt;
    auto why = trouble(opened.error());
    co_await drop_tracker();
    co_return why;
}

net::task<void> hand_console::connect_tracker() {
    if (is_tracker_connected()) co_return complain("Peer is connected to tracker already");
    if (auto const why = co_await open_tracker(true)) co_return complain("cannot connect to the tracker: " + *why);
    say("Tracker established connection to " + me());
}

net::task<void> hand_console::drop_tracker() {
    hub_task_.cancel();
    co_await hub_task_.join();
    hub_.reset();
}

net::task<void> hand_console::get_peer_set() {
    if (auto const told = co_await hub_->ask_peers(content_->swarm_hash()); !told)
        complain("the tracker did not send the peer set: " + trouble(told.error()));
}

net::task<void> hand_console::update_status_to_tracker() {
    auto const told = co_await hub_->ask_status(content_->swarm_hash());
    if (!told) co_return complain("the tracker did not take the status: " + trouble(told.error()));
    say("Tracker updated " + me() + " status");
}

/// Also ends the wait in line and the tries to come back, and the announces that `/auto_download` began.
net::task<void> hand_console::disconnect_tracker() {
    auto& transfer = *watched_->transfer;
    if (!hub_ && !transfer.is_announcing()) co_return complain("Peer is not connected to tracker");
    if (hub_) (void)co_await hub_->leave(content_->swarm_hash(), false);
    co_await drop_tracker();
    co_await transfer.stop_announcing();
    say(me() + " disconnected from tracker");
}

void hand_console::on_hub_event(session::any_client_event const& happened) {
    namespace event = session::client_event;
    if (std::holds_alternative<event::set_changed>(happened) || std::holds_alternative<event::answered>(happened))
        peer_set_ = hub_->peers(content_->swarm_hash());
    else if (std::holds_alternative<event::waiting>(happened))
        say_place();
    else if (std::holds_alternative<event::welcomed>(happened) && !is_opening_)
        say("Tracker established connection to " + me());
    else if (std::holds_alternative<event::lost>(happened))
        say("[TRACKER DISCONNECTED] connecting again");
}

void hand_console::say_place() {
    say("the tracker is full; place " + std::to_string(*hub_->place()) + " in line");
}

net::task<void> hand_console::connect_peer(endpoint peer) {
    if (is_connected(peer)) co_return complain(peer_text(peer) + " is connected already");
    greeting_ = peer;
    auto const connected = co_await watched_->transfer->connect_to(peer);
    greeting_.reset();
    if (!connected && connected.error() == engine::errc::own_connection)
        co_return complain(peer_text(peer) + " is this peer itself");
    if (!connected) co_return complain("cannot connect to " + peer_text(peer) + ": " + connected.error().message());
    say(peer_text(peer) + " established connection to " + me());
}

net::task<void> hand_console::ping(endpoint peer) {
    auto const trip = co_await watched_->transfer->ping(peer);
    if (trip) co_return say(peer_text(peer) + " received ping from " + me() + " in " + milliseconds_text(trip.value()));
    if (trip.error() == engine::errc::no_ping)
        co_return complain(peer_text(peer) + " is connected but cannot be pinged: it lacks Shoal's extension sl_ping");
    complain("no answer from " + peer_text(peer) + ": " + trip.error().message());
}

net::task<void> hand_console::request_download(endpoint peer, std::string chunk) {
    auto const piece = names_.find(chunk);
    if (!piece) co_return complain("no such chunk: " + escaped(chunk));
    requested_.insert(*piece);
    auto const got = co_await watched_->transfer->fetch_piece(peer, *piece);
    requested_.erase(*piece);
    if (!got)
        co_return complain("cannot download " + chunk + " from " + peer_text(peer) + ": " + chunk_trouble(got.error()));
    say("Chunk received successfully");
}

net::task<void> hand_console::disconnect_peer(endpoint peer) {
    auto const gone = co_await watched_->transfer->disconnect(peer);
    if (!gone) co_return complain("cannot disconnect from " + peer_text(peer) + ": " + gone.error().message());
    say(me() + " disconnected from " + peer_text(peer));
}

net::task<void> hand_console::quit_torrent() {
    has_quit_ = true;
    if (is_tracker_connected()) (void)co_await hub_->leave(content_->swarm_hash(), true);
    co_await drop_tracker();
    co_await watched_->transfer->stop();
    say(me() + " quit torrent");
}

net::task<void> hand_console::merge_chunks(std::string file) {
    auto const number = names_.find_file(file);
    if (!number) co_return complain("no such file: " + escaped(file));
    auto const merged = co_await watched_->transfer->finish_file(*number);
    if (merged) co_return say("Merge complete!");
    if (merged.error() != engine::errc::pieces_missing)
        co_return complain("cannot merge " + file + ": " + merged.error().message());
    std::vector<piece_index> missing;
    auto const span = content_->content().pieces_of(*number);
    for (auto i = span.first; i < span.first + span.count; ++i)
        if (!watched_->transfer->have().test(piece_index{i})) missing.push_back(piece_index{i});
    complain("missing chunks of " + file + ": " + names_.list(missing));
}

net::task<void> hand_console::auto_download() {
    auto& transfer = *watched_->transfer;
    auto& clock = with_.outside().clock;
    if (!is_tracker_connected() && tracker_url()) {
        auto const why = co_await open_tracker(false);
        if (is_in_line())
            say("going on without the tracker until it has a place");
        else
            say(why ? "going on without the tracker: " + *why : "Tracker established connection to " + me());
    }
    struct automatic {
        engine::transfer& of;
        explicit automatic(engine::transfer& which) : of(which) { of.set_automatic(true); }
        ~automatic() { of.set_automatic(false); }
    } const while_here{transfer};
    transfer.connect(known_peers());
    auto const is_offered = [&] {
        for (auto const& peer : transfer.peers())
            if (peer.pieces.size() > 0 && peer.pieces.has_beyond(transfer.have())) return true;
        return false;
    };
    auto pieces = transfer.status().pieces_have;
    auto bytes = transfer.status().downloaded;
    for (auto last_hope = clock.now();;) {
        auto const status = transfer.status();
        screen_->progress(std::to_string(status.pieces_have) + " of " + std::to_string(status.pieces_total) +
                          " chunks, " + size_text(static_cast<std::uint64_t>(status.download_rate)) + "/s from " +
                          std::to_string(status.peers) + (status.peers == 1 ? " peer" : " peers"));
        if (is_complete_) break;
        if (status.pieces_have != pieces || status.downloaded != bytes || is_offered()) last_hope = clock.now();
        pieces = status.pieces_have;
        bytes = status.downloaded;
        if (clock.now() - last_hope >= nobody_patience)
            co_return complain("nobody offers the missing chunks: " + names_.list(console::missing(transfer.have())));
        co_await clock.sleep(redraw_interval);
    }
    say("All " + std::to_string(transfer.status().pieces_total) + " chunks are here");
    say("Merge complete!");
}

void hand_console::see_this_peer_info() {
    auto const status = watched_->transfer->status();
    auto const& have = watched_->transfer->have();
    say("ip: " + self_.address.to_string());
    say("listen_port: " + std::to_string(self_.port));
    say("current chunks: " + names_.list(console::held(have)));
    say("missing chunks: " + names_.list(console::missing(have)));
    say("downloaded: " + std::to_string(status.downloaded));
    say("uploaded: " + std::to_string(status.uploaded));
}

/// This peer is in the set while it is connected to the tracker, which does not tell it of itself.
void hand_console::see_peer_set(bool all) {
    if (is_tracker_connected()) {
        auto const status = watched_->transfer->status();
        session::set_member self;
        self.at = self_;
        self.have = watched_->transfer->have();
        self.downloaded = status.downloaded;
        self.uploaded = status.uploaded;
        see_member("(this peer)", self, all);
    } else if (peer_set_.empty()) {
        say("the peer set is empty");
    }
    for (auto const& [at, member] : peer_set_) see_member(escaped(member.client), member, all);
}

void hand_console::see_member(std::string_view title, session::set_member const& member, bool all) {
    auto have = member.have;
    if (!have && member.is_complete) have.emplace(content_->pieces().piece_count(), true);
    say(peer_text(member.at).append(" ").append(title));
    say("  ip: " + member.at.address.to_string());
    say("  listen_port: " + std::to_string(member.at.port));
    say(have ? "  chunk_status:" : "  chunk_status: not told");
    if (have)
        for (auto const& each : names_.status_lines(*have, all)) say("    " + each);
    say("  downloaded: " + std::to_string(member.downloaded));
    say("  uploaded: " + std::to_string(member.uploaded));
}

void hand_console::see_connected() {
    auto const all = known_peers();
    if (all.empty()) say("no other peer is known");
    for (auto const& each : all) say(peer_text(each) + (is_connected(each) ? ": connected" : ": not connected"));
}

std::vector<endpoint> hand_console::known_peers() const {
    std::set<endpoint> all{introduced_};
    for (auto const& each : watched_->transfer->known_peers()) all.insert(each);
    for (auto const& [at, member] : peer_set_) all.insert(at);
    all.erase(self_);
    return {all.begin(), all.end()};
}
}  // namespace shoal::cli
