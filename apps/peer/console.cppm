module;
#include <coroutine>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// The console: what a person types, and what remote peers do, over one transfer.
module peer:console;
import shoal.console;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.session;
import :moving;
import :options;
import :screen;

namespace shoal::cli {
/// One peer driven by hand. Commands are run one after the other; what remote peers do is shown as it happens.
class hand_console {
public:
    hand_console(mover& with, console_options const& options, std::shared_ptr<metainfo::torrent const> content);
    ~hand_console();

    /// Runs until `/exit`, the end of the input or a signal. Returns the exit status.
    net::task<int> run();

private:
    using line = console::command_line;

    net::task<void> serve_lines();
    net::task<void> until_stopped();
    net::task<void> obey(line command);
    net::task<void> run_to_end(line command);
    /// Control-C cancels the command that runs, once.
    bool interrupt();
    bool is_possible(line const& command);

    // The commands: console_commands.cpp. Each shows its reply, or complains.
    net::task<void> run_command(line command);
    net::task<void> connect_peer(endpoint peer);
    net::task<void> ping(endpoint peer);
    net::task<void> request_download(endpoint peer, std::string chunk);
    net::task<void> disconnect_peer(endpoint peer);
    net::task<void> merge_chunks(std::string file);
    net::task<void> auto_download();
    net::task<void> quit_torrent();
    net::task<void> connect_tracker();
    /// Why it cannot be connected to, in one line; nothing when it is, or without `stays_in_line` when it will be.
    net::task<std::optional<std::string>> open_tracker(bool stays_in_line);
    net::task<void> get_peer_set();
    net::task<void> update_status_to_tracker();
    net::task<void> disconnect_tracker();
    /// Ends the session, if there is one.
    net::task<void> drop_tracker();
    std::optional<std::string> tracker_url() const;
    bool is_tracker_connected() const { return hub_ && hub_->is_open(); }
    bool is_in_line() const { return hub_ && hub_->place(); }
    void say_place();
    std::string trouble(std::error_code why) const;
    void on_hub_event(session::any_client_event const& happened);
    void see_this_peer_info();
    void see_peer_set(bool all);
    void see_member(std::string_view title, session::set_member const& member, bool all);
    void see_connected();

    void on_event(engine::transfer_event const& happened);
    void say(std::string_view text);
    void complain(std::string_view text);
    bool is_connected(endpoint const& peer) const;
    std::vector<endpoint> known_peers() const;
    std::string me() const { return console::peer_text(self_); }

    mover& with_;
    console_options const& options_;
    std::shared_ptr<metainfo::torrent const> content_;
    console::chunk_names names_;
    std::shared_ptr<watched> watched_;
    std::unique_ptr<screen> screen_;
    net::task_group hub_task_;
    net::task_group running_;                           // the command
    std::unique_ptr<engine::hub_session> hub_;          // while connected to the tracker, or about to be again
    std::map<endpoint, session::set_member> peer_set_;  // as the hub told last
    endpoint self_;                                     // where others reach this peer
    std::set<endpoint> introduced_;
    std::set<piece_index> requested_;   // by /request_download, and not begun
    std::optional<endpoint> greeting_;  // by /connect_peer
    bool is_complete_ = false;
    bool has_quit_ = false;
    bool has_failed_ = false;
    bool is_opening_ = false;      // a command waits for the tracker
    bool is_busy_ = false;         // a command runs, or was cut off
    bool is_interrupted_ = false;  // and was told to end
    bool is_terminal_ = false;
};
}  // namespace shoal::cli
