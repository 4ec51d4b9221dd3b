module;
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.net;
import shoal.asio;
import shoal.core;

namespace shoal::net {
clock::~clock() = default;
stream::~stream() = default;
listener::~listener() = default;
datagram_socket::~datagram_socket() = default;
network::~network() = default;
random::~random() = default;
worker_pool::~worker_pool() = default;

task<void> clock::sleep_until(time_point when) {
    signal never{co_await asio::this_coro::executor};
    co_await wait(never, when);
}

task<void> clock::sleep(duration length) {
    co_await sleep_until(now() + length);
}

task<result<std::size_t>> stream::read_some(mutable_byte_view place) {
    co_return co_await read_some({&place, 1});
}

task<result<void>> stream::write_all(byte_view bytes) {
    while (!bytes.empty()) {
        SHOAL_CO_TRY(auto const count, co_await write_some({&bytes, 1}));
        bytes = bytes.subspan(count);
    }
    co_return success();
}

task<result<void>> stream::read_all(mutable_byte_view place) {
    while (!place.empty()) {
        SHOAL_CO_TRY(auto const count, co_await read_some({&place, 1}));
        place = place.subspan(count);
    }
    co_return success();
}

result<std::vector<std::unique_ptr<datagram_socket>>> network::open_datagram_threads(endpoint at, std::size_t) {
    SHOAL_TRY(auto socket, open_datagram(at));
    std::vector<std::unique_ptr<datagram_socket>> one;
    one.push_back(std::move(socket));
    return one;
}

std::uint64_t random::next() {
    std::array<std::byte, sizeof(std::uint64_t)> bytes{};
    fill(bytes);
    return load_be<std::uint64_t>(bytes);
}
}  // namespace shoal::net
