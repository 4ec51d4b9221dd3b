// What released versions wrote, as it came from them: tests/golden/VERSION. This one reads all of it (class M13). A
// file here is never changed; a new form gets a folder of its own beside the old ones.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <variant>
#include <vector>

import shoal.bencode;
import shoal.core;
import shoal.dht;
import shoal.hub;
import shoal.metainfo;
import shoal.session;
import shoal.store;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {
fs::path const folder{SHOAL_GOLDEN "/0.1"};

byte_vector content_of(fs::path const& file) {
    std::ifstream in{file, std::ios::binary};
    std::string const text{std::istreambuf_iterator<char>{in}, {}};
    auto const bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}
metainfo::torrent torrent() {
    return metainfo::parse_torrent(content_of(folder / "content.torrent")).value();
}
/// The messages of a file, each behind four bytes of length.
std::vector<byte_vector> messages_of(fs::path const& file) {
    auto const all = content_of(file);
    std::vector<byte_vector> messages;
    for (byte_reader from{all}; auto const length = from.take_be<std::uint32_t>();) {
        auto const each = from.take(*length).value();
        messages.emplace_back(each.begin(), each.end());
    }
    return messages;
}
}  // namespace

TEST_CASE("a torrent of version 0.1 keeps its info-hashes", "[golden]") {
    auto const it = torrent();
    CHECK(to_hex(it.info_hash_v1()->view()) == "b21b0c19d96b72be8e8a3a8a0af866873d3e7967");
    CHECK(to_hex(it.info_hash_v2()->view()) == "d9302d859da12959ffe8f9a5283e7ad6a5cd7c5062997d607f498a196eadb44a");
    CHECK(it.pieces().piece_count() == 4);
}

TEST_CASE("a journal of version 0.1 still claims what was verified", "[golden]") {
    auto const read = store::journal::parse(content_of(folder / "content.journal"), torrent());
    REQUIRE(read);
    CHECK(read.value().held.count() == 4);
    CHECK_FALSE(read.value().torn);
    REQUIRE(read.value().stamps.size() == 3);
    CHECK(read.value().stamps[0]->size == 70'000);
    CHECK_FALSE(read.value().stamps[1]);  // padding
    CHECK(read.value().stamps[2]->size == 1000);
}

TEST_CASE("the DHT node that version 0.1 knew is asked again", "[golden]") {
    auto const file = content_of(folder / "dht");
    auto const kept = bencode::decode(file);
    REQUIRE(kept);
    time_point now{1h};
    dht::node node{{.key = {1, 2}, .port = 1, .state = kept.value().root().find_bytes("v4").value()}, now};
    std::vector<endpoint> asked;
    for (int step = 0; step < 10 && asked.empty(); ++step) {
        while (auto const out = node.next_datagram()) asked.push_back(out->to);
        now = node.deadline();
        node.wake(now);
    }
    CHECK(std::ranges::count(asked, *endpoint::parse("127.0.0.1:46882")) > 0);
}

TEST_CASE("a catalogue of version 0.1 keeps its contents, owners and counters", "[golden]") {
    testing::temporary_folder data;
    auto const file = data.path() / "catalogue.sqlite";
    fs::copy_file(folder / "catalogue.sqlite", file);
    auto opened = hub::catalogue::open(file);
    REQUIRE(opened);
    auto& shelves = opened.value();
    CHECK_FALSE(shelves.set_aside());
    auto const found = shelves.find("content", 10);
    REQUIRE(found);
    REQUIRE(found.value().entries.size() == 1);
    auto const& entry = found.value().entries.front();
    CHECK(entry.name == "content");
    CHECK(entry.size == 71'000);
    CHECK(entry.file_count == 2);
    REQUIRE(entry.owners.size() == 1);
    CHECK(to_hex(entry.swarm_hash.view()) == "2dbab20b27af90159c0a7ffe6948bc6c610c9bac");
    auto const stored = shelves.by_hash(entry.swarm_hash);
    REQUIRE(stored);
    CHECK(metainfo::parse_torrent(stored.value()->metainfo).value().swarm_hash() == entry.swarm_hash);
    CHECK(shelves.counters().at("http_announces") == 2);
    CHECK(shelves.unpublish("127.0.0.1", entry.swarm_hash, hub::wall_time{1795957200s})
              .value());  // and it can be written
}

TEST_CASE("messages of a peer and of a hub of version 0.1 are understood", "[golden]") {
    std::vector<std::size_t> kinds;
    for (auto const& each : messages_of(folder / "session-peer")) {
        auto const read = session::parse_peer_message(each);
        REQUIRE(read);
        kinds.push_back(read.value().index());
        if (auto const* hello = std::get_if<session::hello>(&read.value())) {
            CHECK(hello->port == 6881);
            CHECK(hello->client == "c");
            CHECK(hello->resume.has_value());
        }
        if (auto const* join = std::get_if<session::join>(&read.value())) {
            CHECK(join->size == 1'000'000);
            CHECK(join->have.count() == 16);
        }
        if (auto const* status = std::get_if<session::status>(&read.value())) {
            CHECK(status->number == 3);
            CHECK(status->gained.size() == 2);
            CHECK(status->lost.size() == 1);
            REQUIRE(status->serving);
            CHECK(status->serving->front().bytes == 5);
            CHECK(status->is_asked);
        }
    }
    CHECK(kinds == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6});
    kinds.clear();
    for (auto const& each : messages_of(folder / "session-hub")) {
        auto const read = session::parse_hub_message(each);
        REQUIRE(read);
        kinds.push_back(read.value().index());
        if (auto const* welcome = std::get_if<session::welcome>(&read.value())) CHECK(welcome->torrents.size() == 1);
        if (auto const* set = std::get_if<session::peer_set>(&read.value())) {
            CHECK(set->is_whole);
            REQUIRE(set->peers.size() == 1);
            CHECK(set->peers.front().is_session);
            CHECK(set->gone.size() == 1);
        }
    }
    CHECK(kinds == std::vector<std::size_t>{0, 1, 2, 3, 4});
}
