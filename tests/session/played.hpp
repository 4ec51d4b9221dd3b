#pragma once
// A client that a test plays the hub for. Include it last: it imports.
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "values.hpp"

import shoal.core;
import shoal.session;

namespace played_client {
using namespace shoal;
using namespace shoal::session;
using namespace std::chrono_literals;

inline std::vector<piece_index> pieces(std::vector<std::uint32_t> const& numbers) {
    std::vector<piece_index> made;
    for (auto const each : numbers) made.push_back(piece_index{each});
    return made;
}
inline token some_token() {
    token made;
    made.fill(std::byte{9});
    return made;
}

/// A client, what it said, and the hub's part played by the test.
struct played {
    time_point now{1000h};
    session::client client;
    std::vector<any_client_event> events;

    explicit played(std::uint64_t seed = 1) : client({.id = {}, .port = 7000, .name = "Shoal", .seed = seed}, now) {}

    std::vector<peer_message> said() {
        std::vector<peer_message> all;
        while (auto bytes = client.next_message(now)) all.push_back(parse_peer_message(*bytes).value());
        return all;
    }
    template <class Message>
    Message only() {
        auto const all = said();
        REQUIRE(all.size() == 1);
        REQUIRE(std::holds_alternative<Message>(all[0]));
        return std::get<Message>(all[0]);
    }
    result<void> hears(hub_message const& message) {
        auto const heard = client.received(encode(message), now);
        while (auto event = client.next_event()) events.push_back(*event);
        return heard;
    }
    template <class Event>
    std::vector<Event> all() const {
        std::vector<Event> found;
        for (auto const& each : events)
            if (auto const* one = std::get_if<Event>(&each)) found.push_back(*one);
        return found;
    }
    void open(std::vector<resumed> known = {}) {
        REQUIRE(client.wants_connection(now));
        client.opening();
        client.connected(now);
        (void)only<hello>();
        welcome back;
        back.resume = some_token();
        back.every = 1000ms;
        back.torrents = std::move(known);
        REQUIRE(hears(back));
    }
    void lose() {
        client.disconnected(now);
        while (auto event = client.next_event()) events.push_back(*event);
    }
};
}  // namespace played_client
