module;
#include <array>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.hub;
import shoal.asio;
import shoal.core;
import shoal.net;

namespace shoal::hub {
namespace {
/// Ports to try where the system chose one for TCP that is in use for UDP.
constexpr int port_tries = 16;
/// Datagrams that are answered together: one system call each way.
constexpr std::size_t batch_max = 64;
constexpr std::chrono::milliseconds expiry_step{100};

secrets draw(net::random& random) {
    secrets drawn;
    for (auto* const key : {&drawn.tables, &drawn.connections, &drawn.meter})
        for (auto& word : *key) word = random.next();
    drawn.seed = random.next();
    return drawn;
}

/// One address, open for both protocols.
struct door {
    std::unique_ptr<net::listener> streams;
    std::unique_ptr<net::datagram_socket> datagrams;
};
}  // namespace

struct hub::parts {
    parts(net::environment& environment, settings how)
        : outside(environment), core(std::move(how), draw(outside.random)) {}

    result<endpoint> open(endpoint const& at);
    net::task<void> serve_http(net::http_server& server, std::unique_ptr<net::listener> at);
    net::task<void> serve_udp(std::unique_ptr<net::datagram_socket> socket);
    net::task<void> expire();
    void fail(std::error_code why);

    net::environment& outside;
    service core;
    std::vector<door> doors;
    std::vector<endpoint> bound;
    net::signal* failed = nullptr;  // while `run` runs
    std::error_code failure;
};

hub::hub(net::environment& outside, settings how) : parts_(std::make_unique<parts>(outside, std::move(how))) {}
hub::~hub() = default;
std::vector<endpoint> const& hub::bound() const noexcept {
    return parts_->bound;
}
counters hub::numbers() const {
    return parts_->core.numbers();
}

result<endpoint> hub::listen(endpoint at) {
    for (int tries = 1;; ++tries) {
        auto opened = parts_->open(at);
        if (opened || at.port != 0 || tries == port_tries || opened.error() != std::errc::address_in_use) return opened;
    }
}

result<endpoint> hub::parts::open(endpoint const& at) {
    SHOAL_TRY(auto streams, outside.network.listen(at));
    auto const where = streams->local();
    SHOAL_TRY(auto datagrams, outside.network.open_datagram(where));
    doors.push_back({std::move(streams), std::move(datagrams)});
    bound.push_back(where);
    return where;
}

net::task<std::error_code> hub::run() {
    auto& own = *parts_;
    net::signal failed{co_await asio::this_coro::executor};
    own.failed = &failed;
    own.failure = {};
    net::http_server server{
        own.outside,
        [&](net::http_request const& request) { return own.core.answer(request, own.outside.clock.now()); },
        own.core.how().http};
    auto const serve = [&](net::task_group& group) -> net::task<void> {
        for (auto& [streams, datagrams] : own.doors) {
            auto const name = streams->local().to_string();
            group.spawn("http " + name, own.serve_http(server, std::move(streams)));
            group.spawn("udp " + name, own.serve_udp(std::move(datagrams)));
        }
        own.doors.clear();
        group.spawn("expiry", own.expire());
        group.on_failure = [&](std::string_view, std::exception_ptr const&) {
            own.fail(std::make_error_code(std::errc::not_enough_memory));
        };
        co_await failed.wait();
    };
    co_await net::in_task_group(serve);
    own.failed = nullptr;
    co_return own.failure;
}

void hub::parts::fail(std::error_code why) {
    failure = why;
    if (failed != nullptr) failed->notify();
}

net::task<void> hub::parts::serve_http(net::http_server& server, std::unique_ptr<net::listener> at) {
    fail(co_await server.serve(std::move(at)));
}

net::task<void> hub::parts::serve_udp(std::unique_ptr<net::datagram_socket> socket) {
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
        auto const received = co_await socket->receive(in);
        if (!received) co_return fail(received.error());
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
        // What the system does not take is lost, as datagrams may be: the client asks again.
        if (auto const sent = socket->send(out); !sent) co_return fail(sent.error());
    }
}

net::task<void> hub::parts::expire() {
    for (;;) {
        co_await outside.clock.sleep(expiry_step);
        core.expire(outside.clock.now());
    }
}
}  // namespace shoal::hub
