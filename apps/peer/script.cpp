module;
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

module peer;
import shoal.asio;
import shoal.net;
import :files;
import :output;
import :screen;

namespace shoal::cli {
screen::~screen() = default;

// An epoll descriptor stands between: Asio makes what it waits for non-blocking, and that shall not be ours.
struct readable::parts {
    asio::posix::stream_descriptor watched;
};

readable::readable(asio::any_io_executor const& executor, int number) {
    descriptor between{::epoll_create1(EPOLL_CLOEXEC)};
    epoll_event event{};
    event.events = EPOLLIN;
    if (between.number() < 0 || ::epoll_ctl(between.number(), EPOLL_CTL_ADD, number, &event) != 0) return;
    parts_ = std::make_unique<parts>(parts{asio::posix::stream_descriptor{executor, between.release()}});
}

readable::~readable() = default;

net::task<void> readable::wait() {
    if (!parts_) co_return;
    // Cancelled, it throws: nobody may read then.
    co_await parts_->watched.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
}

namespace {
class script final : public screen {
public:
    explicit script(asio::any_io_executor const& executor) : input_(executor, STDIN_FILENO) {}

    net::task<std::optional<std::string>> next_line() override {
        for (;;) {
            if (auto const end = read_.find('\n'); end != std::string::npos) {
                std::string line = read_.substr(0, end);
                read_.erase(0, end + 1);
                if (!std::exchange(is_too_long_, false)) co_return line;
                co_return line.substr(0, line_bytes_max);
            }
            if (is_ended_) {
                if (read_.empty()) co_return std::nullopt;
                co_return std::exchange(read_, {});
            }
            if (read_.size() > line_bytes_max) {
                is_too_long_ = true;
                read_.resize(line_bytes_max);
            }
            co_await input_.wait();
            std::array<char, 4096> bytes;
            auto const count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
            if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (count <= 0)
                is_ended_ = true;
            else
                read_.append(bytes.data(), static_cast<std::size_t>(count));
        }
    }
    void show(std::string_view line) override { write_line(stdout, line); }
    void complain(std::string_view line) override { write_line(stderr, line); }
    void progress(std::string_view line) override {
        auto const now = std::chrono::steady_clock::now();
        if (now < next_progress_) return;
        next_progress_ = now + plain_interval;
        write_line(stderr, line);
    }

private:
    readable input_;
    std::string read_;
    bool is_too_long_ = false;
    bool is_ended_ = false;
    std::chrono::steady_clock::time_point next_progress_ = std::chrono::steady_clock::now() + plain_interval;
};
}  // namespace

std::unique_ptr<screen> make_script(asio::any_io_executor executor) {
    return std::make_unique<script>(executor);
}
}  // namespace shoal::cli
