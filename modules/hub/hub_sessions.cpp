module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/canary.hpp"
#include "core/try.hpp"

module shoal.hub;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.session;
import :parts;

namespace shoal::hub {
namespace {
/// For the first message of a connection.
constexpr auto hello_timeout = std::chrono::seconds{10};

net::close_reason reason_for(std::error_code why) {
    if (why == session::errc::too_large) return net::close_reason::too_large;
    if (why == std::errc::resource_unavailable_try_again) return net::close_reason::try_again;
    return net::close_reason::protocol_error;
}

/// What a publication came to.
struct outcome {
    std::string refusal;
    info_hash torrent;
    std::optional<shared_torrent> shared;  // nothing: it is gone
};
}  // namespace

shared_torrent summary_of(catalogue_entry const& entry) {
    shared_torrent of;
    of.name = entry.name;
    of.size = entry.size;
    of.piece_length = entry.piece_length;
    of.pieces = entry.piece_count;
    of.file_count = entry.file_count;
    of.is_private = entry.is_private;
    of.added_at = std::chrono::milliseconds{entry.added.time_since_epoch()}.count();
    of.completed = entry.completed;
    for (auto const& owner : entry.owners) of.owners.insert(owner.name);
    return of;
}

/// A member at his machine, where the hub knows members: what he shares from two is withdrawn from one alone.
std::string owner_of(std::string const& member, endpoint const& at) {
    auto const address = at.address.to_string();
    return member.empty() ? address : member + " at " + address;
}

void hub_parts::share(info_hash const& torrent, shared_torrent what) {
    nodes.know(torrent, what.pieces, what.size);
    watch.shared.insert_or_assign(torrent, std::move(what));
    watch.changed(torrent);
}

/// A connection that is, or may become, a session.
struct held_session {
    held_session(hub_parts& parts, net::web_socket& socket, member_card whose, asio::any_io_executor const& home)
        : of(parts),
          with(socket),
          card(std::move(whose)),
          which(parts.nodes.connected(socket.remote(), parts.now(), card.name)),
          ready(home),
          over(home) {
        of.sessions[which] = this;
    }
    held_session(held_session const&) = delete;
    held_session& operator=(held_session const&) = delete;
    ~held_session() { of.end_session(which); }

    net::task<void> read();
    net::task<void> write();
    net::task<result<std::optional<net::web_socket_message>>> next() {
        if (of.nodes.has_said_hello(which)) co_return co_await with.receive();
        co_return co_await net::with_deadline(of.outside.clock, of.now() + hello_timeout, with.receive());
    }

    hub_parts& of;
    net::web_socket& with;
    member_card card;
    session_id which;
    net::signal ready, over;
    std::optional<net::close_reason> ending;  // what waits is sent before the end
};

net::task<void> hub_parts::hold_session(net::web_socket& with, member_card card) {
    // He may have been taken out while the web socket was opened.
    if (!core.entrance.is_still_in(card)) co_return co_await with.close(net::close_reason::policy);
    held_session here{*this, with, std::move(card), co_await asio::this_coro::executor};
    co_await net::until_one_ends(here.read(), here.write());
}

void hub_parts::end_session(session_id which) noexcept {
    sessions.at(which) = nullptr;
    try {
        forget_ended();
        settle();
    } catch (std::bad_alloc const&) {}
}

void hub_parts::forget_ended() {
    for (auto at = sessions.begin(); at != sessions.end();) {
        if (at->second == nullptr && !is_planted("leaver_stays_listed")) {
            nodes.disconnected(at->first, now());
            at = sessions.erase(at);
        } else {
            ++at;
        }
    }
}

net::task<void> held_session::read() {
    for (;;) {
        // Not reading is what slows a busy peer down: joining hundreds of torrents is no attack.
        co_await of.outside.clock.sleep_until(of.nodes.may_go_on_at(which));
        auto const message = co_await next();
        if (!message || !message.value()) co_return;
        auto const& [is_text, bytes] = *message.value();
        if (ending) {
            // Put out; what he says does not count.
        } else if (is_text) {
            ending = net::close_reason::policy;
        } else if (auto const heard = of.nodes.received(which, bytes, of.now()); !heard) {
            ending = reason_for(heard.error());
        }
        of.settle();
        if (!ending) continue;
        ready.notify();
        co_await over.wait();  // the writer ends it
    }
}

net::task<void> held_session::write() {
    for (;;) {
        if (ending == net::close_reason::policy) co_return co_await with.close(*ending);
        if (of.nodes.overflowed(which)) co_return;
        auto const messages = of.nodes.take_output(which);
        if (messages.empty() && ending) co_return co_await with.close(*ending);
        if (messages.empty()) {
            co_await ready.wait();
            continue;
        }
        for (auto const& each : messages)
            if (auto const sent = co_await with.send(*each); !sent) co_return;
    }
}

void hub_parts::settle() {
    auto const at = now();
    for (auto const& each : nodes.take_presences()) core.present(each, at);
    for (auto const which : nodes.take_ready())
        if (auto const found = sessions.find(which); found != sessions.end() && found->second != nullptr)
            found->second->ready.notify();
    if (tasks == nullptr || is_publishing) return;
    if (auto order = nodes.take_publication()) {
        tasks->spawn("publish", publish(std::move(*order)));  // it has not begun yet
        is_publishing = true;
    }
}

net::task<result<void>> hub_parts::read_members() {
    if (core.how().members.empty()) co_return success();
    result<member_list> read = success(member_list{});
    co_await net::on_pool(outside.workers, [&] { read = load_members(core.how().members); });
    if (!read) co_return read.error();
    if (read.value() == core.entrance.members()) co_return success();
    core.entrance.let_in(std::move(read).value());
    for (auto const& [which, each] : sessions) {
        if (each == nullptr || core.entrance.is_still_in(each->card)) continue;
        each->ending = net::close_reason::policy;
        nodes.disconnected(which, now());  // at once: saying farewell takes as long as he likes
        each->ready.notify();
    }
    settle();
    for (auto* each : listeners) each->notify();
    co_return success();
}

net::task<void> hub_parts::publish(publish_order order) {
    struct under_way {
        hub_parts& in;
        bool is_over = false;
        void over() {
            if (!std::exchange(is_over, true)) in.is_publishing = false;
        }
        ~under_way() { over(); }
    } while_here{*this};
    auto const owner = owner_of(order.member, order.at);
    auto const at = wall_seconds();
    auto const put_in = [&](catalogue& in) -> outcome {
        auto const done = in.publish(owner, *order.metainfo, at);
        if (!done) return {done.error().message(), order.torrent, std::nullopt};
        return {{}, done.value().entry.swarm_hash, summary_of(done.value().entry)};
    };
    auto const take_out = [&](catalogue& in) -> outcome {
        if (auto const done = in.unpublish(owner, order.torrent, at); !done)
            return {done.error().message(), order.torrent, std::nullopt};
        auto const left = in.by_hash(order.torrent);
        if (!left || !left.value()) return {{}, order.torrent, std::nullopt};
        return {{}, order.torrent, summary_of(left.value()->entry)};
    };
    auto const done =
        order.metainfo ? co_await shelves->call<outcome>(put_in) : co_await shelves->call<outcome>(take_out);
    if (done.refusal.empty()) {
        if (done.shared)
            share(done.torrent, *done.shared);
        else if (watch.shared.erase(done.torrent) > 0)
            watch.changed(done.torrent);
    }
    nodes.answer_publication(order, done.refusal);
    while_here.over();
    settle();
}
}  // namespace shoal::hub
