#pragma once
// A network whose calls fail where a scenario says so. Include it last: it imports.
#include <array>
#include <cerrno>
#include <span>

#include "scenario.hpp"

namespace fault {
inline std::error_code failure_of(failing_calls const& calls) {
    return {calls.error, std::system_category()};
}

class failing_stream final : public net::stream {
public:
    failing_stream(std::unique_ptr<net::stream> below, failing_calls& calls)
        : below_(std::move(below)), calls_(calls) {}
    net::task<result<std::size_t>> read_some(std::span<mutable_byte_view const> places) override {
        if (!calls_.strikes()) co_return co_await below_->read_some(places);
        if (calls_.error != 0) co_return failure_of(calls_);
        std::array<mutable_byte_view, 1> const one{places.front().first(1)};
        co_return co_await below_->read_some(one);
    }
    net::task<result<std::size_t>> write_some(std::span<byte_view const> runs) override {
        if (!calls_.strikes()) co_return co_await below_->write_some(runs);
        if (calls_.error != 0) co_return failure_of(calls_);
        std::array<byte_view, 1> const one{runs.front().first(1)};
        co_return co_await below_->write_some(one);
    }
    void close() override { below_->close(); }
    endpoint local() const override { return below_->local(); }
    endpoint remote() const override { return below_->remote(); }

private:
    std::unique_ptr<net::stream> below_;
    failing_calls& calls_;
};

class failing_listener final : public net::listener {
public:
    failing_listener(std::unique_ptr<net::listener> below, failing_calls& calls)
        : below_(std::move(below)), calls_(calls) {}
    /// What accept(2) fails with does not end a listener (`net::listener::accept`): the one connection is lost.
    net::task<result<std::unique_ptr<net::stream>>> accept() override {
        for (;;) {
            auto next = co_await below_->accept();
            if (!next) co_return next.error();
            if (calls_.strikes() && calls_.error != 0) continue;
            co_return std::make_unique<failing_stream>(std::move(next.value()), calls_);
        }
    }
    endpoint local() const override { return below_->local(); }
    void close() override { below_->close(); }

private:
    std::unique_ptr<net::listener> below_;
    failing_calls& calls_;
};

class failing_datagrams final : public net::datagram_socket {
public:
    failing_datagrams(std::unique_ptr<net::datagram_socket> below, failing_calls& calls)
        : below_(std::move(below)), calls_(calls) {}
    net::task<result<std::size_t>> receive(std::span<net::datagram> out) override {
        if (calls_.strikes() && calls_.error != 0) co_return failure_of(calls_);
        co_return co_await below_->receive(out);
    }
    result<std::size_t> send(std::span<net::datagram const> out) override {
        if (!calls_.strikes()) return below_->send(out);
        if (calls_.error != 0) return failure_of(calls_);
        return std::size_t{0};
    }
    endpoint local() const override { return below_->local(); }
    void close() override { below_->close(); }

private:
    std::unique_ptr<net::datagram_socket> below_;
    failing_calls& calls_;
};

class failing_network final : public testing::passing_network {
public:
    failing_network(net::network& below, failing_calls& calls, bool const& has_tcp)
        : passing_network(below), calls_(calls), has_tcp_(has_tcp) {}
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, std::optional<ip_address> from) override {
        if (calls_.strikes() && calls_.error != 0) co_return failure_of(calls_);
        if (!has_tcp_) co_return make_error_code(std::errc::connection_refused);
        auto made = co_await below_.connect(to, from);
        if (!made) co_return made.error();
        co_return std::make_unique<failing_stream>(std::move(made.value()), calls_);
    }
    result<std::unique_ptr<net::listener>> listen(endpoint at) override {
        if (calls_.strikes() && calls_.error != 0) return failure_of(calls_);
        auto made = below_.listen(at);
        if (!made) return made.error();
        return std::make_unique<failing_listener>(std::move(made.value()), calls_);
    }
    result<std::unique_ptr<net::datagram_socket>> open_datagram(endpoint at) override {
        if (calls_.strikes() && calls_.error != 0) return failure_of(calls_);
        auto made = below_.open_datagram(at);
        if (!made) return made.error();
        return std::make_unique<failing_datagrams>(std::move(made.value()), calls_);
    }
    net::task<result<std::vector<ip_address>>> resolve(std::string host) override {
        if (calls_.strikes() && calls_.error != 0) co_return failure_of(calls_);
        co_return co_await below_.resolve(std::move(host));
    }

private:
    failing_calls& calls_;
    bool const& has_tcp_;
};
}  // namespace fault
