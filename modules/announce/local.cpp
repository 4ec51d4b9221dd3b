module;
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

module shoal.announce;
import shoal.core;

namespace shoal::announce {
namespace {
constexpr std::string_view first_line = "BT-SEARCH * HTTP/1.1";
constexpr std::string_view line_end = "\r\n";
constexpr std::size_t hash_digits = 2 * info_hash::size();
constexpr std::string_view hash_name = "Infohash: ";

bool is_blank(char letter) noexcept {
    return letter == ' ' || letter == '\t';
}
std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

/// One line off the front of `text`, without its end and the blanks there.
std::string_view take_line(std::string_view& text) noexcept {
    auto const end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
    return line;
}

std::optional<std::uint16_t> parse_port(std::string_view digits) noexcept {
    std::uint16_t port = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) return std::nullopt;
    return port;
}

std::optional<info_hash> parse_hash(std::string_view digits) {
    if (digits.size() != hash_digits) return std::nullopt;
    auto const bytes = from_hex(digits);
    return bytes ? info_hash::from(*bytes) : std::nullopt;
}

bool is_fit_cookie(std::string_view cookie) noexcept {
    return !cookie.empty() && cookie.size() <= local_cookie_max &&
           std::ranges::all_of(cookie, [](char letter) { return letter > ' ' && letter < '\x7f'; });
}

/// What stands above the torrents. The cookie comes before them, so that nothing follows but the end.
std::string head_of(std::uint16_t port, endpoint const& group, std::string_view cookie) {
    std::string head{first_line};
    head.append(line_end).append("Host: ").append(group.to_string());
    head.append(line_end).append("Port: ").append(std::to_string(port)).append(line_end);
    if (is_fit_cookie(cookie)) head.append("cookie: ").append(cookie).append(line_end);
    return head;
}

constexpr std::size_t end_size = 2 * line_end.size();  // two empty lines

std::size_t torrents_beside(std::size_t head_size) noexcept {
    constexpr auto line_size = hash_name.size() + hash_digits + line_end.size();
    return std::min(local_torrents_max, (local_announce_bytes_max - head_size - end_size) / line_size);
}

/// Fe80::/10: such an address means nothing without its interface, which an `endpoint` does not name.
bool is_link_local_v6(ip_address const& address) noexcept {
    auto const bytes = address.bytes();
    return !address.is_v4() && bytes[0] == std::byte{0xfe} && (bytes[1] & std::byte{0xc0}) == std::byte{0x80};
}

std::string digits_of(std::uint64_t token) {
    std::array<std::byte, 8> bytes{};
    store_be(mutable_byte_view{bytes}, token);
    return to_hex(bytes);
}
}  // namespace

endpoint local_group_v4() noexcept {
    return {ip_address::v4({239, 192, 152, 143}), 6771};
}
endpoint local_group_v6() noexcept {
    return {ip_address::v6({0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xc0, 0x98, 0x8f}), 6771};
}

std::size_t local_torrents_that_fit(endpoint const& group, std::string_view cookie) {
    return torrents_beside(head_of(65535, group, cookie).size());
}

std::string encode(local_announce const& announce, endpoint const& group) {
    auto out = head_of(announce.port, group, announce.cookie);
    auto const count = std::min(announce.torrents.size(), local_torrents_that_fit(group, announce.cookie));
    for (std::size_t i = 0; i < count; ++i)
        out.append(hash_name).append(to_hex(announce.torrents[i].view())).append(line_end);
    return out.append(line_end).append(line_end);
}

result<local_announce> parse_local_announce(byte_view datagram) {
    if (datagram.size() > local_announce_bytes_max) return errc::too_long;
    auto text = as_text(datagram);
    if (text.find('\0') != std::string_view::npos || take_line(text) != first_line) return errc::bad_announce;
    local_announce announce;
    std::optional<std::string_view> cookie;
    while (!text.empty()) {
        auto const line = take_line(text);
        if (line.empty()) break;
        auto const colon = line.find(':');
        if (colon == std::string_view::npos) return errc::bad_announce;
        auto const name = trimmed(line.substr(0, colon));
        auto const value = trimmed(line.substr(colon + 1));
        if (equal_without_case(name, "infohash")) {
            auto const torrent = parse_hash(value);
            if (!torrent) return errc::bad_info_hash;
            if (std::ranges::find(announce.torrents, *torrent) != announce.torrents.end()) continue;
            if (announce.torrents.size() == local_torrents_max) return errc::too_many_hashes;
            announce.torrents.push_back(*torrent);
        } else if (equal_without_case(name, "port") && announce.port == 0) {
            auto const port = parse_port(value);
            if (!port) return errc::bad_port;
            announce.port = *port;
        } else if (equal_without_case(name, "cookie") && !cookie) {
            cookie = value;
        }
    }
    if (announce.port == 0) return errc::bad_port;
    if (announce.torrents.empty()) return errc::bad_info_hash;
    if (cookie && cookie->size() <= local_cookie_max) announce.cookie = *cookie;
    return announce;
}

local_discovery::local_discovery(endpoint const& group, std::uint16_t port, std::uint64_t token)
    : group_(group), port_(port), token_(token), cookie_(digits_of(token)) {}

void local_discovery::add(info_hash const& torrent, time_point now) {
    std::erase_if(left_, [now](auto const& each) { return each.second + local_interval_min <= now; });
    auto const [at, is_added] = ours_.try_emplace(torrent);
    if (!is_added) return;
    auto& which = at->second;
    if (auto const before = left_.extract(torrent)) which.announced = before.mapped();
    set_due(torrent, which, which.announced ? *which.announced + local_interval_min : now);
}

void local_discovery::remove(info_hash const& torrent, time_point now) {
    auto const found = ours_.find(torrent);
    if (found == ours_.end()) return;
    auto const& [announced, due] = found->second;
    if (announced && *announced + local_interval_min > now) left_.emplace(torrent, *announced);
    due_.erase({due, torrent});
    ours_.erase(found);
    std::erase_if(neighbours_, [&](auto const& each) { return each.first.first == torrent; });
}

std::vector<local_peer> local_discovery::receive(byte_view datagram, endpoint const& from, time_point now) {
    std::vector<local_peer> found;
    // Our own come back to us by every interface. They are many, and must not use up what neighbours may send.
    if (datagram.size() > local_announce_bytes_max || as_text(datagram).find(cookie_) != std::string_view::npos)
        return found;
    if (!is_heeded(from.address, now)) return found;
    auto const announce = parse_local_announce(datagram);
    if (!announce) return found;
    for (auto const& torrent : announce.value().torrents) {
        if (!ours_.contains(torrent)) continue;
        auto const& peer = found.emplace_back(local_peer{torrent, {from.address, announce.value().port}});
        if (is_new(peer, now)) answer(torrent, now);
    }
    return found;
}

bool local_discovery::is_heeded(ip_address const& source, time_point now) {
    if (source.is_unspecified() || source.is_multicast() || is_link_local_v6(source)) return false;
    auto at = sources_.find(source);
    if (at == sources_.end()) {
        if (sources_.size() == local_sources_max && sources_pruned_ <= now - std::chrono::seconds{1}) {
            std::erase_if(sources_, [now](auto const& each) { return each.second.is_full(now); });
            sources_pruned_ = now;
        }
        if (sources_.size() == local_sources_max) return false;
        at = sources_.try_emplace(source, local_datagrams_of_one).first;
    }
    // One who is too fast is refused before he takes from what all have together.
    return at->second.take(now) && all_.take(now);
}

/// Whether the peer was not heard for long; he is remembered now.
bool local_discovery::is_new(local_peer const& peer, time_point now) {
    std::pair const who{peer.torrent, peer.at};
    auto const known = neighbours_.find(who);
    if (known != neighbours_.end()) return now - std::exchange(known->second, now) > local_memory;
    if (neighbours_.size() == local_neighbours_max && neighbours_pruned_ <= now - std::chrono::seconds{1}) {
        std::erase_if(neighbours_, [now](auto const& each) { return now - each.second > local_memory; });
        neighbours_pruned_ = now;
    }
    if (neighbours_.size() == local_neighbours_max) return false;
    neighbours_.emplace(who, now);
    return true;
}

/// Lets somebody new know of us sooner than the five minutes would.
void local_discovery::answer(info_hash const& torrent, time_point now) {
    auto& which = ours_.at(torrent);
    std::array<std::byte, 8> counter{};
    store_be(mutable_byte_view{counter}, ++answers_);
    constexpr auto within = std::chrono::nanoseconds{local_answer_within}.count();
    auto const random = siphash({token_, ~token_}, counter) % static_cast<std::uint64_t>(within);
    time_point due = now + std::chrono::nanoseconds{random};
    if (which.announced) due = std::max<time_point>(due, *which.announced + local_interval_min);
    if (due < which.due) set_due(torrent, which, due);
}

void local_discovery::set_due(info_hash const& torrent, schedule& which, time_point due) {
    due_.erase({which.due, torrent});
    which.due = due;
    due_.emplace(due, torrent);
}

std::optional<std::string> local_discovery::next_datagram(time_point now) {
    if (deadline() > now) return std::nullopt;
    local_announce announce{port_, {}, cookie_};
    auto const room = local_torrents_that_fit(group_, cookie_);
    // What room there is takes those who are due within a minute, so that torrents that were added one by one come to
    // share their datagrams.
    for (auto each = due_.begin(); each != due_.end() && announce.torrents.size() < room; ++each) {
        auto const& [due, torrent] = *each;
        if (due > now + local_interval_min) break;
        auto const& last = ours_.at(torrent).announced;
        if (!last || *last + local_interval_min <= now) announce.torrents.push_back(torrent);
    }
    for (auto const& torrent : announce.torrents) {
        auto& which = ours_.at(torrent);
        which.announced = now;
        set_due(torrent, which, now + local_interval);
    }
    return encode(announce, group_);
}

time_point local_discovery::deadline() const noexcept {
    return port_ == 0 || due_.empty() ? time_point::max() : due_.begin()->first;
}
}  // namespace shoal::announce
