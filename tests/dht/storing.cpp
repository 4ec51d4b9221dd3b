#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "network.hpp"

namespace {
using namespace shoal;
using namespace std::chrono_literals;
using testing::at;
using testing::outside;
using testing::torrent;

struct fixture {
    dht::peer_store store{7, {}};
    time_point now{std::chrono::hours{1}};
};
}  // namespace

TEST_CASE_METHOD(fixture, "a token is good for its address and for five to ten minutes", "[dht]") {
    auto const who = at("1.2.3.4:1").address;
    auto const token = store.token_for(who, now);
    CHECK(store.is_token(token, who, now));
    CHECK(store.is_token(token, who, now + 299s));
    CHECK(store.is_token(token, who, now + 9min + 59s));
    CHECK_FALSE(store.is_token(token, who, now + 10min));
    CHECK_FALSE(store.is_token(token, who, now + 11min));
}

TEST_CASE_METHOD(fixture, "a token of another address, a changed one and none at all are refused", "[dht]") {
    auto const who = at("1.2.3.4:1").address;
    auto token = store.token_for(who, now);
    CHECK_FALSE(store.is_token(token, at("1.2.3.5:1").address, now));
    CHECK_FALSE(store.is_token({}, who, now));
    CHECK_FALSE(store.is_token(byte_view{token}.first(7), who, now));
    token[3] ^= std::byte{1};
    CHECK_FALSE(store.is_token(token, who, now));
}

TEST_CASE_METHOD(fixture, "a token outlives a pause of hours no more than ten minutes", "[dht]") {
    auto const who = at("1.2.3.4:1").address;
    auto const token = store.token_for(who, now);
    CHECK_FALSE(store.is_token(token, who, now + 7h));
    auto const later = store.token_for(who, now + 7h);
    CHECK(store.is_token(later, who, now + 7h + 4min));
}

TEST_CASE_METHOD(fixture, "peers are told of for half an hour after they were announced", "[dht]") {
    store.add(torrent(1), at("1.2.3.4:5"), now);
    CHECK(store.some_of(torrent(1), 10, now + 29min) == std::vector{at("1.2.3.4:5")});
    CHECK(store.some_of(torrent(1), 10, now + 31min).empty());
    CHECK(store.some_of(torrent(2), 10, now).empty());
    store.add(torrent(1), at("1.2.3.4:5"), now + 29min);
    store.forget_old(now + 31min);
    CHECK(store.torrents() == 1);
    store.forget_old(now + 60min);
    CHECK(store.torrents() == 0);
}

TEST_CASE_METHOD(fixture, "a million announces of 254 addresses are held to each one's share", "[dht]") {
    dht::keyed_random random{{3, 4}};
    for (std::uint32_t i = 0; i < 1'000'000; ++i) {
        info_hash any;
        store_be(mutable_byte_view{any.bytes}, random.next());
        store.add(any, {ip_address::v4({44, 4, 4, static_cast<std::uint8_t>(i % 254)}), 1}, now);
    }
    CHECK(store.torrents() <= dht::stored_torrents_max);
    CHECK(store.some_of(torrent(0), 1, now).empty());
    // Whoever comes last still finds room for a torrent that is near to us.
    store.add(torrent(0), at("9.9.9.9:9"), now);
    CHECK(store.some_of(torrent(0), 1, now) == std::vector{at("9.9.9.9:9")});
}

TEST_CASE_METHOD(fixture, "of one torrent the peers announced last are kept", "[dht]") {
    for (std::uint32_t i = 0; i < dht::stored_peers_max + 100; ++i)
        store.add(torrent(1), outside(i), now + std::chrono::milliseconds(i));
    auto const all = store.some_of(torrent(1), 10'000, now);
    CHECK(all.size() == dht::stored_peers_max);
    CHECK(std::ranges::count(all, outside(0)) == 0);
    CHECK(std::ranges::count(all, outside(dht::stored_peers_max + 99)) == 1);
}
