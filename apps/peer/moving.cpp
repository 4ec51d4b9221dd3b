module;
#include <algorithm>
#include <boost/json/object.hpp>
#include <chrono>
#include <coroutine>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "core/try.hpp"

module peer;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.hash;
import shoal.metainfo;
import shoal.net;
import shoal.options;
import shoal.store;
import :moving;

namespace shoal::cli {
namespace {
/// Threads that hash and write: one for each core, and one more, since no torrent is given all of them.
std::size_t worker_count() {
    return std::max(2u, std::thread::hardware_concurrency()) + 1;
}

std::filesystem::path dht_state_path(transfer_options const& options) {
    return options.state / "dht";
}

/// What the DHT knew at the end of an earlier run; nothing when that is not there, or is no file of ours.
byte_vector read_dht_state(transfer_options const& options) {
    constexpr std::uintmax_t bytes_max = 1u << 20;
    std::error_code error;
    auto const path = dht_state_path(options);
    auto const size = std::filesystem::file_size(path, error);
    if (error || size > bytes_max) return {};
    byte_vector content(size);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(content.data()), static_cast<std::streamsize>(size));
    content.resize(static_cast<std::size_t>(file.gcount()));
    return content;
}

/// Where connections are made from, if the user said where to listen.
std::optional<ip_address> outgoing_from(transfer_options const& options) {
    if (options.listen.address.is_unspecified()) return std::nullopt;
    return options.listen.address;
}

engine::node_settings node_settings_from(transfer_options const& options, output& out) {
    engine::node_settings settings;
    settings.upload_limit = options.upload_limit;
    settings.download_limit = options.download_limit;
    settings.outgoing_from = outgoing_from(options);
    settings.dht = options.dht;
    settings.local_discovery = options.lsd;
    settings.utp = options.utp;
    settings.scrub_interval = options.scrub;
    settings.dht_routers = options.dht_routers;
    if (settings.dht_routers.empty())
        for (auto const& [host, port] : usual_dht_routers) settings.dht_routers.push_back({std::string{host}, port});
    if (settings.dht) settings.dht_state = read_dht_state(options);
    settings.on_failure = [&out](std::string_view task, std::exception_ptr const& why) {
        try {
            std::rethrow_exception(why);
        } catch (std::exception const& thrown) {
            out.note(escaped(task) + " failed: " + escaped(thrown.what()));
        }
    };
    return settings;
}

/// One journal for each torrent and place, so that several copies on one machine do not meet.
std::filesystem::path journal_path(transfer_options const& options, metainfo::torrent const& content,
                                   std::filesystem::path const& directory) {
    auto const place = to_hex(hash::sha1_of(as_bytes(directory.string())).view().first(8));
    return options.state / (to_hex(content.swarm_hash().view()) + "-" + place + ".journal");
}

std::string rate_text(double bytes_per_second) {
    return size_text(static_cast<std::uint64_t>(bytes_per_second)) + "/s";
}
}  // namespace

bool asks_too_much(transfer_options const& options, output& out) {
    if (options.encryption != encryption::require) return false;
    out.fail(exit_status::failed, "--encryption require: connections cannot be encrypted yet");
    return true;
}

bool is_for_members(std::vector<std::string> const& trackers) {
    return std::ranges::any_of(trackers, [](auto const& url) { return announce::passkey_of(url).has_value(); });
}

void tell(output& out, std::string const& name, engine::event::peer_joined const& joined) {
    if (!out.json()) return;
    out.event("peer", {{"name", name}, {"address", joined.remote.to_string()}, {"state", "joined"}});
}

void tell(output& out, std::string const& name, engine::event::peer_left const& left) {
    if (!out.json()) return;
    out.event(
        "peer",
        {{"name", name}, {"address", left.remote.to_string()}, {"state", "left"}, {"reason", left.why.message()}});
}

void tell(output& out, engine::event::announced const& answer) {
    auto const url = announce::without_secrets(answer.url);
    out.event("announce", {{"url", url}, {"peers", answer.peers}});
    if (!answer.warning.empty()) out.note("tracker " + escaped(url) + " warns: " + escaped(answer.warning));
}

void tell(output& out, engine::event::announce_failed const& answer) {
    out.note("tracker " + escaped(announce::without_secrets(answer.url)) + ": " + escaped(answer.why));
}

void tell(output& out, engine::event::dht_searched const& search) {
    out.event("dht", {{"nodes", search.nodes}, {"told", search.told}, {"peers", search.peers}});
}

exit_status status_of(std::error_code why) {
    if (why == store::errc::no_space || why == store::errc::read_only || why == store::errc::foreign_file ||
        why == store::errc::not_a_file || why == store::errc::symbolic_link || why == std::errc::permission_denied ||
        why == std::errc::read_only_file_system)
        return exit_status::not_writable;
    if (why == store::errc::missing_file || why == std::errc::no_such_file_or_directory) return exit_status::not_found;
    if (why == store::errc::hashes_disagree) return exit_status::mismatch;
    if (why == engine::errc::stopped) return exit_status::incomplete;
    return exit_status::failed;
}

mover::mover(transfer_options const& options, output& output)
    : out(output),
      options_(options),
      context_(1),
      environment_(context_.get_executor(), worker_count()),
      node_(environment_.get(), context_.get_executor(), node_settings_from(options, out)),
      news_(context_.get_executor()),
      signals_(context_.get_executor(), SIGINT, SIGTERM),
      sessions_(context_.get_executor()) {}

std::unique_ptr<engine::hub_session> mover::make_session(std::string url) {
    auto made = std::make_unique<engine::hub_session>(outside(), home(), node_.id(), listening ? listening->port : 0,
                                                      engine::node_settings{}.client, std::move(url));
    made->connect_from = outgoing_from(options_);
    return made;
}

mover::~mover() = default;

int mover::run(std::function<net::task<int>(mover&)> command) {
    int status = static_cast<int>(exit_status::failed);
    std::exception_ptr broken;
    auto const all = [&]() -> net::task<void> {
        try {
            status = co_await command(*this);
        } catch (...) {
            broken = std::current_exception();
        }
        is_ending_ = true;
        signals_.cancel();
        sessions_.cancel();
        co_await sessions_.join();
        save_dht_state();
        co_await node_.stop();
    };
    net::task_group tasks{context_.get_executor()};
    tasks.on_failure = [&](std::string_view, std::exception_ptr const& why) { broken = why; };
    tasks.spawn("signals", watch_signals());
    tasks.spawn("command", all());
    context_.run();
    if (broken) std::rethrow_exception(broken);
    return status;
}

net::task<void> mover::watch_signals() {
    for (;;) {
        auto const [error, number] = co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) co_return;
        if (number != SIGINT || !on_interrupt || !on_interrupt()) break;
    }
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    stopped = true;
    stopping.request_stop();
    wake();
    if (is_ending_) co_return;  // nobody would end the wait
    // A second one that came before the default was back is still in the queue.
    auto const [error, second] = co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
    if (!error) std::raise(second);
}

/// Members are told of by their hub alone.
bool mover::may_be_public(std::vector<std::vector<std::string>> const& tiers) const {
    return !is_for_members(options_.trackers) && std::ranges::none_of(tiers, is_for_members);
}

void mover::save_dht_state() {
    auto const state = node_.dht_nodes() > 0 ? node_.dht_state() : byte_vector{};
    if (state.empty()) return;
    try {
        std::filesystem::create_directories(options_.state);
        options::atomic_file{dht_state_path(options_)}.commit(state);
    } catch (std::exception const& why) {
        out.note("what the DHT knows is not kept: " + escaped(why.what()));
    }
}

void mover::listen() {
    if (listening) return;
    auto const bound = node_.listen(options_.listen);
    if (!bound)
        throw failure{exit_status::failed,
                      "cannot listen on " + options_.listen.to_string() + ": " + bound.error().message()};
    listening = bound.value();
    if (auto const why = node_.datagram_trouble())
        out.note("no UDP port " + listening->to_string() + ", and so no DHT and no uTP: " + why.message());
    out.event("listening", {{"address", listening->to_string()}});
    out.note("listening on " + listening->to_string());
}

result<std::shared_ptr<watched>> mover::add(std::shared_ptr<metainfo::torrent const> content,
                                            std::filesystem::path const& directory, moved_as how) {
    auto added = std::make_shared<watched>();
    std::error_code ignored;
    auto const place = std::filesystem::weakly_canonical(std::filesystem::absolute(directory), ignored);
    engine::transfer_options options;
    options.storage.directory = place;
    options.storage.writable = how.writable;
    if (how.names)
        options.storage.names = *std::move(how.names);
    else if (!how.writable)
        options.storage.names = names_in(place, *content);
    options.storage.journal = journal_path(options_, *content, place);
    options.connect = options_.connect;
    options.connect.insert(options.connect.end(), how.peers.begin(), how.peers.end());
    options.hearsay = std::move(how.hearsay);
    options.trackers = options_.trackers;
    options.members_only = how.members_only;
    options.wanted_files = std::move(how.wanted_files);
    options.sequential = how.sequential;
    options.by_hand = how.by_hand;
    options.is_hashed = how.is_hashed;
    options.peers_max = options_.peers_max;
    options.is_public = may_be_public(content->trackers());
    options.peer_exchange = options_.pex;
    options.on_event = [this, which = added.get()](engine::transfer_event const& happened) {
        on_event(*which, happened);
    };
    added->content = content;
    SHOAL_TRY(added->transfer, node_.add(content, std::move(options)));
    watched_.push_back(added);
    return added;
}

engine::hub_session& mover::hold_session(std::string const& url, std::shared_ptr<engine::transfer> which) {
    auto& hub = hubs_[url];
    if (!hub) {
        hub = make_session(url);
        sessions_.spawn_lasting("hub session", outside().clock, [&session = *hub] { return session.run(); });
    }
    if (which && !hub->has_joined(which->content().swarm_hash()))
        sessions_.spawn("join", join_when_checked(*hub, std::move(which)));
    return *hub;
}

net::task<void> mover::join_when_checked(engine::hub_session& hub, std::shared_ptr<engine::transfer> which) {
    if (!co_await which->checked()) co_return;
    if (!hub.has_joined(which->content().swarm_hash())) hub.join(which);
}

net::task<void> mover::quit_at_hubs(info_hash torrent) {
    for (auto const& [url, hub] : hubs_)
        if (hub->has_joined(torrent)) (void)co_await hub->leave(torrent, true);
}

namespace {
net::task<void> note_end(net::task<void> work, bool& has_ended) {
    co_await std::move(work);
    has_ended = true;
}
}  // namespace

net::task<bool> mover::ends_before_stop(net::task<void> work) {
    bool has_ended = false;
    std::exception_ptr failure;
    net::task_group group{home()};
    group.on_failure = [&failure](std::string_view, std::exception_ptr const& why) { failure = why; };
    group.spawn("until a signal", note_end(std::move(work), has_ended));
    std::stop_callback const on_stop{stopping.get_token(), [&group] { group.cancel(); }};
    co_await group.join();
    if (failure) std::rethrow_exception(failure);
    co_return has_ended;
}

net::task<void> mover::wait(std::chrono::milliseconds length) {
    auto& clock = environment_.get().clock;
    co_await clock.wait(news_, clock.now() + length);
}

void mover::on_event(watched& which, engine::transfer_event const& happened) {
    namespace event = engine::event;
    if (observer) return observer(happened);
    auto const name = escaped(which.content->name());
    if (auto const* piece = std::get_if<event::piece_verified>(&happened)) {
        if (out.json()) out.event("piece", {{"name", which.content->name()}, {"piece", to_number(piece->piece)}});
    } else if (auto const* bad = std::get_if<event::piece_rejected>(&happened)) {
        out.note(name + ": piece " + std::to_string(to_number(bad->piece)) + " failed its hash and is fetched again");
    } else if (auto const* decayed = std::get_if<event::piece_decayed>(&happened)) {
        out.note(name + ": the disk has lost some of piece " + std::to_string(to_number(decayed->piece)));
    } else if (auto const* joined = std::get_if<event::peer_joined>(&happened)) {
        which.was_reached = true;
        tell(out, which.content->name(), *joined);
    } else if (auto const* left = std::get_if<event::peer_left>(&happened)) {
        tell(out, which.content->name(), *left);
    } else if (std::holds_alternative<event::completed>(happened)) {
        which.is_complete = true;
        wake();
    } else if (auto const* failed = std::get_if<event::failed>(&happened)) {
        out.note(name + ": " + failed->why.message());
        wake();
    } else if (std::holds_alternative<event::recovered>(happened)) {
        out.note(name + ": goes on");
    } else if (auto const* announced = std::get_if<event::announced>(&happened)) {
        which.was_reached = true;
        auto const hub =
            announced->session.empty() ? std::nullopt : engine::session_url(announced->url, announced->session);
        if (hub && !is_ending_) hold_session(*hub, which.transfer);
        tell(out, *announced);
    } else if (auto const* searched = std::get_if<event::dht_searched>(&happened)) {
        bool const has_no_tracker = options_.trackers.empty() && which.content->trackers().empty();
        which.was_reached = which.was_reached || (has_no_tracker && searched->nodes > 0);
        tell(out, *searched);
    } else if (auto const* refused = std::get_if<event::announce_failed>(&happened)) {
        if (refused->why.starts_with(announce::not_permitted)) {
            which.was_kept_out = true;
            if (which.transfer) which.transfer->keep_to_trackers();  // it is for members
        }
        tell(out, *refused);
    }
}

void mover::show_progress(std::vector<std::shared_ptr<watched>> const& all) {
    std::uint64_t total = 0, left = 0, downloaded = 0, uploaded = 0;
    double down = 0, up = 0;
    std::size_t peers = 0;
    bool is_checking = false;
    std::uint32_t checked = 0, pieces = 0;
    for (auto const& each : all) {
        auto const status = each->transfer->status();
        total += status.bytes_total;
        left += status.bytes_left;
        down += status.download_rate;
        up += status.upload_rate;
        peers += status.peers;
        checked += status.pieces_checked;
        pieces += status.pieces_total;
        is_checking = is_checking || status.state == engine::transfer_state::checking;
        downloaded += status.downloaded;
        uploaded += status.uploaded;
    }
    boost::json::object const fields{{"bytes_total", total},
                                     {"bytes_left", left},
                                     {"downloaded", downloaded},
                                     {"uploaded", uploaded},
                                     {"download_rate", static_cast<std::uint64_t>(down)},
                                     {"upload_rate", static_cast<std::uint64_t>(up)},
                                     {"peers", peers},
                                     {"pieces_checked", checked}};
    if (is_checking) {
        out.progress("checking what is there: piece " + std::to_string(checked) + " of " + std::to_string(pieces),
                     fields);
        return;
    }
    auto const percent = total == 0 ? 100 : (total - left) * 100 / total;
    std::string line = std::to_string(percent) + "% of " + size_text(total) + ", down " + rate_text(down) + ", up " +
                       rate_text(up) + ", " + std::to_string(peers) + (peers == 1 ? " peer" : " peers");
    if (left > 0 && down > 1)
        line += ", " + std::to_string(static_cast<std::uint64_t>(static_cast<double>(left) / down) + 1) + " s left";
    out.progress(line, fields);
}
}  // namespace shoal::cli
