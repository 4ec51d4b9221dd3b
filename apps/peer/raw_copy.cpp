module;
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

module peer;
import shoal.core;
import shoal.hash;
import shoal.measure;
import :raw_copy;

namespace shoal::cli {
namespace {
constexpr std::size_t places = 8;  // pieces between the two threads
constexpr measure::seconds patience{600};

[[noreturn]] void fail(char const* what) {
    throw std::system_error(errno, std::system_category(), what);
}

descriptor checked(int number, char const* what) {
    if (number < 0) fail(what);
    return descriptor{number};
}

/// Where the receiver finds the sender.
struct place {
    descriptor listener;
    sockaddr_in at{};
};

/// At a free port of 127.0.0.1.
place listen_here() {
    auto listener = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* const address = reinterpret_cast<sockaddr*>(&at);
    if (::bind(listener.number(), address, size) != 0 || ::listen(listener.number(), 1) != 0 ||
        ::getsockname(listener.number(), address, &size) != 0)
        fail("listen");
    return {std::move(listener), at};
}

int send_all(descriptor const& listener, std::filesystem::path const& from) {
    auto const file = checked(::open(from.c_str(), O_RDONLY | O_CLOEXEC), "open");
    auto const to = checked(::accept(listener.number(), nullptr, nullptr), "accept");
    for (;;) {
        auto const sent = ::sendfile(to.number(), file.number(), nullptr, std::size_t{1} << 30);
        if (sent < 0) fail("sendfile");
        if (sent == 0) return EXIT_SUCCESS;
    }
}

/// Pieces that one thread has received and another hashes.
class ring {
public:
    explicit ring(std::uint32_t piece_length) {
        for (auto& each : pieces_) each.resize(piece_length);
    }
    /// The place of the next piece to receive, once it is free.
    mutable_byte_view free() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [this] { return filled_ - hashed_ < places; });
        return pieces_[filled_ % places];
    }
    void fill(std::size_t size) {
        std::lock_guard const lock{mutex_};
        sizes_[filled_ % places] = size;
        ++filled_;
        changed_.notify_one();
    }
    /// No further piece comes.
    void end() {
        std::lock_guard const lock{mutex_};
        is_over_ = true;
        changed_.notify_one();
    }
    /// Hashes what comes, to the end.
    void hash() {
        hash::sha1_hasher hasher;
        for (;;) {
            std::unique_lock lock{mutex_};
            changed_.wait(lock, [this] { return hashed_ < filled_ || is_over_; });
            if (hashed_ == filled_) return;
            auto const place = hashed_ % places;
            lock.unlock();
            hasher.update(byte_view{pieces_[place]}.first(sizes_[place]));
            (void)hasher.finish();
            lock.lock();
            ++hashed_;
            changed_.notify_one();
        }
    }

private:
    std::array<byte_vector, places> pieces_;
    std::array<std::size_t, places> sizes_{};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t filled_ = 0, hashed_ = 0;
    bool is_over_ = false;
};

int receive_all(sockaddr_in const& at, std::filesystem::path const& to, std::uint32_t piece_length) {
    auto const file = checked(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), "open");
    auto const from = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    if (::connect(from.number(), reinterpret_cast<sockaddr const*>(&at), sizeof at) != 0) fail("connect");
    ring pieces{piece_length};
    std::jthread const hashing{[&pieces] { pieces.hash(); }};
    for (std::size_t got = piece_length; got == piece_length;) {
        auto const piece = pieces.free();
        for (got = 0; got < piece.size();) {
            auto const count = ::recv(from.number(), piece.data() + got, piece.size() - got, 0);
            if (count < 0) std::_Exit(EXIT_FAILURE);  // the other thread waits
            if (count == 0) break;
            got += static_cast<std::size_t>(count);
        }
        for (std::size_t written = 0; written < got;) {
            auto const count = ::write(file.number(), piece.data() + written, got - written);
            if (count < 0) std::_Exit(EXIT_FAILURE);
            written += static_cast<std::size_t>(count);
        }
        if (got > 0) pieces.fill(got);
    }
    pieces.end();
    return EXIT_SUCCESS;
}
}  // namespace

copied copy_raw(std::filesystem::path const& from, std::filesystem::path const& to, std::uint32_t piece_length) {
    auto const here = listen_here();
    auto sender = measure::child::of([&] { return send_all(here.listener, from); });
    measure::stopwatch const time;
    auto receiver = measure::child::of([&] { return receive_all(here.at, to, piece_length); });
    auto const received = receiver.wait(patience);
    auto const wall = time.elapsed();
    auto const sent = sender.wait(patience);
    if (received.status != EXIT_SUCCESS || sent.status != EXIT_SUCCESS)
        throw failure{exit_status::failed, "the raw copy failed"};
    return {wall, received.cpu + sent.cpu};
}
}  // namespace shoal::cli
