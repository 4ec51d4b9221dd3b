module;
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.hub;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.session;
import :parts;

namespace shoal::hub {
namespace {
/// Ports to try where the system chose one for TCP that is in use for UDP.
constexpr int port_tries = 16;
/// Datagrams that are answered together: one system call each way.
constexpr std::size_t batch_max = 64;
constexpr std::chrono::milliseconds expiry_step{100};
/// Wait after a failure to receive.
constexpr auto receive_again_after = std::chrono::seconds{1};

secrets draw(net::random& random) {
    secrets drawn;
    for (auto* const key : {&drawn.tables, &drawn.connections, &drawn.meter})
        for (auto& word : *key) word = random.next();
    drawn.seed = random.next();
    return drawn;
}
/// A session is pinged after so long without a byte, and given up after the second. Source: docs/hub-protocol.md,
/// "Rules".
constexpr auto session_ping_after = std::chrono::seconds{20};
constexpr auto session_idle_max = std::chrono::seconds{60};
/// How often the monitor gathers what is new.
constexpr auto monitor_step = std::chrono::milliseconds{500};
/// How often the counters are written down: what a crash loses of them.
constexpr auto counters_step = std::chrono::minutes{1};
/// How often the catalogue is told that owners are there: seldom beside the days that it keeps them, as each is a
/// write.
constexpr auto owners_step = std::chrono::hours{1};
/// How often the file of members is looked at: as long as somebody who was taken out may still be in.
constexpr auto members_step = std::chrono::seconds{2};
/// Entries that are read at once when the catalogue is opened.
constexpr std::size_t entries_at_once = 1000;

roster_limits roster_limits_of(settings const& how) {
    auto limits = how.nodes;
    limits.announced_lifetime = peer_lifetime(how);
    return limits;
}

std::string boot_name(net::random& random) {
    std::array<std::byte, 4> bytes;
    random.fill(bytes);
    return to_hex(bytes);
}
}  // namespace

hub_parts::hub_parts(net::environment& environment, settings how)
    : outside(environment),
      core(std::move(how), draw(outside.random)),
      nodes(roster_limits_of(core.how()), {outside.random.next(), outside.random.next()}),
      watch(nodes, boot_name(outside.random), core.how().started_at, outside.clock.now()) {
    watch.nodes_max = core.how().nodes.sessions_max;
    watch.version = core.how().version;
    nodes.pieces_known = [this](info_hash const& torrent) {
        auto const known = watch.shared.find(torrent);
        return known == watch.shared.end() ? 0 : known->second.pieces;
    };
    core.completed_ever = [this](info_hash const& torrent) -> std::uint64_t {
        auto const known = watch.shared.find(torrent);
        return known == watch.shared.end() ? 0 : known->second.completed;
    };
    core.on_announce = [this](announce::announce_request const& request, endpoint const& at, time_point when) {
        nodes.announced(request, at, when);
    };
}

hub::hub(net::environment& outside, settings how) : parts_(std::make_unique<hub_parts>(outside, std::move(how))) {}
hub::~hub() = default;
std::vector<endpoint> const& hub::bound() const noexcept {
    return parts_->bound;
}
counters hub::numbers() const {
    return parts_->all_counters();
}

result<endpoint> hub::listen(endpoint at) {
    for (int tries = 1;; ++tries) {
        auto opened = parts_->open(at);
        if (opened || at.port != 0 || tries == port_tries || opened.error() != std::errc::address_in_use) return opened;
    }
}

result<endpoint> hub_parts::open(endpoint const& at) {
    SHOAL_TRY(auto streams, outside.network.listen(at));  // nobody else can: a second tracker ends here
    auto const where = streams->local();
    std::vector<std::unique_ptr<net::datagram_socket>> datagrams;
    if (auto const threads = core.how().udp_threads; threads > 0) {
        SHOAL_TRY(datagrams, outside.network.open_datagram_threads(where, threads));
    } else {
        SHOAL_TRY(auto socket, outside.network.open_datagram(where));
        datagrams.push_back(std::move(socket));
    }
    doors.push_back({std::move(streams), std::move(datagrams)});
    bound.push_back(where);
    return where;
}

net::task<result<void>> hub::open() {
    if (parts_->shelves) co_return success();
    SHOAL_CO_TRY(co_await parts_->read_members());
    co_return co_await parts_->open_catalogue();
}

net::task<std::error_code> hub::run() {
    auto& own = *parts_;
    if (auto const opened = co_await open(); !opened) co_return opened.error();
    net::signal failed{co_await asio::this_coro::executor};
    struct running {
        hub_parts& own;
        ~running() {
            own.tasks = nullptr;
            own.failed = nullptr;
        }
    } const while_here{own};
    own.failed = &failed;
    own.failure = {};
    auto const answer = [&](net::http_request const& request) { return own.answer(request); };
    auto limits = own.core.how().http;
    // Sessions have places of their own.
    limits.connections += own.core.how().nodes.sessions_max;
    limits.web_socket.message_bytes = session::message_max;
    limits.web_socket.ping = session_ping_after;
    limits.web_socket.idle = session_idle_max;
    net::http_server server{own.outside, net::http_server::async_handler{answer}, limits};
    auto const serve = [&](net::task_group& group) -> net::task<void> {
        own.tasks = &group;
        auto has_failed = failed.wait();
        group.on_failure = [&own](std::string_view task, std::exception_ptr const&) {
            if (auto const& log = own.core.how().log) log(log_level::warning, "no memory for: " + std::string{task});
        };
        auto& clock = own.outside.clock;
        for (auto& [streams, datagrams] : own.doors) {
            auto const name = streams->local().to_string();
            group.spawn("http " + name, own.serve_http(server, std::move(streams)));
            for (auto& each : datagrams)
                group.spawn_lasting("udp " + name, clock, [&own, socket = std::shared_ptr{std::move(each)}] {
                    return own.serve_udp(*socket);
                });
        }
        own.doors.clear();
        group.spawn_lasting("time", clock, [&own] { return own.keep_time(); });
        group.spawn_lasting("catalogue", clock, [&own] { return own.keep_catalogue(); });
        group.spawn_lasting("members", clock, [&own] { return own.keep_members(); });
        co_await std::move(has_failed);
    };
    co_await net::in_task_group(serve);
    co_return own.failure;
}

net::task<void> hub::save() {
    if (!parts_->shelves) co_return;
    parts_->refresh_monitor();  // who completed since the last time
    co_await parts_->save_counters();
}

void hub_parts::fail(std::error_code why) {
    failure = why;
    if (failed != nullptr) failed->notify();
}

net::task<void> hub_parts::serve_http(net::http_server& server, std::unique_ptr<net::listener> at) {
    std::error_code why = std::make_error_code(std::errc::not_enough_memory);
    try {
        why = co_await server.serve(std::move(at));
    } catch (std::bad_alloc const&) {}  // before it served anybody: its listener is gone
    fail(why);
}

net::task<void> hub_parts::serve_udp(net::datagram_socket& socket) {
    struct reply {
        endpoint to;
        std::size_t begin;
        std::size_t length;
    };
    // On the heap: sanitizers do not see into coroutine frames.
    std::vector<net::datagram> in(batch_max);
    std::vector<net::datagram> out;
    std::vector<reply> replies;
    byte_vector bytes;
    for (;;) {
        auto const received = co_await socket.receive(in);
        if (!received && received.error() == net::errc::closed) co_return fail(received.error());
        if (!received) {  // no memory, for example: it may pass
            co_await outside.clock.sleep(receive_again_after);
            continue;
        }
        auto const now = outside.clock.now();
        bytes.clear();
        replies.clear();
        for (auto const& packet : std::span{in}.first(received.value())) {
            auto const begin = bytes.size();
            core.answer(packet, now, bytes);
            if (bytes.size() != begin) replies.push_back({packet.peer, begin, bytes.size() - begin});
        }
        out.clear();
        for (auto const& [to, begin, length] : replies) out.push_back({to, byte_view{bytes}.subspan(begin, length)});
        (void)socket.send(out);  // what the system does not take is lost, as datagrams may be: the client asks again
    }
}

net::task<void> hub_parts::keep_time() {
    auto watched_at = now();
    for (;;) {
        co_await outside.clock.sleep(expiry_step);
        auto const at = now();
        core.expire(at);
        forget_ended();
        nodes.tick(at);
        settle();
        if (at - watched_at < monitor_step) continue;
        watched_at = at;
        refresh_monitor();
    }
}

void hub_parts::refresh_monitor() {
    auto happened = nodes.take_happenings();
    if (auto const& log = core.how().log; log)
        for (auto const& each : happened) log(log_level::info, each.text);
    for (auto const& each : happened) {
        if (each.kind != "completed" || !each.torrent) continue;
        auto const shared = watch.shared.find(*each.torrent);
        if (shared == watch.shared.end()) continue;
        ++shared->second.completed;
        completed.emplace_back(*each.torrent, 1);
    }
    watch.update(nodes.take_touched(), std::move(happened), numbers(), now());
    if (std::exchange(told, watch.last()) == watch.last()) return;
    for (auto* each : listeners) each->notify();
}

monitor_numbers hub_parts::numbers() const {
    auto const counted = all_counters();
    return {counted.peers.peers_v4 + counted.peers.peers_v6, counted.peers.torrents, counted.http_announces,
            counted.udp_announces, counted.not_permitted};
}

counters hub_parts::all_counters() const {
    auto counted = core.numbers();
    auto const earlier = [this](std::string_view name) {
        auto const found = before.find(name);
        return found == before.end() ? 0 : found->second;
    };
    counted.http_announces += earlier("http_announces");
    counted.udp_announces += earlier("udp_announces");
    counted.http_scrapes += earlier("http_scrapes");
    counted.udp_scrapes += earlier("udp_scrapes");
    return counted;
}

wall_time hub_parts::wall_seconds() const {
    return wall_time{std::chrono::floor<std::chrono::seconds>(std::chrono::milliseconds{watch.wall(now())})};
}

net::task<result<void>> hub_parts::open_catalogue() {
    auto const home = co_await asio::this_coro::executor;
    auto const file = core.how().catalogue.empty() ? std::filesystem::path{":memory:"} : core.how().catalogue;
    std::optional<result<catalogue>> opened;
    std::vector<catalogue_entry> entries;
    std::error_code failure_of_reading;
    co_await net::on_pool(outside.workers, [&] {
        opened.emplace(catalogue::open(file));
        if (!*opened) return;
        std::optional<catalogue_position> after;
        do {
            auto page = opened->value().find("", entries_at_once, after);
            if (!page) {
                failure_of_reading = page.error();
                return;
            }
            for (auto& each : page.value().entries) entries.push_back(std::move(each));
            after = page.value().next;
        } while (after);
    });
    if (!*opened) co_return opened->error();
    if (failure_of_reading) co_return failure_of_reading;
    if (auto const& bad = opened->value().set_aside(); bad && core.how().log)
        core.how().log(log_level::warning, "the catalogue was damaged and is set aside: " + escaped(bad->string()));
    before = opened->value().counters();
    for (auto const& each : entries) share(each.swarm_hash, summary_of(each));
    shelves = std::make_unique<archive>(outside, home);
    shelves->adopt(std::move(opened->value()));
    co_return success();
}

/// Writes the counters down; now and then, that owners were heard of, and forgets those who were not for days.
net::task<void> hub_parts::keep_catalogue() {
    auto looked_at = now();
    for (;;) {
        co_await outside.clock.sleep(counters_step);
        co_await save_counters();
        if (now() - looked_at < owners_step) continue;
        looked_at = now();
        auto const at = wall_seconds();
        std::set<std::string> owners;
        for (auto const& [number, each] : nodes.nodes())
            if (each.is_session) owners.insert(owner_of(each.member_name, each.at));
        auto const forgotten = co_await shelves->call<bool>([&owners, at](catalogue& in) {
            for (auto const& each : owners)
                if (!in.touch(each, at)) return false;
            auto const dropped = in.forget(at);
            return dropped && dropped.value() > 0;
        });
        if (forgotten) co_await reload_shared();
    }
}

net::task<void> hub_parts::keep_members() {
    if (core.how().members.empty() || core.entrance.is_open(room::all)) co_return;
    for (bool was_bad = false;;) {
        co_await outside.clock.sleep(members_step);
        auto const read = co_await read_members();
        if (!read && !was_bad && core.how().log)
            core.how().log(log_level::warning, "the members stay as they were: " + read.error().message());
        was_bad = !read;
    }
}

net::task<void> hub_parts::reload_shared() {
    std::set<info_hash> kept;
    std::optional<catalogue_position> after;
    do {
        auto page = co_await shelves->call<result<catalogue_page>>(
            [&after](catalogue& in) { return in.find("", entries_at_once, after); });
        if (!page) co_return;
        for (auto const& each : page.value().entries) kept.insert(each.swarm_hash);
        after = page.value().next;
    } while (after);
    std::erase_if(watch.shared, [&](auto const& each) {
        if (kept.contains(each.first)) return false;
        watch.changed(each.first);
        return true;
    });
}

net::task<void> hub_parts::save_counters() {
    auto const counted = all_counters();
    saved_counters const totals{{"http_announces", counted.http_announces},
                                {"udp_announces", counted.udp_announces},
                                {"http_scrapes", counted.http_scrapes},
                                {"udp_scrapes", counted.udp_scrapes}};
    auto const news = std::exchange(completed, {});
    auto const saved =
        co_await shelves->call<result<void>>([&](catalogue& in) { return in.save_counters(totals, news); });
    if (!saved) {
        completed.insert(completed.end(), news.begin(), news.end());
        if (core.how().log) core.how().log(log_level::warning, "cannot save the counters: " + saved.error().message());
    }
}
}  // namespace shoal::hub
