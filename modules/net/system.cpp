module;
#include <sys/random.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

module shoal.net;
import shoal.asio;
import shoal.core;
import :sockets;

namespace shoal::net {
namespace {
class system_clock final : public clock {
public:
    time_point now() const override { return std::chrono::steady_clock::now(); }
    task<bool> wait(signal& notice, time_point until) override {
        for (;;) {
            if (notice.take()) co_return true;
            if (now() >= until) co_return false;
            co_await notice.park(until);
        }
    }
};

class system_random final : public random {
public:
    void fill(mutable_byte_view out) override {
        while (!out.empty()) {
            auto const got = ::getrandom(out.data(), out.size(), 0);
            if (got < 0 && errno != EINTR) throw std::system_error(errno, std::system_category(), "getrandom");
            if (got > 0) out = out.subspan(static_cast<std::size_t>(got));
        }
    }
};

class system_network final : public network {
public:
    system_network(asio::any_io_executor executor, clock& clock, socket_settings const& settings)
        : executor_(std::move(executor)), clock_(clock), settings_(settings) {}

    task<result<std::unique_ptr<stream>>> connect(endpoint to, std::optional<ip_address> from) override {
        return connect_tcp(executor_, to, from, settings_);
    }
    result<std::unique_ptr<listener>> listen(endpoint at) override {
        return listen_tcp(executor_, clock_, at, settings_);
    }
    result<std::unique_ptr<datagram_socket>> open_datagram(endpoint at) override {
        return open_udp(executor_, at, settings_);
    }
    result<std::vector<std::unique_ptr<datagram_socket>>> open_datagram_threads(endpoint at,
                                                                                std::size_t threads) override {
        return open_udp_threads(executor_, at, threads, settings_);
    }
    result<std::unique_ptr<datagram_socket>> open_multicast(endpoint group, std::optional<ip_address> from) override {
        return join_multicast(executor_, group, from);
    }
    task<result<std::vector<ip_address>>> resolve(std::string host) override {
        return resolver_.resolve(std::move(host));
    }

private:
    asio::any_io_executor executor_;
    clock& clock_;
    socket_settings settings_;
    resolver resolver_;
};

class thread_workers final : public worker_pool {
public:
    explicit thread_workers(std::size_t count) {
        threads_.reserve(count);
        try {
            for (std::size_t i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
        } catch (std::system_error const&) {
            if (threads_.empty()) throw;  // fewer can do the same
        }
    }
    ~thread_workers() override {
        {
            std::lock_guard const lock{mutex_};
            stopping_ = true;
        }
        changed_.notify_all();
        for (auto& thread : threads_) thread.join();
    }
    void run(std::function<void()> work) override {
        {
            std::lock_guard const lock{mutex_};
            queue_.push_back(std::move(work));
        }
        changed_.notify_one();
    }
    std::size_t size() const override { return threads_.size(); }

private:
    void work() {
        std::unique_lock lock{mutex_};
        for (;;) {
            changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty()) return;
            auto const next = std::move(queue_.front());
            queue_.pop_front();
            lock.unlock();
            next();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> queue_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};
}  // namespace

std::unique_ptr<worker_pool> make_worker_pool(std::size_t thread_count) {
    return std::make_unique<thread_workers>(thread_count);
}

struct system_environment::parts {
    parts(asio::any_io_executor executor, std::unique_ptr<worker_pool> own, worker_pool* shared,
          socket_settings const& settings)
        : sockets(std::move(executor), time, settings),
          own_workers(std::move(own)),
          all{time, sockets, entropy, shared != nullptr ? *shared : *own_workers} {}

    system_clock time;
    system_random entropy;
    system_network sockets;
    std::unique_ptr<worker_pool> own_workers;
    environment all;
};

system_environment::system_environment(asio::any_io_executor executor, std::size_t worker_count,
                                       socket_settings settings)
    : parts_(std::make_unique<parts>(std::move(executor), make_worker_pool(worker_count), nullptr, settings)) {}
system_environment::system_environment(asio::any_io_executor executor, worker_pool& workers, socket_settings settings)
    : parts_(std::make_unique<parts>(std::move(executor), nullptr, &workers, settings)) {}
system_environment::~system_environment() = default;
environment& system_environment::get() noexcept {
    return parts_->all;
}
}  // namespace shoal::net
