module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/try.hpp"

module shoal.session;
import shoal.bencode;
import shoal.core;

namespace shoal::session {
namespace {
using bencode::value;

/// Values and keys of a message: a peer set of `set_max` entries of 20 each, or that many pieces twice.
constexpr bencode::rules message_rules{.strict = false, .depth_max = 8, .items_max = 128 * 1024};
constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();

result<std::uint64_t> number(value from, std::string_view key, std::uint64_t most_allowed = most,
                             std::optional<std::uint64_t> otherwise = std::nullopt) {
    auto const found = from.find_integer(key);
    if (!found && otherwise && !from.find(key)) return *otherwise;
    if (!found) return errc::malformed;
    if (*found < 0 || static_cast<std::uint64_t>(*found) > most_allowed) return errc::out_of_range;
    return static_cast<std::uint64_t>(*found);
}

result<std::string> text(value from, std::string_view key) {
    auto const found = from.find_text(key);
    if (!found) return errc::malformed;
    if (found->size() > text_max) return errc::too_large;
    return std::string{*found};
}

template <class Bytes>
result<Bytes> fixed(value from, std::string_view key) {
    auto const found = from.find_bytes(key);
    if (!found) return errc::malformed;
    auto const read = Bytes::from(*found);
    if (!read) return errc::malformed;
    return *read;
}

std::optional<token> token_of(value from) {
    auto const found = from.find_bytes(key::resume);
    token read;
    if (!found || found->size() != read.size()) return std::nullopt;
    std::ranges::copy(*found, read.begin());
    return read;
}

result<endpoint> endpoint_of(byte_view compact) {
    if (compact.size() < 2) return errc::malformed;
    auto const address = ip_address::from(compact.first(compact.size() - 2));
    if (!address) return errc::malformed;
    return endpoint{*address, load_be<std::uint16_t>(compact.last(2))};
}
result<endpoint> endpoint_of(value from) {
    auto const bytes = from.bytes();
    if (!bytes) return errc::malformed;
    return endpoint_of(*bytes);
}

result<bitfield> have_of(value from) {
    SHOAL_TRY(auto const count, number(from, key::piece_count, pieces_max));
    auto const bytes = from.find_bytes(key::have);
    if (!bytes) return errc::malformed;
    if (count == 0) return errc::out_of_range;
    auto const read = bitfield::parse(*bytes, static_cast<std::uint32_t>(count));
    if (!read) return errc::out_of_range;
    return *read;
}

result<std::vector<piece_index>> pieces(value from, std::string_view key) {
    std::vector<piece_index> all;
    auto const list = from.find(key);
    if (!list) return all;
    if (!list->is_list()) return errc::malformed;
    std::optional<std::uint32_t> first;
    for (auto const each : list->items()) {
        auto const read = each.integer();
        if (!read) return errc::malformed;
        if (*read < 0 || *read > pieces_max) return errc::out_of_range;
        auto const next = static_cast<std::uint32_t>(*read);
        if (!first) {
            first = next;
            continue;
        }
        if (next == 0 || next > pieces_max - *first) return errc::out_of_range;
        if (all.size() + next > changes_max) return errc::too_large;
        for (std::uint32_t i = 0; i < next; ++i) all.push_back(piece_index{*first + i});
        first.reset();
    }
    if (first) return errc::malformed;
    return all;
}

result<void> read(value from, hello& into) {
    SHOAL_TRY(auto const spoken, number(from, key::version, std::numeric_limits<std::uint32_t>::max()));
    into.version = static_cast<std::uint32_t>(spoken);
    if (into.version != version) return errc::unsupported_version;
    SHOAL_TRY(into.id, fixed<peer_id>(from, key::id));
    SHOAL_TRY(auto const port, number(from, key::port, 65'535));
    into.port = static_cast<std::uint16_t>(port);
    SHOAL_TRY(into.client, text(from, key::client));
    into.resume = token_of(from);
    return success();
}

result<void> read(value from, join& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    SHOAL_TRY(into.size, number(from, key::size));
    SHOAL_TRY(into.have, have_of(from));
    SHOAL_TRY(into.uploaded, number(from, key::uploaded, most, 0));
    SHOAL_TRY(into.downloaded, number(from, key::downloaded, most, 0));
    return success();
}

result<served> served_of(value from) {
    served read;
    std::size_t at = 0;
    for (auto const each : from.items()) {
        if (at == 0) {
            SHOAL_TRY(read.to, endpoint_of(each));
        } else {
            auto const amount = each.integer();
            if (!amount || *amount < 0) return errc::out_of_range;
            (at == 1 ? read.bytes : read.rate) = static_cast<std::uint64_t>(*amount);
        }
        if (++at == 3) break;
    }
    if (at != 3) return errc::malformed;
    return read;
}

result<void> read(value from, status& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    SHOAL_TRY(into.number, number(from, key::number));
    SHOAL_TRY(into.gained, pieces(from, key::gained));
    SHOAL_TRY(into.lost, pieces(from, key::lost));
    SHOAL_TRY(into.uploaded, number(from, key::uploaded));
    SHOAL_TRY(into.downloaded, number(from, key::downloaded));
    SHOAL_TRY(into.up_rate, number(from, key::up_rate, most, 0));
    SHOAL_TRY(into.down_rate, number(from, key::down_rate, most, 0));
    into.is_asked = from.find_integer(key::asked).value_or(0) != 0;
    auto const list = from.find(key::serving);
    if (!list) return success();
    if (!list->is_list()) return errc::malformed;
    into.serving.emplace();
    for (auto const each : list->items()) {
        if (into.serving->size() == served_max) return errc::too_large;
        SHOAL_TRY(auto const one, served_of(each));
        into.serving->push_back(one);
    }
    return success();
}

result<void> read(value from, leave& into) {
    into.quits = from.find_integer(key::quits).value_or(0) != 0;
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    return success();
}
result<void> read(value from, ask_peers& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    return success();
}
result<void> read(value from, unpublish& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    return success();
}
result<void> read(value from, publish& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    auto const bytes = from.find_bytes(key::metainfo);
    if (!bytes) return errc::malformed;
    if (bytes->size() > metainfo_max) return errc::too_large;
    into.metainfo.assign(bytes->begin(), bytes->end());
    return success();
}

result<void> read(value from, welcome& into) {
    SHOAL_TRY(auto const spoken, number(from, key::version, std::numeric_limits<std::uint32_t>::max()));
    into.version = static_cast<std::uint32_t>(spoken);
    if (into.version != version) return errc::unsupported_version;
    auto const proof = token_of(from);
    if (!proof) return errc::malformed;
    into.resume = *proof;
    SHOAL_TRY(into.seen_as, fixed<ip_address>(from, key::seen_as));
    constexpr std::uint64_t minute = 60'000;
    SHOAL_TRY(auto const every, number(from, key::every, minute));
    into.every = std::chrono::milliseconds{every};
    auto const list = from.find(key::torrents);
    if (!list) return success();
    for (auto const each : list->items()) {
        if (into.torrents.size() == torrents_max) return errc::too_large;
        auto const pair = each.items();
        resumed one;
        std::size_t at = 0;
        for (auto const part : pair) {
            if (at == 0) {
                auto const hash = info_hash::from(part.bytes().value_or(byte_view{}));
                if (!hash) return errc::malformed;
                one.torrent = *hash;
            } else {
                auto const known = part.integer();
                if (!known || *known < 0) return errc::out_of_range;
                one.number = static_cast<std::uint64_t>(*known);
            }
            if (++at == 2) break;
        }
        if (at != 2) return errc::malformed;
        into.torrents.push_back(one);
    }
    return success();
}

result<void> read(value from, wait& into) {
    constexpr std::uint64_t day = 86'400;
    SHOAL_TRY(auto const length, number(from, key::length, day));
    into.length = std::chrono::seconds{length};
    SHOAL_TRY(auto const place, number(from, key::place, std::numeric_limits<std::uint32_t>::max()));
    into.place = static_cast<std::uint32_t>(place);
    return success();
}

result<set_member> member_of(value from) {
    set_member read;
    auto const at = from.find(key::at);
    if (!at) return errc::malformed;
    SHOAL_TRY(read.at, endpoint_of(*at));
    SHOAL_TRY(read.client, text(from, key::client));
    read.is_session = from.find_integer(key::session).value_or(0) != 0;
    read.is_complete = from.find_integer(key::complete).value_or(0) != 0;
    SHOAL_TRY(read.uploaded, number(from, key::uploaded));
    SHOAL_TRY(read.downloaded, number(from, key::downloaded));
    if (from.find(key::have)) {
        SHOAL_TRY(read.have, have_of(from));
    }
    SHOAL_TRY(read.gained, pieces(from, key::gained));
    return read;
}

result<void> read(value from, peer_set& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    into.is_whole = from.find_integer(key::whole).value_or(0) != 0;
    if (auto const list = from.find(key::peers)) {
        for (auto const each : list->items()) {
            if (into.peers.size() == set_max) return errc::too_large;
            SHOAL_TRY(auto one, member_of(each));
            into.peers.push_back(std::move(one));
        }
    }
    if (auto const list = from.find(key::gone)) {
        for (auto const each : list->items()) {
            if (into.gone.size() == set_max) return errc::too_large;
            SHOAL_TRY(auto const at, endpoint_of(each));
            into.gone.push_back(at);
        }
    }
    return success();
}

result<request> request_of(value from) {
    auto const name = from.find_text(key::what);
    if (!name) return errc::malformed;
    auto const what = named<request>(request_names, *name);
    if (!what) return errc::out_of_range;
    return *what;
}
result<void> read(value from, done& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    SHOAL_TRY(into.what, request_of(from));
    return success();
}
result<void> read(value from, refused& into) {
    SHOAL_TRY(into.torrent, fixed<info_hash>(from, key::torrent));
    SHOAL_TRY(into.what, request_of(from));
    SHOAL_TRY(into.reason, text(from, key::reason));
    return success();
}

template <class Any, class Message>
result<Any> parse_as(value from) {
    Message message;
    SHOAL_TRY(read(from, message));
    return Any{std::move(message)};
}

/// The kind of message and the dictionary that it is.
result<kind> kind_of(value root) {
    if (!root.is_dictionary()) return errc::malformed;
    auto const name = root.find_text(key::kind);
    if (!name) return errc::malformed;
    auto const what = named<kind>(kind_names, *name);
    if (!what) return errc::unknown_kind;
    return *what;
}

result<bencode::document> decode(byte_view bytes) {
    if (bytes.size() > message_max) return errc::too_large;
    auto decoded = bencode::decode(bytes, message_rules);
    if (!decoded) return errc::malformed;
    return std::move(decoded).value();
}
}  // namespace

result<peer_message> parse_peer_message(byte_view bytes) {
    SHOAL_TRY(auto const document, decode(bytes));
    auto const root = document.root();
    SHOAL_TRY(auto const what, kind_of(root));
    switch (what) {
        case kind::hello:
            return parse_as<peer_message, hello>(root);
        case kind::join:
            return parse_as<peer_message, join>(root);
        case kind::status:
            return parse_as<peer_message, status>(root);
        case kind::leave:
            return parse_as<peer_message, leave>(root);
        case kind::ask_peers:
            return parse_as<peer_message, ask_peers>(root);
        case kind::publish:
            return parse_as<peer_message, publish>(root);
        case kind::unpublish:
            return parse_as<peer_message, unpublish>(root);
        default:
            return errc::unknown_kind;
    }
}

result<hub_message> parse_hub_message(byte_view bytes) {
    SHOAL_TRY(auto const document, decode(bytes));
    auto const root = document.root();
    SHOAL_TRY(auto const what, kind_of(root));
    switch (what) {
        case kind::welcome:
            return parse_as<hub_message, welcome>(root);
        case kind::wait:
            return parse_as<hub_message, wait>(root);
        case kind::peer_set:
            return parse_as<hub_message, peer_set>(root);
        case kind::done:
            return parse_as<hub_message, done>(root);
        case kind::refused:
            return parse_as<hub_message, refused>(root);
        default:
            return errc::unknown_kind;
    }
}
}  // namespace shoal::session
