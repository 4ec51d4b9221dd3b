#pragma once
// Our node in a simulated world, and strangers that do what a test says. Include it last: it imports.
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "support/failing_heap.hpp"

import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import shoal.testing;
import shoal.wire;

namespace simulated_world {
using namespace shoal;
using namespace std::chrono_literals;

inline constexpr std::uint16_t port = 6881;

/// A peer that has everything and does what the test says, over one connection that was made to it.
class stranger {
public:
    stranger(net::environment& outside, testing::content const& content) : outside_(outside), content_(content) {}

    /// Connects for its part: it has nothing, or what it is told, and is interested.
    net::task<void> greet(std::unique_ptr<net::stream> stream, info_hash const& hash, std::uint32_t mark = 'g',
                          bitfield pieces = {}) {
        stream_ = std::move(stream);
        wire::handshake ours;
        ours.hash = hash;
        ours.id.bytes.fill(static_cast<std::byte>(mark));
        ours.id.bytes[0] = static_cast<std::byte>(mark >> 8);
        ours.extensions = false;
        auto const hello = wire::encode(ours);
        (void)co_await stream_->write_all(hello);
        std::array<std::byte, wire::handshake_length> reply;
        (void)co_await stream_->read_all(reply);
        begin(true);
        core->send_bitfield(pieces.size() > 0 ? pieces : bitfield(content_.torrent->pieces().piece_count()));
        core->interested();
        co_await send();
    }
    /// Shakes hands, says what it has, and gives leave to ask.
    net::task<void> meet(net::listener& at, bitfield pieces, char mark = 's', bool fast = true) {
        stream_ = (co_await at.accept()).value();
        std::array<std::byte, wire::handshake_length> hello;
        (void)co_await stream_->read_all(hello);
        auto ours = wire::parse_handshake(hello).value();
        ours.id.bytes.fill(static_cast<std::byte>(mark));
        ours.fast = fast;
        ours.extensions = false;
        auto const reply = wire::encode(ours);
        (void)co_await stream_->write_all(reply);
        begin(fast);
        core->send_bitfield(pieces);
        core->unchoke();
        co_await send();
    }
    /// Reads once and keeps what it is asked for; false when the connection is over.
    net::task<bool> hear() {
        byte_vector inbox(block_length);
        auto const got = co_await stream_->read_some(mutable_byte_view{inbox});
        if (!got || !core->receive(byte_view{inbox}.first(got.value()), outside_.clock.now())) co_return false;
        while (auto const happened = core->next_event()) {
            if (std::holds_alternative<wire::event::interested>(*happened)) core->unchoke();
            if (std::holds_alternative<wire::event::not_interested>(*happened)) core->choke();
            if (std::holds_alternative<wire::event::rejected>(*happened)) ++rejected;
        }
        while (auto const block = core->next_upload()) asked.push_back(*block);
        co_return true;
    }
    /// Sends the block that was asked for first, wrong where it lies.
    net::task<void> answer() {
        static byte_vector const wrong(block_length);
        auto const right = content_.block(asked.front());
        byte_vector padded;
        if (spoils_padding) padded = with_spoilt_padding(asked.front(), right);
        core->send_block(asked.front(), is_liar          ? byte_view{wrong}.first(right.size())
                                        : spoils_padding ? byte_view{padded}
                                                         : right);
        asked.pop_front();
        co_await send();
    }
    /// Answers all that is asked, until the connection ends.
    net::task<void> serve() {
        do {
            while (!asked.empty()) co_await answer();
            co_await send();
        } while (co_await hear());
    }
    net::task<void> send() {
        std::array<byte_view, 8> runs;
        while (auto const count = core->unsent(runs)) {
            auto const wrote = co_await stream_->write_some(std::span<byte_view const>{runs}.first(count));
            if (!wrote) co_return;
            core->sent(wrote.value(), outside_.clock.now());
        }
    }
    net::task<void> send(byte_view bytes) { (void)co_await stream_->write_all(bytes); }
    /// A block as it stands on the wire.
    byte_vector message_of(block_ref const& block) const {
        byte_vector out;
        byte_writer{out}
            .be(9 + block.length)
            .be(std::uint8_t{7})
            .be(to_number(block.piece))
            .be(block.begin)
            .bytes(content_.block(block));
        return out;
    }
    void leave() { stream_->close(); }

    std::deque<block_ref> asked;
    std::size_t rejected = 0;
    bool is_liar = false;
    bool spoils_padding = false;
    std::optional<wire::connection> core;

private:
    byte_vector with_spoilt_padding(block_ref block, byte_view right) const {
        byte_vector bytes(right.begin(), right.end());
        auto const& layout = content_.torrent->content();
        std::size_t done = 0;
        layout.for_each_range(content_.torrent->pieces().offset_of(block), block.length,
                              [&](metainfo::file_range const& range) {
                                  if (layout.files()[range.file].pad) bytes[done] = std::byte{'x'};
                                  done += range.length;
                              });
        return bytes;
    }
    void begin(bool fast) {
        wire::settings settings;
        settings.piece_length = content_.torrent->pieces().piece_length();
        settings.total_size = content_.torrent->pieces().total_size();
        settings.fast = fast;
        core.emplace(settings, outside_.clock.now());
    }

    net::environment& outside_;
    testing::content const& content_;
    std::unique_ptr<net::stream> stream_;
};

/// Our node on host 0 of a simulated world, and strangers on the others.
class world {
public:
    explicit world(testing::content const& what) : content(what), sim(7) {
        sim.host(0);
        sim.host(1);
    }
    ~world() { end(); }
    /// Stops the node.
    void end() {
        if (node) sim.run_to_end(node->stop(), 1min);
        transfer.reset();
        node.reset();
    }
    endpoint at(std::size_t host) { return {sim.address_of(host), port}; }
    /// Starts a node that fetches the content, or has it already where `disk` holds it.
    void start(std::vector<endpoint> peers, engine::node_settings settings = {}) {
        start_in(sim.host(0), std::move(peers), std::move(settings));
    }
    void start_in(net::environment outside, std::vector<endpoint> peers, engine::node_settings settings) {
        node = std::make_unique<engine::node>(outside, sim.executor(), std::move(settings));
        (void)node->listen(at(0)).value();
        engine::transfer_options options;
        options.files = std::make_shared<store::simulated_files>(disk);
        options.storage.writable = is_writable;
        options.connect = std::move(peers);
        options.trackers = trackers;
        options.is_public = is_public;
        options.members_only = is_for_members;
        options.on_event = [this](engine::transfer_event const& what) {
            failing_heap::sheltered const own;
            events.push_back(what);
        };
        transfer = node->add(content.torrent, std::move(options)).value();
    }
    /// Runs a stranger's part on a host.
    void play(std::size_t host, std::function<net::task<void>(net::listener&, stranger&)> part) {
        sim.host(host);
        sim.spawn("stranger", perform(host, std::move(part)));
    }
    bool left_with(std::error_code why) const {
        for (auto const& each : events)
            if (auto const* left = std::get_if<engine::event::peer_left>(&each); left && left->why == why) return true;
        return false;
    }
    bitfield everything() const { return bitfield(content.torrent->pieces().piece_count(), true); }
    bool completes(duration within) {
        return sim.run_until([this] { return transfer->status().bytes_left == 0; }, within);
    }

    testing::content const& content;
    std::shared_ptr<store::simulated_disk> disk = std::make_shared<store::simulated_disk>(1);
    std::vector<engine::transfer_event> events;
    bool is_writable = true;
    bool is_public = true, is_for_members = false;
    std::vector<std::string> trackers;
    std::unique_ptr<engine::node> node;
    std::shared_ptr<engine::transfer> transfer;
    testing::simulation sim;  // ends first: its tasks use all the above

private:
    net::task<void> perform(std::size_t on, std::function<net::task<void>(net::listener&, stranger&)> part) {
        auto const listener = sim.host(on).network.listen(at(on)).value();
        stranger self{sim.host(on), content};
        co_await part(*listener, self);
    }
};

/// Another node, which fetches what the world is about and gives it to whoever asks.
class leecher {
public:
    leecher(world& in, std::size_t host, std::vector<endpoint> peers)
        : world_(in), at_(in.at(host)), node_(in.sim.host(host), in.sim.executor(), {}) {
        engine::transfer_options options;
        options.files = std::make_shared<store::simulated_files>(disk_);
        options.is_public = in.is_public;
        options.connect = std::move(peers);
        transfer = node_.add(in.content.torrent, std::move(options)).value();
    }
    ~leecher() { world_.sim.run_to_end(node_.stop(), 1min); }
    /// Others can connect to it.
    leecher& listening() {
        (void)node_.listen(at_).value();
        return *this;
    }
    bool is_complete() const {
        return transfer->status().state == engine::transfer_state::seeding &&
               disk_->content("0") == world_.content.files[0];
    }

    std::shared_ptr<engine::transfer> transfer;

private:
    world& world_;
    endpoint at_;
    std::shared_ptr<store::simulated_disk> disk_ = std::make_shared<store::simulated_disk>(2);
    engine::node node_;
};

inline testing::content content_of(std::size_t bytes) {
    return testing::make_content({{"one", bytes}}, {.format = metainfo::format::v1});
}

/// A stranger on this host shakes hands with the node; true in `heard` when it has answered.
inline net::task<void> shake_hands(world& in, std::size_t host, bool& heard) {
    auto& outside = in.sim.host(host);
    stranger self{outside, in.content};
    auto stream = (co_await outside.network.connect(in.at(0), std::nullopt)).value();
    co_await self.greet(std::move(stream), in.content.torrent->swarm_hash());
    heard = co_await self.hear();
}
}  // namespace simulated_world
