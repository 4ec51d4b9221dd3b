module;
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

module shoal.announce;
import shoal.core;

namespace shoal::announce {
void udp_client::announce(announce_request request, std::string url_data, time_point now) {
    begin(announce_task{std::move(request), std::move(url_data)}, now);
}

void udp_client::scrape(std::vector<info_hash> torrents, time_point now) {
    if (torrents.size() > scrape_hashes_max) torrents.resize(scrape_hashes_max);
    begin(scrape_task{std::move(torrents)}, now);
}

void udp_client::begin(open_request what, time_point now) {
    open_ = std::move(what);
    outcome_.reset();
    retransmissions_ = 0;
    transmit(now);
}

/// Sends the request, or asks for a connection first. Each packet has a transaction id of its own.
void udp_client::transmit(time_point now) {
    awaits_connection_ = !is_connected(now);
    transaction_ = next_transaction();
    deadline_ = now + udp_timeout * (1U << retransmissions_);
    auto& out = packet_.emplace();
    if (awaits_connection_)
        encode(out, udp_connect{transaction_});
    else if (auto const* const task = std::get_if<announce_task>(&open_))
        encode(out, udp_announce{connection_, transaction_, task->request, task->url_data});
    else if (auto const* const scrape = std::get_if<scrape_task>(&open_))
        encode(out, udp_scrape{connection_, transaction_, scrape->torrents, false});
}

void udp_client::wake(time_point now) {
    if (now < deadline_) return;
    if (retransmissions_ == udp_retransmissions_max) return finish(make_error_code(errc::timed_out));
    ++retransmissions_;
    transmit(now);
}

void udp_client::receive(byte_view packet, time_point now) {
    if (std::holds_alternative<std::monostate>(open_)) return;
    auto parsed = parse_udp_reply(packet, family_);
    // What cannot be read is not taken for the answer: the true one may still come.
    if (!parsed) return;
    auto& reply = parsed.value();
    if (std::visit([](auto const& each) { return each.transaction; }, reply) != transaction_) return;
    if (auto const* const refused = std::get_if<udp_error>(&reply)) {
        connected_until_ = time_point::min();  // perhaps it was the connection id
        return finish(failure{refused->message, std::nullopt, false});
    }
    if (auto const* const connected = std::get_if<udp_connected>(&reply)) {
        if (!awaits_connection_) return;
        connection_ = connected->connection;
        connected_until_ = now + udp_connection_lifetime;
        return transmit(now);
    }
    if (awaits_connection_) return;
    if (auto* const announced = std::get_if<udp_announced>(&reply)) {
        if (std::holds_alternative<announce_task>(open_)) finish(std::move(announced->reply));
        return;
    }
    auto* const scraped = std::get_if<udp_scraped>(&reply);
    auto const* const asked = std::get_if<scrape_task>(&open_);
    if (asked == nullptr || scraped->torrents.size() != asked->torrents.size()) return;
    scrape_reply named{std::move(scraped->torrents), std::nullopt};
    for (std::size_t i = 0; i < named.torrents.size(); ++i) named.torrents[i].torrent = asked->torrents[i];
    finish(std::move(named));
}

void udp_client::finish(udp_outcome outcome) {
    open_ = std::monostate{};
    packet_.reset();
    deadline_ = time_point::max();
    outcome_ = std::move(outcome);
}

std::optional<byte_vector> udp_client::next_packet() {
    return std::exchange(packet_, std::nullopt);
}
std::optional<udp_outcome> udp_client::take_outcome() {
    return std::exchange(outcome_, std::nullopt);
}

std::uint32_t udp_client::next_transaction() noexcept {
    // The seed is the secret; a counter under a keyed hash tells nobody the next id.
    std::array<std::byte, 8> counter{};
    store_be(mutable_byte_view{counter}, ++transactions_);
    return static_cast<std::uint32_t>(siphash({seed_, ~seed_}, counter));
}
}  // namespace shoal::announce
