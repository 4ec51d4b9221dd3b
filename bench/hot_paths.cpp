/// The work that is done again and again while content moves and peers announce, the same each time: for counting
/// instructions (bench/instructions.py). `hot_paths` lists their names, `hot_paths NAME` does one.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

import shoal.announce;
import shoal.bencode;
import shoal.core;
import shoal.metainfo;
import shoal.picker;
import shoal.registry;
import shoal.wire;

/// What callgrind counts: it begins and ends with this function.
extern "C" [[gnu::noinline]] void hot_path(std::function<void()> const& work) {
    work();
}

namespace {
using namespace shoal;
constexpr time_point start{};

/// Prepared outside of what is counted; what it returns is counted.
using path = std::function<void()> (*)();

[[noreturn]] void die(char const* why) {
    std::fprintf(stderr, "hot_paths: %s\n", why);
    std::exit(EXIT_FAILURE);
}

constexpr std::uint32_t pieces = 4096;
constexpr wire::settings conversation{
    .piece_length = block_length, .total_size = std::uint64_t{pieces} * block_length, .fast = true, .extensions = true};

void send_all(wire::connection& core) {
    std::array<byte_view, 64> runs;
    while (core.unsent(runs) > 0) core.sent(core.unsent_bytes(), start);
}

/// 8192 blocks asked for and received where they were expected; their bytes are there already, as after a read.
std::function<void()> receive_blocks() {
    auto const core = std::make_shared<wire::connection>(conversation, start);
    byte_vector unchoke;
    byte_writer{unchoke}.be(std::uint32_t{1}).be(std::uint8_t{1});
    (void)core->receive(unchoke, start);
    return [core] {
        constexpr std::uint32_t at_once = 32;
        byte_vector memory(at_once * block_length), header;
        std::array<mutable_byte_view, 64> places;
        for (std::uint32_t next = 0; next < 2 * pieces;) {
            for (std::uint32_t i = 0; i < at_once; ++i)
                core->request({piece_index{(next + i) % pieces}, 0, block_length},
                              mutable_byte_view{memory}.subspan(i * block_length, block_length), start);
            send_all(*core);
            auto const count = core->prepare(places);
            std::size_t bytes = 0;
            for (std::size_t i = 0; i < count; ++i) {
                if (i % 2 == 0) {
                    header.clear();
                    byte_writer{header}.be(std::uint32_t{9 + block_length}).be(std::uint8_t{7});
                    byte_writer{header}.be(next++ % pieces).be(std::uint32_t{0});
                    std::ranges::copy(header, places[i].begin());
                }
                bytes += places[i].size();
            }
            (void)core->commit(bytes, start);
            while (core->next_event()) {}
        }
        if (core->counters().predicted != 2 * pieces) die("a prediction failed");
    };
}

/// 10 000 requests read, handed out, answered and gathered.
std::function<void()> serve_blocks() {
    auto const core = std::make_shared<wire::connection>(conversation, start);
    core->unchoke();
    send_all(*core);
    auto const requests = std::make_shared<byte_vector>();
    for (std::uint32_t i = 0; i < 200; ++i)
        byte_writer{*requests}.be(std::uint32_t{13}).be(std::uint8_t{6}).be(i).be(std::uint32_t{0}).be(block_length);
    return [core, requests] {
        byte_vector const data(block_length);
        for (int round = 0; round < 50; ++round) {
            (void)core->receive(*requests, start);
            while (core->next_event()) {}
            while (auto const ref = core->next_upload()) core->send_block(*ref, data);
            send_all(*core);
        }
        if (core->blocks_sent() != 10'000) die("blocks were not served");
    };
}

/// Haves of 4096 pieces, read by twenty sessions.
std::function<void()> read_haves() {
    auto const stream = std::make_shared<byte_vector>();
    for (std::uint32_t i = 0; i < pieces; ++i) byte_writer{*stream}.be(std::uint32_t{5}).be(std::uint8_t{4}).be(i);
    return [stream] {
        for (int session = 0; session < 20; ++session) {
            wire::connection core{conversation, start};
            (void)core.receive(*stream, start);
            while (core.next_event()) {}
        }
    };
}

/// A download of 5000 pieces from fifty peers that have half of them each.
std::function<void()> pick_blocks() {
    static constexpr std::uint32_t all = 5000, peers = 50, blocks = 16;
    auto const swarm = std::make_shared<picker::picker>(picker::picker_settings{
        blocks * block_length, std::uint64_t{all} * blocks * block_length, 1, picker::order::rarest_first});
    picker::random_sequence random{2};
    for (std::uint32_t peer = 0; peer < peers; ++peer) {
        bitfield has{all};
        for (std::uint32_t piece = 0; piece < all; ++piece) has.set(piece_index{piece}, random.below(2) == 0);
        swarm->add_peer(picker::peer_slot{peer});
        swarm->peer_has(picker::peer_slot{peer}, has);
    }
    return [swarm] {
        std::vector<block_ref> out;
        std::vector<picker::peer_slot> also;
        for (std::uint32_t turn = 0; turn < 20 * all && !swarm->complete(); ++turn) {
            auto const peer = picker::peer_slot{turn % peers};
            out.clear();
            swarm->pick(peer, blocks, true, out);
            for (auto const& block : out)
                if (swarm->received(peer, block, also).piece_complete) swarm->set_have(block.piece);
        }
        if (!swarm->complete()) die("the download did not complete");
    };
}

constexpr std::uint32_t announcing = 50'000, torrents = 500;
info_hash torrent_of(std::uint32_t peer) {
    info_hash name;
    store_be(mutable_byte_view{name.bytes}, (peer % torrents + 1) * 2'654'435'761U);
    return name;
}
registry::announcement announcement_of(std::uint32_t peer) {
    auto const address = ip_address::v4({10, static_cast<std::uint8_t>(peer >> 16),
                                         static_cast<std::uint8_t>(peer >> 8), static_cast<std::uint8_t>(peer)});
    return {.torrent = torrent_of(peer), .peer = {address, 6881}, .is_complete = peer % 3 == 0};
}
std::shared_ptr<registry::registry> filled_registry() {
    auto made = std::make_shared<registry::registry>(registry::options{.secret = {1, 2}, .seed = 3});
    for (std::uint32_t peer = 0; peer < announcing; ++peer) made->announce(announcement_of(peer), start);
    return made;
}

/// 20 000 announces in the tracker's peer sets, fifty peers wanted each.
std::function<void()> announce_peers() {
    auto const tracker = filled_registry();
    return [tracker] {
        for (std::uint32_t i = 0; i < 20'000; ++i) {
            auto const came = tracker->announce(announcement_of(i * 7919 % announcing), start);
            if (came.peers.size() != 50) die("too few peers");
        }
    };
}

announce::announce_request request_of(std::uint32_t peer) {
    announce::announce_request request;
    request.torrent = torrent_of(peer);
    store_be(mutable_byte_view{request.peer.bytes}, peer);
    request.port = 6881;
    request.left = 1;
    request.peers_wanted = 50;
    return request;
}
announce::announce_reply reply_of_fifty() {
    announce::announce_reply reply;
    reply.seeders = reply.leechers = 25;
    for (std::uint32_t i = 0; i < 50; ++i) reply.peers.push_back(announcement_of(i).peer);
    return reply;
}

/// 20 000 announces by UDP read, their connection ids checked, answers of fifty peers written.
std::function<void()> announce_by_udp() {
    return [reply = reply_of_fifty()] {
        announce::connection_ids const ids{{5, 6}};
        auto const from = announcement_of(1).peer;
        byte_vector packet, out;
        announce::encode(packet, announce::udp_announce{ids.make(from, start), 7, request_of(1), {}});
        for (int i = 0; i < 20'000; ++i) {
            auto const parsed = announce::parse_udp_request(packet).value();
            auto const& asked = std::get<announce::udp_announce>(parsed);
            if (!ids.accepts(asked.connection, from, start)) die("an id was refused");
            out.clear();
            announce::encode_udp_announced(out, asked.transaction, reply, announce::udp_family::v4, 1400);
        }
    };
}

/// 10 000 announces by HTTP: queries read, answers of fifty peers written.
std::function<void()> announce_by_http() {
    return [reply = reply_of_fifty()] {
        auto const target = announce::announce_target("/announce", request_of(1));
        auto const query = std::string_view{target}.substr(target.find('?') + 1);
        for (int i = 0; i < 10'000; ++i)
            if (announce::encode_http_reply(reply, announce::parse_http_query(query).value()).size() < 300)
                die("no answer");
    };
}

/// A torrent of 10 000 files read ten times.
std::function<void()> read_torrent() {
    metainfo::source of{.name = "bench"};
    for (std::size_t i = 0; i < 10'000; ++i)
        of.files.push_back({{"folder " + std::to_string(i / 100), "file " + std::to_string(i)}, 20'000});
    of.read = [](std::size_t, std::uint64_t offset, mutable_byte_view into) -> result<std::size_t> {
        std::ranges::fill(into, std::byte{7});
        return std::min<std::uint64_t>(into.size(), 20'000 - std::min<std::uint64_t>(offset, 20'000));
    };
    auto const bytes = std::make_shared<byte_vector>(
        metainfo::make_torrent(of, {.format = metainfo::format::v1, .piece_length = 64 * 1024, .threads = 1}).value());
    return [bytes] {
        for (int i = 0; i < 10; ++i)
            if (metainfo::parse_torrent(*bytes).value().content().files().size() != 10'000) die("files are missing");
    };
}

constexpr std::pair<std::string_view, path> all[] = {
    {"receive_blocks", receive_blocks},     {"serve_blocks", serve_blocks},     {"read_haves", read_haves},
    {"pick_blocks", pick_blocks},           {"announce_peers", announce_peers}, {"announce_by_udp", announce_by_udp},
    {"announce_by_http", announce_by_http}, {"read_torrent", read_torrent},
};
}  // namespace

int main(int argc, char** argv) {
    for (auto const& [name, make] : all) {
        if (argc < 2)
            std::printf("%.*s\n", static_cast<int>(name.size()), name.data());
        else if (name == argv[1])
            return hot_path(make()), EXIT_SUCCESS;
    }
    if (argc > 1) die("no such path");
}
