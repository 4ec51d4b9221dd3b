module;
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

/// What all commands share that move bytes or ask a hub: a node on an event loop, signals, events and the progress
/// line.
module peer:moving;
import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import :options;
import :output;

namespace shoal::cli {
/// Whether the options ask for what would be unsafe to leave out and is not built yet; it has been said then.
bool asks_too_much(transfer_options const& options, output& out);

/// Nodes of the DHT that others keep for newcomers.
inline constexpr std::pair<std::string_view, std::uint16_t> usual_dht_routers[] = {
    {"dht.libtorrent.org", 25401}, {"router.bittorrent.com", 6881}, {"dht.transmissionbt.com", 6881}};

/// Whether one of these trackers is for its members alone: its URL has a passkey.
bool is_for_members(std::vector<std::string> const& trackers);

/// Without a peer or a tracker that ever answered, a command that fetches gives up after this long.
inline constexpr auto unreachable_after = std::chrono::seconds{30};
/// And after this long where the one tracker wants a passkey: where there are more, another one may still answer.
inline constexpr auto kept_out_after = std::chrono::seconds{3};

/// How a tracker answered, as results and notes; without its passkey.
/// `name` is that of the content.
void tell(output& out, std::string const& name, engine::event::peer_joined const& joined);
void tell(output& out, std::string const& name, engine::event::peer_left const& left);
void tell(output& out, engine::event::announced const& answer);
void tell(output& out, engine::event::announce_failed const& answer);
/// How the DHT answered, as a result.
void tell(output& out, engine::event::dht_searched const& search);

/// The exit status that an error of the engine or the store deserves.
exit_status status_of(std::error_code why);

/// One transfer as the user sees it.
struct watched {
    std::shared_ptr<metainfo::torrent const> content;
    std::shared_ptr<engine::transfer> transfer;
    bool was_reached = false;   ///< A peer or a tracker answered.
    bool was_kept_out = false;  ///< A tracker wants a passkey, or another one.
    bool is_complete = false;
    std::optional<std::chrono::steady_clock::time_point> complete_since;
    std::optional<std::chrono::steady_clock::time_point> alone_since;  ///< Nobody is connected.
    bool was_told_alone = false;
};

/// How a torrent is moved. The default serves what is there.
struct moved_as {
    bool writable = false;               ///< Fetches what is missing.
    std::vector<bool> wanted_files;      ///< One for each file; empty: all.
    std::vector<endpoint> peers = {};    ///< To try first, besides those of the options.
    std::vector<endpoint> hearsay = {};  ///< Of whom others said that they take part.
    bool sequential = false;
    bool by_hand = false;
    bool members_only = false;                       ///< Serves only whom the hub has named, from the start.
    bool is_hashed = false;                          ///< The content was read a moment ago and need not be read again.
    std::optional<store::content_names> names = {};  ///< Of what is only read; nothing: by `names_in`.
};

/// Runs a node, and on it the coroutine that a command is, until that ends. A first SIGINT or SIGTERM sets `stopped`
/// and wakes it, a second one ends the program at once.
class mover {
public:
    mover(transfer_options const& options, output& out);
    ~mover();

    /// Runs `command` and then stops the node. Returns what the command returned.
    int run(std::function<net::task<int>(mover&)> command);

    /// Whether others than trackers may be told of a torrent with these trackers, besides those of the options.
    bool may_be_public(std::vector<std::vector<std::string>> const& tiers) const;
    /// Listens as the options say, and says so; unless it does already. Throws `failure`.
    void listen();
    /// Adds a torrent whose content is, or will be, below `directory`.
    result<std::shared_ptr<watched>> add(std::shared_ptr<metainfo::torrent const> content,
                                         std::filesystem::path const& directory, moved_as how = {});
    /// Runs `work`, and cancels it when a signal comes. True when it ended by itself; what it throws is handed on.
    net::task<bool> ends_before_stop(net::task<void> work);
    /// Waits at most `length`; returns early when something happened or a signal came.
    net::task<void> wait(std::chrono::milliseconds length);
    void wake() { news_.notify(); }
    /// Redraws the progress line and emits `progress` events.
    void show_progress(std::vector<std::shared_ptr<watched>> const& all);

    net::environment& outside() noexcept { return environment_.get(); }
    asio::any_io_executor home() noexcept { return context_.get_executor(); }
    engine::node& node() noexcept { return node_; }
    /// A session with the hub at this URL, for the caller to run.
    std::unique_ptr<engine::hub_session> make_session(std::string url);

    /// Holds a session with the hub at this URL (ws, wss) and takes part there with the transfer, once it is checked.
    engine::hub_session& hold_session(std::string const& url, std::shared_ptr<engine::transfer> which);
    /// Tells the hubs of all sessions that are held that this torrent, which was stopped, is no longer shared.
    net::task<void> quit_at_hubs(info_hash torrent);

    bool stopped = false;
    std::stop_source stopping;           ///< The same, for what works on other threads.
    std::optional<endpoint> listening;   ///< What `listen` bound.
    std::function<bool()> on_interrupt;  ///< Is asked first at SIGINT; true: it has dealt with it.
    engine::transfer_observer observer;  ///< Is told what happens, instead of the notes and events that others get.
    output& out;

private:
    net::task<void> watch_signals();
    void save_dht_state();
    net::task<void> join_when_checked(engine::hub_session& hub, std::shared_ptr<engine::transfer> which);
    void on_event(watched& which, engine::transfer_event const& happened);

    transfer_options const& options_;
    asio::io_context context_;
    net::system_environment environment_;
    engine::node node_;
    net::signal news_;
    asio::signal_set signals_;
    net::task_group sessions_;
    bool is_ending_ = false;                                            // no session begins any more
    std::map<std::string, std::unique_ptr<engine::hub_session>> hubs_;  // by URL
    std::vector<std::shared_ptr<watched>> watched_;                     // events come until the node has stopped
};

/// What a TARGET of the command line means.
struct found_target {
    std::shared_ptr<metainfo::torrent const> torrent;
    std::vector<endpoint> peers = {};                     ///< Of a magnet link: who was named.
    std::vector<endpoint> hearsay = {};                   ///< Of a magnet link: of whom others said so.
    std::vector<metainfo::index_range> select_only = {};  ///< Of a magnet link: the files it means; empty: all.
};
/// One for each file, as the link means them; empty: all. Source: BEP 53. Its ranges may name files that are not there.
std::vector<bool> files_meant(found_target const& found);
/// Finds a torrent file, its URL, a magnet link, or a name in the catalogue of the hub. A file that is no torrent may
/// be the content that was fetched before by the same name. For a magnet link `with` listens already. Throws `failure`,
/// with status 7 when `until` passes.
net::task<found_target> find_target(
    mover& with, transfer_options const& options, std::string target,
    std::chrono::steady_clock::time_point until = std::chrono::steady_clock::time_point::max());

template <class T>
net::task<void> keep_value(net::task<T> work, std::optional<T>& out) {
    out.emplace(co_await std::move(work));
}

/// What `work` returns; nothing when a signal came first.
template <class T>
net::task<std::optional<T>> before_stop(mover& with, net::task<T> work) {
    std::optional<T> out;
    (void)co_await with.ends_before_stop(keep_value(std::move(work), out));
    co_return out;
}
}  // namespace shoal::cli
