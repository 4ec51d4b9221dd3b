#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include "fuzz.hpp"

import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
constexpr std::size_t steps_max = 4096;

/// A network in which every name and every address leads to host 0.
class one_host final : public testing::passing_network {
public:
    one_host(net::network& below, ip_address host) : passing_network(below), host_(host) {}
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint, std::optional<ip_address>) override {
        ++connections;
        return below_.connect({host_, 80}, std::nullopt);
    }
    net::task<result<std::vector<ip_address>>> resolve(std::string host) override {
        fuzz::require(std::ranges::all_of(host, [](char c) { return c > ' ' && c < '\x7f'; }),
                      "nobody looks up a host that is not in visible ASCII");
        co_return std::vector{host_};
    }
    std::size_t connections = 0;

private:
    ip_address host_;
};
}  // namespace

/// A URL, a line break, and what a server answers to whatever is asked, at each redirect anew. A byte before: in what
/// steps the answer comes (a long one in larger ones: it is read here up to six times); bit 7: the connection stays
/// open after it.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const how = fuzz::take(data, size);
    auto const input = fuzz::text(data, size);
    auto const line = std::min(input.find('\n'), input.size());
    auto const answer = input.substr(std::min(line + 1, input.size()));
    fuzz::heap_watch const heap;
    net::http_limits limits;
    limits.body_bytes = 8192;
    bool has_ended = false;
    {
        testing::simulation world{1};
        one_host network{world.host(1).network, world.address_of(0)};
        auto& inner = world.host(1);
        net::environment outside{inner.clock, network, inner.random, inner.workers};
        auto const serve = [&]() -> net::task<void> {
            auto listener = world.host(0).network.listen({{}, 80}).value();
            for (;;) {
                auto const client = (co_await listener->accept()).value();
                std::string request;
                std::array<std::byte, 1024> place{};
                while (request.find("\r\n\r\n") == request.npos) {
                    auto const got = co_await client->read_some(place);
                    if (!got) break;
                    request += as_text(byte_view{place}.first(got.value()));
                }
                auto const head = request.substr(0, request.find("\r\n"));
                if (!request.empty() && request[0] == 'G')  // else TLS
                    fuzz::require(head.starts_with("GET /") && head.ends_with(" HTTP/1.1") &&
                                      std::ranges::count(head, ' ') == 2 && std::ranges::count(request, '\n') == 5,
                                  "a URL adds no line and no field to a request");
                auto const step = std::max(std::size_t{1} << (how & 0x0f), answer.size() / steps_max + 1);
                for (std::size_t at = 0; at < answer.size(); at += step)
                    if (!co_await client->write_all(as_bytes(answer.substr(at, step)))) break;
                if (how & 0x80) co_await world.host(0).clock.sleep(1min);
            }
        };
        auto const ask = [&]() -> net::task<void> {
            auto const reply = co_await net::http_get(outside, std::string{input.substr(0, line)}, limits);
            has_ended = true;
            if (!reply) co_return;
            fuzz::require(reply.value().status >= 200, "a reply is no interim one");
            fuzz::require(reply.value().body.size() <= limits.body_bytes, "a body is within its limit");
            fuzz::require(std::ranges::all_of(reply.value().url, [](char c) { return c > ' ' && c < '\x7f'; }),
                          "a URL is in visible ASCII");
        };
        world.spawn("server", serve());
        fuzz::require(world.run_to_end(ask(), limits.total + 1s) && has_ended, "a fetch keeps its deadline");
        fuzz::require(network.connections <= limits.redirects + 1, "redirects are bounded");
    }
    heap.within(size, 64, 4u << 20);
    return 0;
}
