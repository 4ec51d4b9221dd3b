module;
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/json/object.hpp>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <cstring>
#include <exception>
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
import :files;
import :moving;
import :output;
import :screen;

namespace shoal::cli {
namespace {
/// An address of this machine that others can reach, for a peer that listens at all of them.
ip_address own_address() {
    ip_address found = *ip_address::parse("127.0.0.1");
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return found;
    for (auto const* each = all; each; each = each->ifa_next) {
        if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET) continue;
        sockaddr_in address{};
        std::memcpy(&address, each->ifa_addr, sizeof address);
        std::array<std::uint8_t, 4> octets{};
        std::memcpy(octets.data(), &address.sin_addr, octets.size());
        if (auto const candidate = ip_address::v4(octets); !candidate.is_loopback()) {
            found = candidate;
            break;
        }
    }
    ::freeifaddrs(all);
    return found;
}
}  // namespace

hand_console::hand_console(mover& with, console_options const& options,
                           std::shared_ptr<metainfo::torrent const> content)
    : with_(with),
      options_(options),
      content_(std::move(content)),
      names_(content_->content()),
      hub_task_(with.home()),
      running_(with.home()) {
    running_.on_failure = [this](std::string_view, std::exception_ptr const& why) {
        is_busy_ = false;
        try {
            std::rethrow_exception(why);
        } catch (std::exception const& thrown) {
            complain(escaped(thrown.what()));
        }
    };
}

hand_console::~hand_console() = default;

net::task<int> hand_console::run() {
    auto& out = with_.out;
    auto const shown = escaped(content_->name());
    with_.listen();
    self_ = *with_.listening;
    if (self_.address.is_unspecified()) self_.address = own_address();
    with_.observer = [this](engine::transfer_event const& happened) { on_event(happened); };
    auto added = with_.add(content_, options_.directory, {.writable = true, .wanted_files = {}, .by_hand = true});
    if (!added) co_return out.fail(status_of(added.error()), shown + ": " + added.error().message());
    watched_ = added.value();
    while (watched_->transfer->status().state == engine::transfer_state::checking && !with_.stopped)
        co_await with_.wait(redraw_interval);
    if (with_.stopped) co_return static_cast<int>(exit_status::incomplete);
    if (auto const why = watched_->transfer->status().error)
        co_return out.fail(status_of(why), shown + ": " + why.message());

    is_terminal_ = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && !out.json();
    auto const complete = [this](std::string_view before) {
        return console::completions(before, known_peers(), names_);
    };
    screen_ =
        is_terminal_ ? make_terminal(with_.home(), console::prompt_text(self_), complete) : make_script(with_.home());
    if (is_terminal_) with_.on_interrupt = [this] { return interrupt(); };
    {
        using namespace asio::experimental::awaitable_operators;
        co_await (serve_lines() || until_stopped());
    }
    co_await drop_tracker();
    with_.on_interrupt = {};
    with_.observer = [](engine::transfer_event const&) {};  // nobody reads on
    screen_.reset();
    if (is_busy_) co_return static_cast<int>(exit_status::incomplete);
    // A person saw what went wrong; a script asks for the status.
    co_return static_cast<int>(has_failed_ && !is_terminal_ ? exit_status::failed : exit_status::done);
}

net::task<void> hand_console::until_stopped() {
    while (!with_.stopped) co_await with_.wait(std::chrono::minutes{1});
}

net::task<void> hand_console::serve_lines() {
    for (;;) {
        auto const text = co_await screen_->next_line();
        if (!text) co_return;
        auto read = console::parse_line(*text);
        if (!read) continue;
        if (auto const* wrong = std::get_if<console::complaint>(&*read)) {
            complain(wrong->why);
            continue;
        }
        auto const& command = std::get<line>(*read);
        if (command.what == console::command::exit) co_return;
        if (is_possible(command)) co_await obey(command);
    }
}

net::task<void> hand_console::obey(line command) {
    std::string const name{console::entry_of(command.what).name};
    is_busy_ = true;
    is_interrupted_ = false;
    running_.spawn("command", run_to_end(std::move(command)));
    co_await running_.join();
    if (!is_busy_ || with_.stopped) co_return;
    greeting_.reset();
    requested_.clear();
    if (std::exchange(is_opening_, false)) co_await drop_tracker();
    say(name + " was cancelled");
    is_busy_ = false;
}

net::task<void> hand_console::run_to_end(line command) {
    co_await run_command(std::move(command));
    is_busy_ = false;
}

bool hand_console::interrupt() {
    if (!is_busy_ || std::exchange(is_interrupted_, true)) return false;
    running_.cancel();
    return true;
}

/// Whether a command's prerequisite is met; complains when not.
bool hand_console::is_possible(line const& command) {
    auto const needs = console::entry_of(command.what).needs;
    if (needs == console::prerequisite::none) return true;
    if (has_quit_) {
        complain(me() + " has quit the torrent");
        return false;
    }
    if (needs == console::prerequisite::tracker && !is_tracker_connected()) {
        complain("Peer is not connected to tracker");
        return false;
    }
    if (needs == console::prerequisite::target && !is_connected(command.peer)) {
        complain("Target " + console::peer_text(command.peer) + " is not connected to current " + me());
        return false;
    }
    return true;
}

void hand_console::say(std::string_view text) {
    if (with_.out.json())
        with_.out.event("reply", {{"text", text}});
    else if (screen_)
        screen_->show(text);
}

void hand_console::complain(std::string_view text) {
    has_failed_ = true;
    if (with_.out.json()) with_.out.event("error", {{"message", text}});
    screen_->complain(text);
}

bool hand_console::is_connected(endpoint const& peer) const {
    for (auto const& each : watched_->transfer->peers())
        if ((each.listens_at.port != 0 ? each.listens_at : each.remote) == peer) return true;
    return false;
}

void hand_console::on_event(engine::transfer_event const& happened) {
    namespace event = engine::event;
    using console::peer_text;
    if (auto const* joined = std::get_if<event::peer_introduced>(&happened)) {
        introduced_.insert(joined->at);
        if (!joined->outgoing)
            say("[NEW CONNECTION] " + console::address_text(joined->at) + " connected");
        else if (greeting_ != joined->at)
            say(peer_text(joined->at) + " established connection to " + me());
    } else if (auto const* left = std::get_if<event::peer_left>(&happened)) {
        bool const was_shown = introduced_.contains(left->at) && !is_connected(left->at);
        if (was_shown && left->why != engine::errc::disconnected && !has_quit_)
            say("[PEER DISCONNECTED] " + console::address_text(left->at));
    } else if (auto const* pinged = std::get_if<event::ping_received>(&happened)) {
        say("[PING RECEIVED] from " + peer_text(pinged->from));
    } else if (auto const* begun = std::get_if<event::download_began>(&happened)) {
        if (requested_.erase(begun->piece) > 0)
            say(peer_text(begun->from) + " starts uploading chunk " + names_.name_of(begun->piece) + " to " + me());
    } else if (auto const* sending = std::get_if<event::upload_began>(&happened)) {
        say("Sending " + names_.name_of(sending->piece) + " to " + peer_text(sending->to) + "...");
    } else if (auto const* sent = std::get_if<event::upload_finished>(&happened)) {
        say(names_.name_of(sent->piece) + " sent successfully");
    } else if (auto const* failed = std::get_if<event::failed>(&happened)) {
        if (screen_) complain("the transfer stands still: " + failed->why.message());
    } else if (std::holds_alternative<event::recovered>(happened)) {
        say("the transfer goes on");
    } else if (std::holds_alternative<event::completed>(happened)) {
        is_complete_ = true;
    }
    with_.wake();
}

int run_console(console_options const& options) {
    auto how = options.transfer.output;
    output loud{how};
    if (asks_too_much(options.transfer, loud)) return static_cast<int>(exit_status::failed);
    how.quiet = true;  // the prompt says where it listens, and what happens is shown as replies
    output out{how};
    auto const content = std::make_shared<metainfo::torrent const>(load_torrent(options.torrent));
    mover with{options.transfer, out};
    std::optional<hand_console> console;
    return with.run([&](mover& running) {
        console.emplace(running, options, content);
        return console->run();
    });
}
}  // namespace shoal::cli
