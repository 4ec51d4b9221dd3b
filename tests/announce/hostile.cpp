#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

import shoal.announce;
import shoal.core;

using namespace shoal;
using namespace shoal::announce;
using namespace std::string_view_literals;

namespace {
/// Changes of one input: bytes replaced, cut out, repeated.
class mutations {
public:
    explicit mutations(std::uint64_t seed) : state_(seed) {}
    byte_vector of(byte_view original) {
        byte_vector bytes(original.begin(), original.end());
        for (auto changes = 1 + below(4); changes > 0 && !bytes.empty(); --changes) {
            auto const at = below(bytes.size());
            auto const run = static_cast<std::ptrdiff_t>(1 + below(std::min<std::size_t>(8, bytes.size() - at)));
            auto const first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
            switch (below(4)) {
                case 0:
                    bytes[at] = static_cast<std::byte>(below(256));
                    break;
                case 1:
                    bytes[at] = static_cast<std::byte>("0123456789deil:%&=-"[below(19)]);
                    break;
                case 2:
                    bytes.erase(first, first + run);
                    break;
                default: {
                    byte_vector const copy(first, first + run);
                    bytes.insert(first, copy.begin(), copy.end());
                }
            }
        }
        return bytes;
    }

private:
    std::size_t below(std::size_t bound) {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<std::size_t>((state_ >> 33) % bound);
    }
    std::uint64_t state_;
};

bool are_within_limits(announce_reply const& reply) {
    for (auto const& peer : reply.peers)
        if (peer.port == 0) return false;
    return reply.peers.size() <= reply_peers_max && reply.interval >= interval_min && reply.interval <= interval_max;
}
}  // namespace

TEST_CASE("whatever comes instead of a query is read within the limits or refused", "[announce]") {
    announce_request request;
    request.torrent.bytes.fill(std::byte{0xf0});
    request.what = event::started;
    request.ip = ip_address::parse("10.0.0.1");
    request.peers_wanted = 50;
    auto const url = announce_target("?", request);
    mutations change{1};
    int read = 0;
    for (int i = 0; i < 20'000; ++i) {
        auto const bytes = change.of(as_bytes(url).subspan(1));
        if (auto const parsed = parse_http_query(as_text(bytes))) {
            ++read;
            REQUIRE(parsed.value().left <= left_unknown);
        }
        (void)parse_scrape_query(as_text(bytes));
    }
    CHECK(read > 1000);
}

TEST_CASE("whatever comes instead of a reply is read within the limits or refused", "[announce]") {
    announce_reply reply;
    for (std::uint8_t i = 1; i < 20; ++i) reply.peers.push_back({ip_address::v4({10, 0, 0, i}), i});
    reply.peers.push_back(*endpoint::parse("[2001:db8::1]:80"));
    reply.ids.assign(reply.peers.size(), peer_id{});
    reply.external_ip = ip_address::parse("10.0.0.1");
    reply.warning = "w";
    announce_request asked;
    mutations change{2};
    int read = 0;
    for (bool const is_compact : {true, false}) {
        asked.is_compact = is_compact;
        auto const body = encode_http_reply(reply, asked);
        for (int i = 0; i < 10'000; ++i) {
            auto const parsed = parse_http_reply(change.of(as_bytes(body)));
            auto const* const good = parsed ? std::get_if<announce_reply>(&parsed.value()) : nullptr;
            if (good == nullptr) continue;
            ++read;
            REQUIRE(are_within_limits(*good));
        }
    }
    CHECK(read > 1000);
}

TEST_CASE("whatever comes instead of a packet is read within the limits or refused", "[announce]") {
    byte_vector request;
    encode(request, udp_announce{1, 2, {}, "/announce?x=y"});
    byte_vector reply;
    announce_reply peers;
    for (std::uint8_t i = 1; i < 20; ++i) peers.peers.push_back({ip_address::v4({10, 0, 0, i}), i});
    encode_udp_announced(reply, 1, peers, udp_family::v4, 1400);
    mutations change{3};
    for (int i = 0; i < 20'000; ++i) {
        auto const asked = parse_udp_request(change.of(request));
        if (asked)
            if (auto const* const announce = std::get_if<udp_announce>(&asked.value()))
                REQUIRE(announce->request.left <= left_unknown);
        auto const answered = parse_udp_reply(change.of(reply), udp_family::v4);
        if (answered)
            if (auto const* const announced = std::get_if<udp_announced>(&answered.value()))
                REQUIRE(are_within_limits(announced->reply));
        (void)parse_udp_reply(change.of(reply), udp_family::v6);
    }
}

TEST_CASE("each refusal of the tracker protocol has a sentence of its own, and only silence passes", "[announce]") {
    std::set<std::string> sentences;
    for (int i = 1; i <= static_cast<int>(errc::bad_announce); ++i) {
        auto const code = make_error_code(static_cast<errc>(i));
        CHECK(code == (code == errc::timed_out ? condition::transient : condition::peer_fault));
        CHECK(sentences.insert(code.message()).second);
    }
    CHECK(make_error_code(errc::truncated).category().name() == "shoal.announce"sv);
    CHECK_FALSE(sentences.contains(make_error_code(static_cast<errc>(99)).message()));
}
