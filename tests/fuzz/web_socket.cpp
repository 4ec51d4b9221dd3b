#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <string_view>
#include "fuzz.hpp"

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
constexpr std::string_view handshake =
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr std::size_t message_max = 4096;
}  // namespace

/// Frames of a client that has a web socket open. First byte: in what steps they come; bit 7: the server sends too.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const how = fuzz::take(data, size);
    auto const frames = as_bytes(fuzz::text(data, size));
    fuzz::heap_watch const heap;
    std::size_t received = 0;
    bool has_ended = false;
    auto const hold = [&](net::web_socket& socket) -> net::task<void> {
        for (;;) {
            auto const message = co_await socket.receive();
            if (!message || !message.value()) break;
            auto const& [is_text, bytes] = *message.value();
            received += bytes.size();
            fuzz::require(bytes.size() <= message_max, "a message is within its limit");
            fuzz::require(!is_text || is_valid_utf8(as_text(bytes)), "a text is UTF-8");
            if (how & 0x80 && !co_await socket.send(bytes)) break;
        }
        has_ended = true;
    };
    {
        testing::simulation world{1};
        net::http_server_limits limits;
        limits.web_socket.message_bytes = message_max;
        net::http_server server{world.host(0),
                                [&](net::http_request const&) { return net::http_response{.upgrade = hold}; }, limits};
        auto const serve = [&]() -> net::task<void> {
            (void)co_await server.serve(world.host(0).network.listen({{}, 80}).value());
        };
        auto const talk = [&]() -> net::task<void> {
            auto client = (co_await world.host(1).network.connect({world.address_of(0), 80}, std::nullopt)).value();
            auto const step = std::size_t{1} << (how & 0x0f);
            bool is_open = (co_await client->write_all(as_bytes(handshake))).has_value();
            for (std::size_t at = 0; is_open && at < frames.size(); at += step)
                is_open =
                    (co_await client->write_all(frames.subspan(at, std::min(step, frames.size() - at)))).has_value();
            std::array<std::byte, 512> place{};
            for (;;) {  // what comes back is read, and nothing more is said
                auto const got =
                    co_await net::with_deadline(world.host(1).clock, world.now() + 10s, client->read_some(place));
                if (!got) break;
            }
        };
        world.spawn("server", serve());
        fuzz::require(world.run_to_end(talk(), 1h), "the talk ends");
        fuzz::require(world.run_until([&] { return server.connection_count() == 0; }, 1h), "the connection ends");
        fuzz::require(has_ended || received == 0, "whoever receives learns of the end");
        fuzz::require(received <= size, "a client's message is no longer than what it sent");
    }
    heap.within(size, 64, 4u << 20);
    return 0;
}
