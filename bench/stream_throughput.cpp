/// How fast do bytes pass one way between two `net::stream`s over loopback, one thread each? Bytes per second; the
/// argument is how many blocks of 16 KiB a gather write names, the reader scatters to 64.
#include <benchmark/benchmark.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

import shoal.asio;
import shoal.core;
import shoal.net;

using namespace shoal;

namespace {
constexpr std::size_t bytes_each = 64 << 20;

net::task<void> drain(net::listener& listener) {
    auto from = (co_await listener.accept()).value();
    byte_vector bytes(net::buffers_max * block_length);
    std::vector<mutable_byte_view> places;
    for (std::size_t i = 0; i < net::buffers_max; ++i)
        places.push_back(mutable_byte_view{bytes}.subspan(i * block_length, block_length));
    while (co_await from->read_some(places)) {}
}

net::task<void> push(net::environment& env, endpoint to, benchmark::State& state) {
    auto stream = (co_await env.network.connect(to, std::nullopt)).value();
    byte_vector const bytes(static_cast<std::size_t>(state.range(0)) * block_length);
    std::vector<byte_view> runs;
    for (std::size_t i = 0; i < bytes.size(); i += block_length)
        runs.push_back(byte_view{bytes}.subspan(i, block_length));
    for (auto _ : state)
        for (std::size_t sent = 0; sent < bytes_each;) sent += (co_await stream->write_some(runs)).value();
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes_each));
}

void stream_throughput(benchmark::State& state) {
    asio::io_context there, here;
    net::system_environment receiver{there.get_executor(), 1}, sender{here.get_executor(), 1};
    auto listener = receiver.get().network.listen({*ip_address::parse("127.0.0.1"), 0}).value();
    auto const at = listener->local();
    asio::co_spawn(there, drain(*listener), [](std::exception_ptr) {});
    std::thread thread{[&] { there.run(); }};
    asio::co_spawn(here, push(sender.get(), at, state), [](std::exception_ptr) {});
    here.run();
    thread.join();
}
}  // namespace
BENCHMARK(stream_throughput)->Arg(2)->Arg(4)->Arg(16)->Arg(64)->UseRealTime();
