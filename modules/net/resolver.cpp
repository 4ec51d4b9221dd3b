module;
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.net;
import shoal.asio;
import shoal.core;
import :sockets;
import :waiting;

namespace shoal::net {
namespace {
/// Names asked for at once: one dead server must not hold up the others, and there are few names to ask for.
constexpr int threads_max = 8;

std::vector<ip_address> ask_system(std::string const& host) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    std::vector<ip_address> addresses;
    if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return addresses;
    for (auto const* each = found; each != nullptr; each = each->ai_next) {
        std::optional<ip_address> address;
        if (each->ai_family == AF_INET) {
            sockaddr_in v4;
            std::memcpy(&v4, each->ai_addr, sizeof v4);
            address = ip_address::from(std::as_bytes(std::span{&v4.sin_addr, 1}));
        } else if (each->ai_family == AF_INET6) {
            sockaddr_in6 v6;
            std::memcpy(&v6, each->ai_addr, sizeof v6);
            address = ip_address::from(std::as_bytes(std::span{&v6.sin6_addr, 1}));
        }
        if (address && std::ranges::find(addresses, *address) == addresses.end()) addresses.push_back(*address);
    }
    ::freeaddrinfo(found);
    return addresses;
}
}  // namespace

struct resolver::question {
    std::string host;
    std::mutex mutex;  // guards all below
    asio::any_io_executor executor;
    signal* asker = nullptr;  // null when nobody waits any more
    std::vector<ip_address> answer;
};

struct resolver::queue : std::enable_shared_from_this<resolver::queue> {
    result<void> ask(std::shared_ptr<question> what) {
        std::lock_guard const lock{mutex};
        waiting.push_back(std::move(what));
        if (threads == threads_max) return success();
        try {
            std::thread{[self = shared_from_this()] { self->work(); }}.detach();
            ++threads;
        } catch (std::system_error const& why) {
            if (threads > 0) return success();  // the others get to it
            waiting.pop_back();
            return why.code();
        }
        return success();
    }
    void work() {
        while (auto const next = take()) {
            std::vector<ip_address> answer;
            try {
                answer = ask_system(next->host);
            } catch (std::bad_alloc const&) {}  // as if there were none
            std::lock_guard const lock{next->mutex};
            if (next->asker == nullptr) continue;  // then its executor may be gone
            next->answer = std::move(answer);
            post_from_thread(next->executor, [next] {
                std::lock_guard const relock{next->mutex};
                if (next->asker != nullptr) next->asker->notify();
            });
        }
    }
    std::shared_ptr<question> take() {
        std::lock_guard const lock{mutex};
        while (!waiting.empty()) {
            auto next = std::move(waiting.front());
            waiting.pop_front();
            std::lock_guard const inner{next->mutex};
            if (next->asker != nullptr) return next;
        }
        --threads;
        return nullptr;
    }

    std::mutex mutex;  // guards all below
    std::deque<std::shared_ptr<question>> waiting;
    int threads = 0;
};

resolver::resolver() : queue_(std::make_shared<queue>()) {}
resolver::~resolver() = default;

task<result<std::vector<ip_address>>> resolver::resolve(std::string host) {
    std::string_view bare = host;
    if (bare.size() > 2 && bare.front() == '[' && bare.back() == ']') bare = bare.substr(1, bare.size() - 2);
    if (auto const address = ip_address::parse(bare)) co_return std::vector{*address};
    if (host.empty() || host.find('\0') != std::string::npos) co_return errc::host_unknown;

    auto const executor = co_await asio::this_coro::executor;
    signal answered{executor};
    struct asking {
        std::shared_ptr<question> what;
        ~asking() {
            std::lock_guard const lock{what->mutex};
            what->asker = nullptr;
        }
    } const asked{std::make_shared<question>()};
    asked.what->host = std::move(host);
    asked.what->executor = executor;
    asked.what->asker = &answered;
    SHOAL_CO_TRY(queue_->ask(asked.what));
    co_await answered.wait();
    std::lock_guard const lock{asked.what->mutex};
    if (asked.what->answer.empty()) co_return errc::host_unknown;
    co_return std::move(asked.what->answer);
}
}  // namespace shoal::net
