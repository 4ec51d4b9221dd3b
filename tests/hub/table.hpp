#pragma once
// What the tests of the roster share. Include it last: it imports.
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

import shoal.announce;
import shoal.core;
import shoal.hub;
import shoal.session;

namespace hub_table {
using namespace shoal;
using namespace std::chrono_literals;
using hub::roster;
using session::hub_message;

inline info_hash const torrent = *info_hash::from(as_bytes("abcdefghijklmnopqrst"));

inline endpoint at(std::string_view text) {
    return *endpoint::parse(text);
}
inline bitfield pieces_of(std::uint32_t count, std::vector<std::uint32_t> const& had = {}) {
    bitfield made{count};
    for (auto const each : had) made.set(piece_index{each});
    return made;
}

/// A hub's roster, and the peers that talk to it.
struct table {
    explicit table(hub::roster_limits limits = {}) : nodes(limits, {7, 8}) {}

    struct caller {
        hub::session_id number = 0;
        std::vector<hub_message> heard;
    };
    void say(caller& who, session::peer_message const& what) {
        REQUIRE(nodes.received(who.number, session::encode(what), now));
        listen(who);
    }
    bool is_ended(caller& who, session::peer_message const& what) {
        bool const ended = !nodes.received(who.number, session::encode(what), now);
        listen(who);
        return ended;
    }
    void listen(caller& who) {
        for (auto const& bytes : nodes.take_output(who.number))
            who.heard.push_back(session::parse_hub_message(*bytes).value());
    }
    caller call(std::string_view from, char id, std::uint16_t port, std::optional<session::token> resume = {}) {
        caller who{nodes.connected(at(from), now), {}};
        session::hello hello;
        hello.id = *peer_id::from(as_bytes("-SL0010-" + std::string(12, id)));
        hello.port = port;
        hello.client = "Shoal 0.1";
        hello.resume = resume;
        say(who, hello);
        return who;
    }
    void pass(duration time) {
        now += time;
        nodes.tick(now);
    }
    template <class Message>
    static std::vector<Message> of(caller const& who) {
        std::vector<Message> found;
        for (auto const& each : who.heard)
            if (auto const* message = std::get_if<Message>(&each)) found.push_back(*message);
        return found;
    }

    roster nodes;
    time_point now{1h};
};
}  // namespace hub_table
