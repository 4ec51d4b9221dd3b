module;
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <span>
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

// A UDP socket whose system calls are made by a thread of its own. That thread receives into batches and sends what it
// finds in an outbox; it knows nothing of what is in them. All else happens on the executor of whoever uses the socket.
namespace shoal::net {
namespace {
using asio::ip::udp;

/// Batches that are received, at most, before their user takes them up: with the user, on their way, and being filled.
/// What comes then waits in the system's buffer, which is larger.
constexpr std::size_t batches_max = 4;
/// What may wait to be sent: the answers to all those batches, of the usual length.
constexpr std::size_t waiting_max = batches_max * batch_max;
constexpr std::size_t waiting_bytes_max = 256 * 1024;
/// No datagram is longer.
constexpr std::size_t udp_bytes_max = 65'527;
/// Until what failed for want of memory is tried again.
constexpr int again_after_milliseconds = 10;

struct batch {
    byte_vector bytes = byte_vector(batch_max * datagram_bytes_max);
    std::array<datagram, batch_max> datagrams;
    std::size_t count = 0;
};

/// Copies of datagrams that are to be sent.
class outbox {
public:
    outbox() : bytes_(waiting_bytes_max) { datagrams_.reserve(waiting_max); }
    /// False when there is no room. What no system would send is lost here.
    bool add(datagram const& what) {
        if (what.bytes.size() > udp_bytes_max) return true;
        if (datagrams_.size() == waiting_max || what.bytes.size() > bytes_.size() - used_) return false;
        auto const place = mutable_byte_view{bytes_}.subspan(used_, what.bytes.size());
        std::ranges::copy(what.bytes, place.begin());
        datagrams_.push_back({what.peer, place});
        used_ += place.size();
        return true;
    }
    std::span<datagram const> all() const { return datagrams_; }
    bool is_empty() const { return datagrams_.empty(); }
    void clear() {
        datagrams_.clear();
        used_ = 0;
    }

private:
    byte_vector bytes_;
    std::vector<datagram> datagrams_;
    std::size_t used_ = 0;
};

class descriptor {
public:
    explicit descriptor(int number) : number_(number) {}
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
    ~descriptor() { close(); }
    int number() const { return number_; }
    void close() {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

private:
    int number_;
};

class threaded_socket final : public datagram_socket {
public:
    /// Throws `std::system_error` where there is no thread or descriptor to be had.
    threaded_socket(asio::any_io_executor const& executor, udp::socket socket)
        : executor_(executor),
          arrived_(std::make_shared<signal>(executor)),
          local_(local_of(socket)),
          socket_(socket.release()),  // the event loop would be woken by what comes
          bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (bell_.number() < 0) throw std::system_error(errno, std::system_category(), "eventfd");
        thread_ = std::thread{[this] { work(); }};
    }
    ~threaded_socket() override { close(); }

    task<result<std::size_t>> receive(std::span<datagram> out) override {
        if (next() != nullptr) co_await turn_of_others();
        batch const* from = nullptr;
        while (thread_.joinable() && (from = next()) == nullptr) co_await arrived_->wait();
        if (!thread_.joinable()) co_return errc::closed;
        auto const part = std::span{from->datagrams}.first(from->count).subspan(shown_);
        auto const count = std::min(part.size(), out.size());
        std::ranges::copy(part.first(count), out.begin());
        shown_ += count;
        co_return count;
    }

    result<std::size_t> send(std::span<datagram const> out) override {
        if (!thread_.joinable()) return errc::closed;
        std::size_t taken = 0;
        bool is_asleep = false;
        {
            std::lock_guard const lock{mutex_};
            while (taken < out.size() && waiting_.add(out[taken])) ++taken;
            is_asleep = !waiting_.is_empty() && std::exchange(is_asleep_, false);
        }
        if (is_asleep) ring();
        return taken;
    }

    endpoint local() const override { return local_; }

    void close() override {
        if (!thread_.joinable()) return;
        {
            std::lock_guard const lock{mutex_};
            is_ending_ = true;
        }
        ring();
        thread_.join();  // all its calls return at once
        socket_.close();
        arrived_->notify();
    }

private:
    static endpoint local_of(udp::socket const& socket) {
        boost::system::error_code ignored;
        auto const at = socket.local_endpoint(ignored);
        return from_tcp({at.address(), at.port()});
    }
    void ring() { (void)::eventfd_write(bell_.number(), 1); }

    // The user's side.

    /// The batch to show, of which something is left, or none; the thread gives notice of the next one then.
    batch const* next() {
        batch const* found = nullptr;
        bool is_awaited = false;
        {
            std::lock_guard const lock{mutex_};
            if (shown_ > 0 && shown_ == batches_[released_ % batches_max].count) {
                is_awaited = received_ - released_ == batches_max && std::exchange(is_asleep_, false);
                ++released_;
                shown_ = 0;
            }
            if (released_ != received_)
                found = &batches_[released_ % batches_max];
            else
                is_told_ = false;
        }
        if (is_awaited) ring();
        return found;
    }
    /// As long as datagrams come there is nothing to wait for, and others of the executor want their turn too.
    task<void> turn_of_others() const {
        handler_place place;
        (void)co_await surely(place, [this](auto handler) {
            asio::post(executor_, [handler = std::move(handler)]() mutable { handler({}); });
        });
    }

    // The thread's side.

    struct turn {
        batch* place = nullptr;  ///< To receive into; null when all are with the user.
        bool tells = false;      ///< The user is to be told that something came.
        bool sleeps = false;     ///< There is nothing to do.
        bool ends = false;
    };
    turn begin_turn(bool has_received, bool is_dry) {
        std::lock_guard const lock{mutex_};
        if (has_received) ++received_;
        std::swap(waiting_, sending_);
        turn now;
        if (received_ - released_ < batches_max) now.place = &batches_[received_ % batches_max];
        now.tells = received_ != released_ && !std::exchange(is_told_, true);
        now.ends = is_ending_ && sending_.is_empty();
        now.sleeps = sending_.is_empty() && (is_dry || now.place == nullptr);
        is_asleep_ = now.sleeps;
        return now;
    }
    void work() {
        ::pthread_setname_np(::pthread_self(), "udp");
        bool has_received = false, is_dry = true;
        for (bool has_failed = false;;) {
            auto const now = begin_turn(std::exchange(has_received, false), is_dry);
            if (now.tells && !tell()) has_failed = true;
            if (now.ends) return;
            if (now.sleeps) {
                auto const is_watched = now.place != nullptr && !has_failed;
                is_dry = !sleep(is_watched, has_failed) && is_watched;
                has_failed = false;
                continue;
            }
            (void)calls_.send(socket_.number(), sending_.all());  // what the system does not take is lost
            sending_.clear();
            if (is_dry || now.place == nullptr) continue;
            auto const got = calls_.receive(socket_.number(), now.place->bytes, now.place->datagrams, now.place->count);
            has_received = now.place->count > 0;
            has_failed = got < 0 && errno != EAGAIN && errno != EINTR;
            is_dry = got < static_cast<int>(batch_max);
        }
    }
    /// Whether there was memory to tell the user.
    bool tell() {
        try {
            asio::post(executor_, [arrived = arrived_] { arrived->notify(); });
            return true;
        } catch (std::bad_alloc const&) {
            std::lock_guard const lock{mutex_};
            is_told_ = false;
            return false;
        }
    }
    /// Until the user rings, or, when the socket is `watched`, something comes: then it is true.
    bool sleep(bool is_watched, bool is_short) {
        std::array<pollfd, 2> on{{{bell_.number(), POLLIN, 0}, {is_watched ? socket_.number() : -1, POLLIN, 0}}};
        (void)::poll(on.data(), on.size(), is_short ? again_after_milliseconds : -1);
        eventfd_t ignored;
        if (on[0].revents != 0) (void)::eventfd_read(bell_.number(), &ignored);
        return on[1].revents != 0;
    }

    asio::any_io_executor const executor_;
    std::shared_ptr<signal> const arrived_;  // notices on their way share it
    endpoint const local_;
    descriptor socket_;
    descriptor const bell_;                   // wakes the thread
    std::array<batch, batches_max> batches_;  // the thread's, from `received_` on; the others are the user's
    std::size_t shown_ = 0;                   // of the first one that is the user's

    std::mutex mutex_;                           // guards all down to `is_ending_`
    std::uint64_t received_ = 0, released_ = 0;  // batches since the beginning
    outbox waiting_;
    bool is_told_ = false;    // the user, of a batch, and has not taken up all since
    bool is_asleep_ = false;  // the thread, or about to
    bool is_ending_ = false;

    outbox sending_;  // the thread's, empty between its turns
    batch_call calls_;
    std::thread thread_;  // joinable: the socket is open
};
}  // namespace

result<std::vector<std::unique_ptr<datagram_socket>>> open_udp_threads(asio::any_io_executor const& executor,
                                                                       endpoint const& at, std::size_t threads,
                                                                       socket_settings const& settings) {
    std::vector<std::unique_ptr<datagram_socket>> all;
    // Shared only once it is bound: it has then met with everybody who had the address, shared or not.
    SHOAL_TRY(auto socket, bind_udp(executor, at, settings));
    SHOAL_TRY(share(socket));
    for (;;) {
        try {
            all.push_back(std::make_unique<threaded_socket>(executor, std::move(socket)));
        } catch (std::system_error const& why) {
            if (all.empty()) return why.code();
            return all;  // fewer can do the same
        }
        if (all.size() >= threads) return all;
        SHOAL_TRY(socket, bind_udp(executor, all.front()->local(), settings, true));
    }
}
}  // namespace shoal::net
