module;
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

module shoal.hub:parts;
import shoal.asio;
import shoal.core;
import shoal.net;
import :catalogue;
import :monitor;
import :roster;
import :service;

// The catalogue as coroutines use it: on the worker pool, one call at a time.

namespace shoal::hub {
class archive {
public:
    archive(net::environment& outside, asio::any_io_executor home) : outside_(outside), home_(std::move(home)) {}

    void adopt(catalogue opened) { catalogue_.emplace(std::move(opened)); }
    /// Runs `work` when it is its turn; what it refers to stays alive until the return, cancelled or not.
    template <class Result>
    net::task<Result> call(std::function<Result(catalogue&)> work) {
        turn const mine{*this};
        while (waiting_.front() != &mine.go) co_await mine.go->wait();
        std::optional<Result> answer;
        co_await net::on_pool(outside_.workers, [&] { answer.emplace(work(*catalogue_)); });
        co_return std::move(*answer);
    }

private:
    using go_signal = std::unique_ptr<net::signal>;
    struct turn {
        explicit turn(archive& of) : owner(of), go(std::make_unique<net::signal>(of.home_)) {
            owner.waiting_.push_back(&go);
        }
        turn(turn const&) = delete;
        turn& operator=(turn const&) = delete;
        ~turn() {
            owner.waiting_.remove(&go);
            if (!owner.waiting_.empty()) (*owner.waiting_.front())->notify();
        }
        archive& owner;
        go_signal go;
    };

    net::environment& outside_;
    asio::any_io_executor home_;
    std::optional<catalogue> catalogue_;
    std::list<go_signal const*> waiting_;  // the first has its turn
};
}  // namespace shoal::hub

// What a running hub is made of. Only implementation units of this room import it.

namespace shoal::hub {
/// One address, open for both protocols.
struct door {
    std::unique_ptr<net::listener> streams;
    std::vector<std::unique_ptr<net::datagram_socket>> datagrams;  // more than one share the address
};

struct held_session;

shared_torrent summary_of(catalogue_entry const& entry);
/// What the catalogue calls a sharer.
std::string owner_of(std::string const& member, endpoint const& at);

struct hub_parts {
    hub_parts(net::environment& environment, settings how);

    // Start and end: hub.cpp.
    result<endpoint> open(endpoint const& at);
    net::task<result<void>> open_catalogue();
    net::task<void> serve_http(net::http_server& server, std::unique_ptr<net::listener> at);
    net::task<void> serve_udp(net::datagram_socket& socket);
    net::task<void> keep_time();
    net::task<void> keep_catalogue();
    net::task<void> save_counters();
    net::task<void> reload_shared();
    void fail(std::error_code why);

    // What is asked by HTTP: hub_http.cpp.
    net::task<net::http_response> answer(net::http_request const& request);
    net::task<net::http_response> answer_api(std::string_view path, net::http_request const& request);
    net::http_response list_nodes(net::http_request const& request) const;
    net::task<net::http_response> list_torrents(net::http_request const& request);
    bool is_to_be_had(catalogue_entry const& entry) const;
    std::vector<info_hash> to_be_had(std::vector<catalogue_entry> const& entries) const;
    net::task<net::http_response> show_torrent(info_hash torrent);
    net::task<net::http_response> hand_out(info_hash torrent, std::string announce_url);
    net::http_response stream_events(net::http_request const& request);
    net::task<void> send_events(net::body_writer& to, std::string last_id, member_card card);
    net::http_response begin_session(net::http_request const& request);

    // Sessions and publishing: hub_sessions.cpp.
    net::task<void> hold_session(net::web_socket& with, member_card card);
    /// Takes it out of the roster; where there is no memory for that, with the next one, or the next tick.
    void end_session(session_id which) noexcept;
    void forget_ended();
    /// Reads the members anew; the sessions of those who are none any more are ended.
    net::task<result<void>> read_members();
    net::task<void> keep_members();
    net::task<void> publish(publish_order order);
    /// After anything happened in the roster: wakes writers, starts publications, tells the registry.
    void settle();
    void refresh_monitor();
    void share(info_hash const& torrent, shared_torrent what);

    monitor_numbers numbers() const;
    counters all_counters() const;
    time_point now() const { return outside.clock.now(); }
    wall_time wall_seconds() const;

    net::environment& outside;
    service core;
    roster nodes;
    monitor watch;
    std::unique_ptr<archive> shelves;
    saved_counters before;  // of earlier runs
    completed_downloads completed;
    std::vector<door> doors;
    std::vector<endpoint> bound;
    net::task_group* tasks = nullptr;  // while `run` runs
    net::signal* failed = nullptr;     // the same
    std::error_code failure;
    std::map<session_id, held_session*> sessions;  // null: it has ended, and the roster has not heard of it
    std::list<net::signal*> listeners;             // pages that wait for news
    bool is_publishing = false;                    // one at a time: what waits is in the roster, which bounds it
    std::uint64_t told = 0;                        // the last event that they were woken for
};
}  // namespace shoal::hub
