/// How many announces on kept connections does `net::http_server` answer on one thread? Requests per second; the
/// argument is how many connections ask, one request each at a time, from another thread.
#include <benchmark/benchmark.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;

using namespace shoal;

namespace {
constexpr std::size_t requests_each = 200;  // of each connection in one round
constexpr std::string_view request =
    "GET /announce?info_hash=%01%23Eg%89%ab%cd%ef%01%23Eg%89%ab%cd%ef%01%23Eg&peer_id=-SH0001-abcdefghijkl&port=6881"
    "&uploaded=0&downloaded=0&left=1000&compact=1&numwant=50&event=started HTTP/1.1\r\n"
    "Host: 127.0.0.1:6969\r\nUser-Agent: bench/1\r\nAccept-Encoding: gzip\r\n\r\n";

net::http_response answer(net::http_request const& asked) {
    benchmark::DoNotOptimize(asked.target.data());
    return {.body = std::string(350, 'p')};  // fifty compact peers
}

net::task<void> ask(net::stream& to) {
    byte_vector place(4096);
    for (std::size_t i = 0; i < requests_each; ++i) {
        (void)co_await to.write_all(as_bytes(request));
        (void)co_await to.read_some(place);  // a reply is one segment
    }
}

net::task<void> drive(net::environment& env, endpoint to, benchmark::State& state, std::function<void()> done) {
    std::vector<std::unique_ptr<net::stream>> streams;
    for (int i = 0; i < state.range(0); ++i)
        streams.push_back((co_await env.network.connect(to, std::nullopt)).value());
    net::task_group group{co_await asio::this_coro::executor};
    for (auto _ : state) {
        for (auto const& each : streams) group.spawn("ask", ask(*each));
        co_await group.join();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0) * static_cast<std::int64_t>(requests_each));
    done();
}

void http_requests(benchmark::State& state) {
    asio::io_context there, here;
    net::system_environment serving{there.get_executor(), 1}, asking{here.get_executor(), 1};
    auto listener = serving.get().network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
    auto const at = listener->local();
    net::http_server server{serving.get(), answer, {.connections_per_address = 1000}};
    net::task_group tasks{there.get_executor()};
    auto const serve = [&]() -> net::task<void> { co_await server.serve(std::move(listener)); };
    tasks.spawn("server", serve());
    std::thread thread{[&] { there.run(); }};
    auto const done = [&] { asio::post(there, [&] { tasks.cancel(); }); };
    asio::co_spawn(here, drive(asking.get(), at, state, done), [](std::exception_ptr) {});
    here.run();
    thread.join();
}
}  // namespace
BENCHMARK(http_requests)->Arg(1)->Arg(32)->Arg(256)->UseRealTime();
