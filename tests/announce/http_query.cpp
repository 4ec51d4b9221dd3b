#include <catch2/catch.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

import shoal.core;
import shoal.announce;

using namespace shoal;
using namespace shoal::announce;

namespace {
std::string const hash_20 = "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";  // the example of BEP 3's wiki page
std::string const id_20 = "-SH0100-abcdefghijkl";
std::string query(std::string_view rest = "&port=6881") {
    return "info_hash=" + hash_20 + "&peer_id=" + id_20 + std::string{rest};
}
std::error_code error_of(std::string_view raw) {
    auto const parsed = parse_http_query(raw);
    return parsed ? std::error_code{} : parsed.error();
}
}  // namespace

TEST_CASE("an announce by HTTP is read as it was written", "[announce]") {
    announce_request request;
    for (std::size_t i = 0; i < 20; ++i) request.torrent.bytes[i] = static_cast<std::byte>(i * 13);
    for (std::size_t i = 0; i < 20; ++i) request.peer.bytes[i] = static_cast<std::byte>(255 - i);
    request.port = 51413;
    request.uploaded = 1;
    request.downloaded = 1ULL << 40;
    request.left = 0;
    request.what = event::completed;
    request.peers_wanted = 80;
    request.key = 0x00c0ffee;
    request.ip = ip_address::parse("2001:db8::7");
    request.is_compact = false;
    request.no_peer_id = true;
    request.tracker_id = "a&b=c %\n";
    auto const url = announce_target("http://tracker.example/announce", request);
    REQUIRE(url.starts_with("http://tracker.example/announce?info_hash="));
    auto const read = parse_http_query(std::string_view{url}.substr(url.find('?') + 1)).value();
    CHECK(read.torrent == request.torrent);
    CHECK(read.peer == request.peer);
    CHECK(read.port == request.port);
    CHECK(read.uploaded == request.uploaded);
    CHECK(read.downloaded == request.downloaded);
    CHECK(read.left == 0);
    CHECK(read.what == request.what);
    CHECK(read.peers_wanted == request.peers_wanted);
    CHECK(read.key == request.key);
    CHECK(read.ip == request.ip);
    CHECK_FALSE(read.is_compact);
    CHECK(read.no_peer_id);
    CHECK(read.tracker_id == request.tracker_id);
}

TEST_CASE("the query of an announce URL is kept and its fragment dropped", "[announce]") {
    auto const begin = [](std::string_view url) {
        auto const target = announce_target(url, {});
        return target.substr(0, target.find("info_hash"));
    };
    CHECK(begin("http://t/announce") == "http://t/announce?");
    CHECK(begin("http://t/announce?passkey=1") == "http://t/announce?passkey=1&");
    CHECK(begin("http://t/announce?") == "http://t/announce?");
    CHECK(begin("http://t/announce?a&") == "http://t/announce?a&");
    CHECK(begin("http://t/announce#top?x") == "http://t/announce?");
}

TEST_CASE("the scrape URL follows BEP 48", "[announce]") {
    std::pair<std::string_view, std::optional<std::string>> const table[] = {
        {"http://example.com/announce", "http://example.com/scrape"},
        {"http://example.com/x/announce", "http://example.com/x/scrape"},
        {"http://example.com/announce.php", "http://example.com/scrape.php"},
        {"http://example.com/a", std::nullopt},
        {"http://example.com/announce?x2%0644", "http://example.com/scrape?x2%0644"},
        {"http://example.com/announce?x=2/4", "http://example.com/scrape?x=2/4"},
        {"http://example.com/x%064announce", std::nullopt},
        {"http://announce", std::nullopt},
        {"http://announce/", std::nullopt},
        {"", std::nullopt},
    };
    for (auto const& [url, expected] : table) {
        INFO(url);
        CHECK(scrape_url(url) == expected);
    }
    std::vector<info_hash> const torrents(3);
    auto const target = scrape_target("http://example.com/announce?k=1", torrents);
    REQUIRE(target);
    CHECK(target->starts_with("http://example.com/scrape?k=1&info_hash=%00"));
    CHECK(parse_scrape_query(target->substr(target->find('?') + 1)).value() == torrents);
}

TEST_CASE("queries that name no torrent, peer or port properly are refused", "[announce]") {
    std::string const hash_19 = hash_20.substr(0, hash_20.size() - 3);
    std::pair<std::string, errc> const table[] = {
        {"", errc::bad_info_hash},
        {"&", errc::bad_info_hash},
        {"=", errc::bad_info_hash},
        {"info_hash", errc::bad_info_hash},
        {"info_hash=", errc::bad_info_hash},
        {"info_hash=" + hash_19 + "&peer_id=" + id_20 + "&port=1", errc::bad_info_hash},
        {"info_hash=" + hash_20 + "x&peer_id=" + id_20 + "&port=1", errc::bad_info_hash},
        {"info_hash=" + hash_20 + hash_20 + "&peer_id=" + id_20 + "&port=1", errc::bad_info_hash},
        {"Info_Hash=" + hash_20 + "&peer_id=" + id_20 + "&port=1", errc::bad_info_hash},
        {"info%5Fhash=" + hash_20 + "&peer_id=" + id_20 + "&port=1", errc::bad_info_hash},
        {"peer_id=" + id_20 + "&port=1", errc::bad_info_hash},
        {"info_hash=%12%3&peer_id=" + id_20 + "&port=1", errc::bad_escape},
        {"info_hash=%&peer_id=" + id_20 + "&port=1", errc::bad_escape},
        {"info_hash=%G0345678901234567890&peer_id=" + id_20 + "&port=1", errc::bad_escape},
        {"info_hash=% 1345678901234567890&peer_id=" + id_20 + "&port=1", errc::bad_escape},
        {"info_hash=%-1345678901234567890&peer_id=" + id_20 + "&port=1", errc::bad_escape},
        {"info_hash=%%345678901234567890123&peer_id=" + id_20 + "&port=1", errc::bad_escape},
        // the first counts, also where it is the bad one
        {"info_hash=&info_hash=" + hash_20 + "&peer_id=" + id_20 + "&port=1", errc::bad_info_hash},
        {"info_hash=" + hash_20 + "&port=1", errc::bad_peer_id},
        {"info_hash=" + hash_20 + "&peer_id=short&port=1", errc::bad_peer_id},
        {"info_hash=" + hash_20 + "&peer_id=" + id_20 + "%00&port=1", errc::bad_peer_id},
        {"info_hash=" + hash_20 + "&peer_id=" + id_20, errc::bad_port},
        {query("&port="), errc::bad_port},
        {query("&port=65536"), errc::bad_port},
        {query("&port=-1"), errc::bad_port},
        {query("&port=+80"), errc::bad_port},
        {query("&port=0x50"), errc::bad_port},
        {query("&port=80%20"), errc::bad_port},
        {query("&port= 80"), errc::bad_port},
        {query("&port=80.0"), errc::bad_port},
        {query("&port=99999999999999999999999"), errc::bad_port},
        {query("&port=bad&port=80"), errc::bad_port},
        {query("&port=1&left=x"), errc::bad_number},
        {query("&port=1&left=1e9"), errc::bad_number},
        {query("&port=1&left=-"), errc::bad_number},
        {query("&port=1&left=--1"), errc::bad_number},
        {query("&port=1&left=%31"), errc::bad_number},
        {query("&port=1&uploaded=1x"), errc::bad_number},
        {query("&port=1&downloaded=0x10"), errc::bad_number},
        {query("&port=1&numwant=many"), errc::bad_number},
        {query("&port=1&ip=%zz"), errc::bad_escape},
        {query("&port=1&trackerid=%"), errc::bad_escape},
    };
    for (auto const& [raw, expected] : table) {
        INFO(raw);
        CHECK(error_of(raw) == expected);
        CHECK(is(error_of(raw), condition::peer_fault));
    }
}

TEST_CASE("what is odd but clear in a query is accepted", "[announce]") {
    for (std::string_view const rest :
         {"&port=0", "&port=65535", "&port=080", "&port=1&", "&&port=1&&", "&port=1&port=2", "&port=1&x", "&port=1&=y",
          "&port=1&event=bogus", "&port=1&event=", "&port=1&key=nothex", "&port=1&key=", "&port=1&ip=dns.example",
          "&port=1&left=", "&port=1&numwant=", "&port=1&unknown=%zz", "&port=1&compact=2", "&port=1#x",
          "&port=1&a=b=c"}) {
        INFO(rest);
        if (rest == "&port=1#x") {
            CHECK(error_of(query(rest)) == errc::bad_port);  // a fragment never reaches a server
            continue;
        }
        CHECK_FALSE(error_of(query(rest)));
    }
    CHECK(parse_http_query(query("&port=1&port=2")).value().port == 1);
    CHECK(parse_http_query(query("&port=1&event=bogus")).value().what == event::none);
    CHECK(parse_http_query(query("&port=1")).value().is_compact);
    CHECK_FALSE(parse_http_query(query("&port=1&compact=0")).value().is_compact);
    // "+" is no space, NUL is a byte like others
    auto const raw = "info_hash=++++++++++++++++++%00%2b&peer_id=" + id_20 + "&port=1";
    CHECK(as_text(parse_http_query(raw).value().torrent.view()) == std::string(18, '+') + std::string("\0+", 2));
}

TEST_CASE("byte counts are clamped", "[announce]") {
    auto const left = [](std::string_view text) {
        return parse_http_query(query("&port=1&left=" + std::string{text})).value().left;
    };
    CHECK(left("0") == 0);
    CHECK(left("9223372036854775806") == left_unknown - 1);
    CHECK(left("9223372036854775807") == left_unknown);
    CHECK(left("9223372036854775808") == left_unknown);
    CHECK(left("18446744073709551616") == left_unknown);
    CHECK(left("-1") == left_unknown);
    CHECK(parse_http_query(query("&port=1")).value().left == left_unknown);
    auto const cheat = parse_http_query(query("&port=1&uploaded=-5&downloaded=99999999999999999999")).value();
    CHECK(cheat.uploaded == 0);
    CHECK(cheat.downloaded == left_unknown);
    CHECK_FALSE(parse_http_query(query("&port=1&numwant=-1")).value().peers_wanted);
    CHECK(parse_http_query(query("&port=1&numwant=4294967296")).value().peers_wanted == 0xffffU);
}

TEST_CASE("a query has a length limit", "[announce]") {
    auto const padded = [](std::size_t size) {
        auto raw = query() + "&x=";
        return raw + std::string(size - raw.size(), 'x');
    };
    CHECK_FALSE(error_of(padded(query_bytes_max - 1)));
    CHECK_FALSE(error_of(padded(query_bytes_max)));
    CHECK(error_of(padded(query_bytes_max + 1)) == errc::too_long);
}

TEST_CASE("a scrape names torrents up to a limit", "[announce]") {
    auto const scrape = [](std::size_t count) {
        std::string raw;
        for (std::size_t i = 0; i < count; ++i) raw += "&info_hash=" + hash_20;
        return parse_scrape_query(raw);
    };
    CHECK(scrape(0).value().empty());
    CHECK(scrape(scrape_hashes_max - 1).value().size() == scrape_hashes_max - 1);
    CHECK(scrape(scrape_hashes_max).value().size() == scrape_hashes_max);
    CHECK(scrape(scrape_hashes_max + 1).error() == errc::too_many_hashes);
    CHECK(parse_scrape_query("info_hash=short").error() == errc::bad_info_hash);
    CHECK(parse_scrape_query("info_hash=%1").error() == errc::bad_escape);
    CHECK(parse_scrape_query(std::string(query_bytes_max + 1, 'x')).error() == errc::too_long);
}

TEST_CASE("a passkey is found in a URL wherever it stands, and the first one counts", "[announce]") {
    CHECK(passkey_of("http://hub:1/announce?passkey=abc") == "abc");
    CHECK(passkey_of("/announce?info_hash=%01&passkey=a%62c&passkey=other#passkey=no") == "abc");
    CHECK(passkey_of("?passkey=") == "");
    for (auto const* const url :
         {"", "?", "http://hub/passkey=abc", "/announce?xpasskey=a&passkeys=b", "/a?passkey=%zz", "/a#?passkey=abc"})
        CHECK_FALSE(passkey_of(url));
}

TEST_CASE("a URL without its passkey is the same but for that", "[announce]") {
    CHECK(without_passkey("http://hub:1/announce?passkey=abc") == "http://hub:1/announce");
    CHECK(without_passkey("udp://hub:1/announce?a=1&passkey=abc&b=%202") == "udp://hub:1/announce?a=1&b=%202");
    CHECK(without_passkey("http://hub:1/announce") == "http://hub:1/announce");
    CHECK(without_passkey("http://hub:1/announce#top?x") == "http://hub:1/announce");
    CHECK(without_passkey("http://hub:1/announce?a=1#top?x") == "http://hub:1/announce?a=1");
    CHECK(without_passkey("http://hub:1/announce?a=1") == "http://hub:1/announce?a=1");
}

TEST_CASE("a log shows nothing of a tracker's URL that may be somebody's key", "[announce]") {
    CHECK(without_secrets("http://hub:1/announce") == "http://hub:1/announce");
    CHECK(without_secrets("http://hub:1") == "http://hub:1");
    CHECK(without_secrets("udp://[::1]:1") == "udp://[::1]:1");
    CHECK(without_secrets("http://hub:1/announce?passkey=abc") == "http://hub:1/announce");
    CHECK(without_secrets("http://hub:1/announce?torrent_pass=abc&x=1#top") == "http://hub:1/announce");
    CHECK(without_secrets("https://hub/0123456789abcdef0123456789abcdef/announce") == "https://hub/***/announce");
    CHECK(without_secrets("https://hub/a/0123456789abcdeZ") == "https://hub/a/***");
    CHECK(without_secrets("https://hub/012345678abcdef/announce") == "https://hub/012345678abcdef/announce");
    CHECK(without_secrets("https://me:secret@hub:1/announce") == "https://hub:1/announce");
    CHECK(without_secrets("http://hub:1//announce/") == "http://hub:1//announce/");
    CHECK(without_secrets("http://hub:1/a@b/announce") == "http://hub:1/a@b/announce");
    CHECK(without_secrets("some/0123456789abcdef0/name") == "some/0123456789abcdef0/name");
    CHECK(without_secrets("magnet:?dn=a&passkey=abc&tr=http://hub:1") == "magnet:?dn=a&tr=http://hub:1");
    CHECK(without_secrets("") == "");
}

TEST_CASE("another URL of the same tracker takes the passkey over", "[announce]") {
    CHECK(with_passkey_of("http://hub/announce?passkey=a%26b", "ws://hub/session") == "ws://hub/session?passkey=a%26b");
    CHECK(with_passkey_of("http://hub/announce?passkey=a", "/api?limit=1") == "/api?limit=1&passkey=a");
    CHECK(with_passkey_of("http://hub/announce", "/api") == "/api");
}

TEST_CASE("a URL looks like a tracker's by its path alone, and a passkey takes nothing from it", "[announce]") {
    for (auto const* const url : {"http://10.0.0.1/announce", "http://10.0.0.1/a/announce?passkey=x"})
        CHECK(looks_like_tracker(url));
    for (auto const* const url : {"http://10.0.0.1/", "http://10.0.0.1/announce?reboot=1", "http://10.0.0.1/?/announce",
                                  "http://10.0.0.1/announce/x", ""})
        CHECK_FALSE(looks_like_tracker(url));
}
