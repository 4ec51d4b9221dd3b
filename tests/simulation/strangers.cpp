#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "world.hpp"

import shoal.announce;

using namespace simulated_world;

namespace {
/// A network whose connections throw at the tenth read.
class brittle_network final : public testing::passing_network {
public:
    using passing_network::passing_network;
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, std::optional<ip_address> from) override {
        auto made = co_await below_.connect(to, from);
        if (!made) co_return made;
        co_return std::make_unique<brittle>(std::move(made.value()));
    }

private:
    class brittle final : public net::stream {
    public:
        explicit brittle(std::unique_ptr<net::stream> below) : below_(std::move(below)) {}
        net::task<result<std::size_t>> read_some(std::span<mutable_byte_view const> places) override {
            if (++reads_ == 10) throw std::logic_error{"a read that throws"};
            return below_->read_some(places);
        }
        net::task<result<std::size_t>> write_some(std::span<byte_view const> runs) override {
            return below_->write_some(runs);
        }
        void close() override { below_->close(); }
        endpoint local() const override { return below_->local(); }
        endpoint remote() const override { return below_->remote(); }

    private:
        std::unique_ptr<net::stream> below_;
        int reads_ = 0;
    };
};
}  // namespace

TEST_CASE("a block that is half here when its peer is snubbed goes to no buffer of somebody else", "[simulation]") {
    auto const content = content_of(30'000'000);
    world here{content};
    // A steady rate over a long way: the node asks for what is under way, and as much again.
    here.sim.host(1);
    here.sim.connect_by(1, {.latency = 100ms});
    bool was_late = false;
    auto const listen = [](stranger& to) -> net::task<void> {
        while (co_await to.hear()) {}
    };
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        auto& clock = here.sim.host(1).clock;
        co_await self.meet(at, here.everything());
        here.sim.spawn("listen", listen(self));
        while (self.asked.size() < 60) {
            if (!self.asked.empty()) co_await self.answer();
            co_await clock.sleep(2ms);
        }
        // Out of order: none of the blocks that a read aims at by the order of the requests.
        auto const late = self.asked[50];
        self.asked.erase(self.asked.begin() + 50);
        auto const bytes = self.message_of(late);
        co_await self.send(byte_view{bytes}.first(bytes.size() / 2));
        co_await clock.sleep(40s);  // longer than `snub_after`
        co_await self.send(byte_view{bytes}.subspan(bytes.size() / 2));
        was_late = true;
        for (;;) {
            while (!self.asked.empty()) co_await self.answer();
            co_await clock.sleep(2ms);
        }
    });
    here.start({here.at(1)});
    CHECK(here.completes(5min));
    CHECK(was_late);
    CHECK(here.transfer->status().failed_pieces == 0);
    here.end();
    here.sim.run_for(
        1s);  // the listener, which reads from the stranger, hears that nobody is there and ends before him
}

TEST_CASE("what a peer got while the disk was full is asked for when there is space again", "[simulation]") {
    auto const content = content_of(1'000'000);
    world here{content};
    auto const count = content.torrent->pieces().piece_count();
    bool is_full = false;
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        auto pieces = here.everything();
        pieces.set(piece_index{count - 1}, false);
        co_await self.meet(at, std::move(pieces));
        while (self.asked.empty()) (void)co_await self.hear();
        co_await self.answer();
        auto& clock = here.sim.host(1).clock;
        while (here.transfer->status().state != engine::transfer_state::failed) co_await clock.sleep(100ms);
        is_full = true;
        for (; !self.asked.empty(); self.asked.pop_front()) self.core->reject(self.asked.front());
        self.core->have(piece_index{count - 1});
        co_await self.send();
        co_await clock.sleep(10s);
        here.disk->set_capacity(UINT64_MAX);
        co_await self.serve();
    });
    here.disk->set_capacity(300'000);
    here.start({here.at(1)});
    CHECK(here.completes(5min));
    CHECK(is_full);
}

TEST_CASE("a transfer that found no descriptor or no space at its start begins later", "[simulation]") {
    auto const content = content_of(300'000);
    world here{content};
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything());
        co_await self.serve();
    });
    here.disk->fail(1, GENERATE(EMFILE, ENOSPC), GENERATE(1, 2, 3));
    here.start({here.at(1)});
    here.sim.run_for(1s);
    CHECK(here.transfer->status().state == engine::transfer_state::failed);
    CHECK(here.completes(1min));
    CHECK_FALSE(here.transfer->status().error);
}

TEST_CASE("a read that fails once costs a seeder no piece", "[simulation]") {
    auto const content = content_of(300'000);
    world here{content};
    here.disk->put("0", content.files[0]);
    std::size_t answered = 0;
    bool has_failed = false;
    auto const ask_all = [&](net::environment& outside) -> net::task<void> {
        auto stream = (co_await outside.network.connect(here.at(0), std::nullopt)).value();
        stranger self{outside, content};
        co_await self.greet(std::move(stream), content.torrent->swarm_hash());
        auto const& pieces = content.torrent->pieces();
        std::vector<byte_vector> places;
        for (std::uint32_t i = 0; i < pieces.piece_count();) {
            while (self.core->is_choked())
                if (!co_await self.hear()) co_return;
            if (i == 3 && !std::exchange(has_failed, true)) here.disk->fail(1, EIO);
            auto const block = pieces.block_at(piece_index{i}, 0);
            auto& place = places.emplace_back(block.length);
            auto const before = self.core->counters().payload_received;
            self.rejected = 0;
            (void)self.core->request(block, place, outside.clock.now());
            co_await self.send();
            while (self.rejected == 0 && self.core->counters().payload_received < before + block.length)
                if (!co_await self.hear()) co_return;
            if (self.rejected > 0)
                co_await outside.clock.sleep(1s);
            else
                ++answered, ++i;
        }
    };
    here.start({});
    here.sim.spawn("stranger", ask_all(here.sim.host(1)));
    here.sim.run_for(1min);
    CHECK(answered == content.torrent->pieces().piece_count());
    CHECK(here.transfer->status().bytes_left == 0);
}

TEST_CASE("a transfer is complete when the disk has it all, and not before what it lost was fetched again",
          "[simulation]") {
    auto const content = content_of(500'000);
    world here{content};
    std::size_t blocks = 0;
    for (std::uint32_t i = 0; i < content.torrent->pieces().piece_count(); ++i)
        blocks += content.torrent->pieces().block_count(piece_index{i});
    bool may_end = false;
    std::size_t answered = 0;
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        for (;;) {  // it may be left, and is found again
            self.asked.clear();
            co_await self.meet(at, here.everything());
            while (co_await self.hear())
                for (; !self.asked.empty(); ++answered) {
                    while (answered + 1 == blocks && !may_end) co_await here.sim.host(1).clock.sleep(10ms);
                    co_await self.answer();
                }
        }
    });
    here.start({here.at(1)});
    REQUIRE(here.sim.run_until([&] { return answered + 1 == blocks; }, 3s));
    here.sim.run_for(100ms);
    here.disk->fail(1, EIO);  // the next call is a sync
    auto const has = [&](auto const& is) { return std::ranges::any_of(here.events, is); };
    REQUIRE(here.sim.run_until(
        [&] { return has([](auto const& each) { return std::holds_alternative<engine::event::failed>(each); }); },
        10s));
    may_end = true;
    REQUIRE(here.sim.run_until(
        [&] { return has([](auto const& each) { return std::holds_alternative<engine::event::completed>(each); }); },
        2min));
    CHECK(here.disk->content("0") == content.files[0]);
    CHECK(answered > blocks);
}

TEST_CASE("sixteen peers that are interested and ask nothing keep nobody from a seeder", "[simulation]") {
    auto const content = content_of(4'000'000);
    world here{content};
    here.disk->put("0", content.files[0]);
    here.is_writable = false;
    here.start({});
    here.sim.run_for(1s);
    auto const sit = [](net::environment& outside, endpoint at, testing::content const& what,
                        char mark) -> net::task<void> {
        stranger self{outside, what};
        auto stream = (co_await outside.network.connect(at, std::nullopt)).value();
        co_await self.greet(std::move(stream), what.torrent->swarm_hash(), mark);
        while (co_await self.hear());
    };
    for (std::size_t i = 0; i < 16; ++i)
        here.sim.spawn("sit", sit(here.sim.host(i + 2), here.at(0), content, static_cast<char>('A' + i)));
    here.sim.run_for(5s);
    REQUIRE(here.transfer->status().peers == 16);
    here.sim.connect_by(1, {.download = 100'000});  // it needs its slot for more than one round
    leecher const honest{here, 1, {here.at(0)}};
    CHECK(here.sim.run_until([&] { return honest.is_complete(); }, 90s));
}

TEST_CASE("a small torrent need not wait until a large one is checked", "[simulation]") {
    auto const large = testing::make_content({{"large", 128'000'000}}, {.format = metainfo::format::v1});
    auto const small = content_of(100'000);
    world here{small};
    here.node = std::make_unique<engine::node>(here.sim.host(0), here.sim.executor(), engine::node_settings{});
    std::string order;
    auto const add = [&](testing::content const& what, std::string name) {
        engine::transfer_options options;
        auto const disk = std::make_shared<store::simulated_disk>(1);
        disk->put("0", what.files[0]);
        options.files = std::make_shared<store::simulated_files>(disk);
        options.on_event = [&order, name](engine::transfer_event const& happened) {
            if (std::holds_alternative<engine::event::checked>(happened)) order += name;
        };
        here.transfer = here.node->add(what.torrent, std::move(options)).value();
    };
    add(large, "large ");
    add(small, "small ");
    here.sim.run_for(1s);
    CHECK(order == "small large ");
}

TEST_CASE("an exception in one half of a session ends the session and is told", "[simulation]") {
    auto const content = content_of(3'000'000);
    world here{content};
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything());
        co_await self.serve();
    });
    auto& outside = here.sim.host(0);
    brittle_network network{outside.network};
    std::vector<std::string> told;
    engine::node_settings settings;
    settings.on_failure = [&](std::string_view task, std::exception_ptr const&) { told.emplace_back(task); };
    here.start_in({outside.clock, network, outside.random, outside.workers}, {here.at(1)}, std::move(settings));
    CHECK(here.sim.run_until([&] { return !told.empty(); }, 1min));
    here.sim.run_for(1s);
    CHECK(told == std::vector{"connect " + here.at(1).to_string()});
    CHECK(here.transfer->status().peers == 0);
    here.end();
}

TEST_CASE("one address cannot take up all the handshakes of a node", "[simulation]") {
    auto const content = content_of(100'000);
    world here{content};
    here.start({});
    std::vector<std::unique_ptr<net::stream>> silent;
    auto const hold = [](net::environment& outside, endpoint at, auto& held) -> net::task<void> {
        for (int i = 0; i < 300; ++i) held.push_back((co_await outside.network.connect(at, std::nullopt)).value());
    };
    bool is_heard = false;
    here.sim.spawn("hold", hold(here.sim.host(1), here.at(0), silent));
    here.sim.run_for(8s);  // less than `handshake_timeout`
    CHECK(silent.size() == 300);
    here.sim.spawn("greet", shake_hands(here, 2, is_heard));
    here.sim.run_for(1s);
    CHECK(is_heard);
}

TEST_CASE("many addresses that are silent cannot take up all the handshakes of a node", "[simulation]") {
    auto const content = content_of(100'000);
    world here{content};
    here.start({});
    std::vector<std::unique_ptr<net::stream>> silent;
    auto const hold = [](world& in, auto& held) -> net::task<void> {
        for (std::size_t i = 0; i < 400; ++i)
            held.push_back((co_await in.sim.host(1 + i % 30).network.connect(in.at(0), std::nullopt)).value());
    };
    bool is_heard = false;
    here.sim.spawn("hold", hold(here, silent));
    here.sim.run_for(8s);  // less than `handshake_timeout`
    CHECK(silent.size() == 400);
    here.sim.spawn("greet", shake_hands(here, 31, is_heard));
    here.sim.run_for(1s);
    CHECK(is_heard);
}

TEST_CASE("a peer is neither banned nor pushed out by somebody elsewhere who takes its name", "[simulation]") {
    auto const content = content_of(2'000'000);
    world here{content};
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything(), 's');
        self.is_liar = true;
        co_await self.serve();
    });
    here.start({here.at(1)});
    REQUIRE(here.sim.run_until([&] { return here.left_with(engine::errc::banned); }, 1min));
    // One that came to us, and one that we connect to, both by the name of 'g'.
    bool was_pushed_out = false;
    auto const stay = [](world& in, bool& left) -> net::task<void> {
        stranger self{in.sim.host(2), in.content};
        auto stream = (co_await in.sim.host(2).network.connect(in.at(0), std::nullopt)).value();
        co_await self.greet(std::move(stream), in.content.torrent->swarm_hash());
        while (co_await self.hear()) {}
        left = true;
    };
    here.sim.spawn("stay", stay(here, was_pushed_out));
    here.sim.run_for(1s);
    here.play(3, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything(), 'g');
        while (co_await self.hear()) {}
    });
    here.transfer->connect({here.at(3)});
    here.sim.run_for(5s);
    CHECK_FALSE(was_pushed_out);
    // An honest one by the name of the liar.
    here.play(4, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything(), 's');
        co_await self.serve();
    });
    here.transfer->connect({here.at(4)});
    CHECK(here.completes(1min));
    here.end();
}

TEST_CASE("whoever sent a wrong block is not talked to for an hour, and then again", "[simulation]") {
    auto const content = content_of(2'000'000);
    world here{content};
    here.play(1, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything(), 's');
        self.is_liar = true;
        co_await self.serve();
        stranger mended{here.sim.host(1), content};
        co_await mended.meet(at, here.everything(), 's');
        co_await mended.serve();
    });
    here.start({here.at(1)});
    REQUIRE(here.sim.run_until([&] { return here.left_with(engine::errc::banned); }, 1min));
    CHECK_FALSE(here.completes(engine::ban_lifetime - 2min));
    CHECK(here.completes(10min));
    here.end();
}

TEST_CASE("an address of three liars is let in no more for an hour, and whoever is there stays", "[simulation]") {
    auto const content = content_of(2'000'000);
    world here{content};
    here.start({});
    here.sim.run_for(1s);
    // All behind one NAT.
    auto const visit = [](world& in, std::uint32_t mark, bool lies, bitfield pieces, bool& left) -> net::task<void> {
        stranger self{in.sim.host(1), in.content};
        self.is_liar = lies;
        auto stream = (co_await in.sim.host(1).network.connect(in.at(0), std::nullopt)).value();
        co_await self.greet(std::move(stream), in.content.torrent->swarm_hash(), mark, std::move(pieces));
        co_await self.serve();
        left = true;
    };
    auto const banned = [&] {
        return std::ranges::count_if(
            here.events, [](auto const& each) { return std::holds_alternative<engine::event::peer_banned>(each); });
    };
    std::array<bool, 6> left{};
    here.sim.spawn("neighbour", visit(here, 100, false, {}, left[0]));
    for (std::uint32_t i = 1; i <= 3; ++i) {
        here.sim.spawn("liar", visit(here, i, true, here.everything(), left[i]));
        REQUIRE(here.sim.run_until([&] { return left[i]; }, 1min));
        CHECK(banned() == i);
    }
    here.sim.spawn("newcomer", visit(here, 101, false, here.everything(), left[4]));
    here.sim.run_for(30s);
    CHECK(left[4]);
    CHECK_FALSE(left[0]);
    here.sim.run_for(engine::ban_lifetime);
    here.sim.spawn("later", visit(here, 101, false, here.everything(), left[5]));
    CHECK(here.completes(1min));
    here.end();
}

TEST_CASE("the time until we hang up tells nobody which torrents are here", "[simulation]") {
    auto const content = content_of(100'000);
    auto const removed = testing::make_content({{"removed", 100'000}}, {.format = metainfo::format::v1, .seed = 2});
    auto const unknown = testing::make_content({{"unknown", 100'000}}, {.format = metainfo::format::v1, .seed = 3});
    world here{content};
    here.is_for_members = true;
    here.start({});
    engine::transfer_options options;
    options.files = std::make_shared<store::simulated_files>(std::make_shared<store::simulated_disk>(3));
    auto const gone = here.node->add(removed.torrent, std::move(options)).value();
    here.sim.run_for(1s);
    REQUIRE(here.sim.run_to_end(gone->stop(), 10s));
    // Two of an address are kept waiting, others are not.
    auto const times = [&here](info_hash const& hash, std::size_t host) {
        std::vector<duration> taken;
        auto const ask = [](world& in, info_hash what, std::size_t from,
                            std::vector<duration>& all) -> net::task<void> {
            auto& outside = in.sim.host(from);
            auto const began = outside.clock.now();
            auto stream = (co_await outside.network.connect(in.at(0), std::nullopt)).value();
            wire::handshake hello;
            hello.hash = what;
            (void)co_await stream->write_all(wire::encode(hello));
            std::array<std::byte, 1> answer;
            CHECK_FALSE(co_await stream->read_all(answer));
            all.push_back(outside.clock.now() - began);
        };
        for (int i = 0; i < 3; ++i) here.sim.spawn("ask", ask(here, hash, host, taken));
        here.sim.run_for(20s);
        return taken;
    };
    auto const of_unknown = times(unknown.torrent->swarm_hash(), 1);
    REQUIRE(of_unknown.size() == 3);
    CHECK(times(content.torrent->swarm_hash(), 2) == of_unknown);
    CHECK(times(removed.torrent->swarm_hash(), 3) == of_unknown);
    here.end();
}

TEST_CASE("a peer that takes a connection and drops it is tried ever more seldom", "[simulation]") {
    auto const content = content_of(100'000);
    world here{content};
    int visits = 0;
    here.play(1, [&](net::listener& at, stranger&) -> net::task<void> {
        for (;; ++visits) {
            stranger each{here.sim.host(1), content};
            co_await each.meet(at, here.everything());
            each.leave();
        }
    });
    here.start({here.at(1)});
    here.sim.run_for(10min);
    CHECK(visits >= 3);
    CHECK(visits <= 10);  // after 5, 10, 20... seconds, not every 5
}

TEST_CASE("a seeder with some damaged pieces gets the others of the file back", "[simulation]") {
    auto const content = content_of(1'000'000);
    world here{content};
    here.disk->put("0", content.files[0]);
    here.is_writable = false;
    here.start({});
    here.sim.run_for(1s);
    auto const count = content.torrent->pieces().piece_count();
    REQUIRE(here.transfer->status().pieces_have == count);
    here.sim.run_for(10s);  // its journal says so by now
    auto damaged = content.files[0];
    for (std::size_t piece = 0; piece < 6; ++piece) damaged[piece * 32 * 1024] ^= std::byte{1};
    here.disk->put("0", damaged);
    here.sim.run_for(1min);
    CHECK(here.transfer->status().pieces_have == count - 6);
    here.disk->put("0", content.files[0]);
    here.sim.run_for(1min);
    CHECK(here.transfer->status().state == engine::transfer_state::seeding);
}

TEST_CASE("a UDP tracker is reached by its second address when the first is silent", "[simulation]") {
    auto const content = content_of(100'000);
    world here{content};
    here.sim.host(9);
    here.sim.name("tracker", here.sim.address_of(9));
    here.sim.name("tracker", here.sim.address_of(1));
    here.trackers = {"udp://tracker:6881/announce"};
    auto const track = [](world& in) -> net::task<void> {
        auto const socket = in.sim.host(1).network.open_datagram(in.at(1)).value();
        std::array<net::datagram, 1> arrived;
        while (co_await socket->receive(arrived)) {
            byte_vector out;
            auto const request = announce::parse_udp_request(arrived[0].bytes).value();
            if (auto const* connect = std::get_if<announce::udp_connect>(&request)) {
                announce::encode_udp_connected(out, {connect->transaction, 42});
            } else if (auto const* asked = std::get_if<announce::udp_announce>(&request)) {
                announce::announce_reply reply;
                reply.interval = 30min;
                reply.peers.push_back(in.at(2));
                announce::encode_udp_announced(out, asked->transaction, reply, announce::udp_family::v4, 1200);
            }
            net::datagram const answer{arrived[0].peer, out};
            (void)socket->send({&answer, 1});
        }
    };
    here.sim.spawn("tracker", track(here));
    here.play(2, [&](net::listener& at, stranger& self) -> net::task<void> {
        co_await self.meet(at, here.everything());
        co_await self.serve();
    });
    here.start({});
    CHECK(here.completes(25s));  // less than `announce_timeout`
    here.end();
}
