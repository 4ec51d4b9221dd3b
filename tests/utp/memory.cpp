#include <catch2/catch.hpp>
#include <random>

#include "support/counted_heap.hpp"

#include "link.hpp"
#include "script.hpp"

using namespace utp_test;
namespace heap = counted_heap;

TEST_CASE("a flood of SYNs takes a bounded amount of memory", "[utp]") {
    script with;
    std::mt19937_64 random{1};
    heap::mark();
    auto const before = heap::in_use();
    for (int i = 0; i < 50'000; ++i) {
        auto const drawn = random();
        with.from = {ip_address::v4({10, static_cast<std::uint8_t>(drawn), static_cast<std::uint8_t>(drawn >> 8), 1}),
                     static_cast<std::uint16_t>(drawn >> 16)};
        with.say({.type = packet_type::syn, .connection_id = static_cast<std::uint16_t>(drawn >> 32), .seq_nr = 1});
        if (i % 1000 == 0) with.hear();
    }
    CHECK(heap::peak() - before < 512 * 1024);
}

TEST_CASE("a steady stream takes nothing from the heap", "[utp]") {
    utp::host from{{.seed = 1}}, to{{.seed = 2}};
    auto now = begin;
    auto const mine = from.connect(address_of(1), now).value();
    std::array<std::byte, utp::limits::datagram_max> place;
    byte_vector const data(16384);
    byte_vector sink(16384);
    std::optional<utp::handle> other;
    std::uint64_t received = 0;
    auto const round = [&] {
        from.write(mine, std::array{byte_view{data}}, now);
        for (int i = 0; i < 2; ++i) {
            while (auto const sent = from.next_datagram(place, now))
                to.receive(address_of(0), byte_view{place}.first(sent->length), now);
            while (auto const sent = to.next_datagram(place, now))
                from.receive(address_of(1), byte_view{place}.first(sent->length), now);
        }
        if (!other) other = to.accept();
        if (other) received += to.read(*other, std::array{mutable_byte_view{sink}}, now);
        while (from.next_changed()) continue;
        while (to.next_changed()) continue;
        now += 100us;
        if (from.deadline() <= now) from.wake(now);
        if (to.deadline() <= now) to.wake(now);
    };
    for (int i = 0; i < 200; ++i) round();
    auto const before = heap::allocations();
    auto const so_far = received;
    for (int i = 0; i < 1000; ++i) round();
    CHECK(received - so_far >= 1000 * 16384);
    // deques take and give back a node now and then
    CHECK(heap::allocations() - before < 100);
}

TEST_CASE("what hostile peers make a host keep is bounded", "[utp]") {
    utp::host_settings settings{.seed = 1, .per_customer_max = 1000};
    settings.buffers_max = 4u << 20;
    script with{settings};
    auto const before = heap::in_use();
    heap::mark();
    // many connections, each with all that may come out of order, and nobody reads
    for (std::uint8_t i = 1; i <= 100; ++i) {
        with.from = script::peer(i);
        with.accepted(10);
        auto const first = with.ours;
        std::string const payload(1300, 'x');
        for (std::uint16_t at = 0; at < 1000; ++at) {
            with.ours = static_cast<std::uint16_t>(first + at * 4 + 1);
            with.say(with.next(packet_type::data), payload);
        }
        with.hear();
    }
    CHECK(with.host.size() == 100);
    CHECK(with.host.buffered() <= settings.buffers_max + 100 * 2 * utp::limits::buffer_guaranteed);
    CHECK(heap::peak() - before < (40u << 20));
}
