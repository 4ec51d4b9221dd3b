module;
#include <openssl/evp.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module shoal.hub;
import shoal.core;
import :monitor;
import :roster;

namespace shoal::hub {
namespace json = boost::json;

std::uint64_t exact(std::uint64_t number) {
    return std::min(number, exact_max);
}
std::string id_of(node_number number) {
    return "n" + std::to_string(number);
}
std::string hex(info_hash const& hash) {
    return to_hex(hash.view());
}

namespace {
json::string clean(std::string_view text) {
    json::string out;
    while (!text.empty()) {
        auto const before = text;
        if (take_code_point(text)) {
            auto const used = before.substr(0, before.size() - text.size());
            out.append(json::string_view{used.data(), used.size()});
        } else {
            out.append("\xef\xbf\xbd");
            text = before.substr(1);
        }
    }
    return out;
}

json::value id_or_null(node const* of) {
    return of ? json::value(id_of(of->number)) : json::value(nullptr);
}

std::string cells_of(bitfield const& have) {
    auto const pieces = std::uint64_t{have.size()};
    auto const count = std::min<std::uint64_t>(pieces, cells_max);
    std::string cells(count, '0');
    if (have.all()) return std::string(count, 'f');
    auto next = have.next_set(0);
    std::uint32_t at = 0;
    for (std::uint64_t i = 0; i < count && next; ++i) {
        auto const end = static_cast<std::uint32_t>((i + 1) * pieces / count);
        auto const width = end - at;
        std::uint32_t held = 0;
        for (; next && to_number(*next) < end; next = have.next_set(to_number(*next) + 1)) ++held;
        at = end;
        if (held == width)
            cells[i] = 'f';
        else if (held > 0)
            cells[i] = "0123456789abcdef"[std::clamp<std::uint32_t>(1 + (13 * held + width / 2) / width, 1, 14)];
    }
    return cells;
}
}  // namespace

json::value copies_of(membership const& of) {
    std::uint32_t complete = 0;
    std::vector<bitfield const*> partial;
    for (auto const& [number, each] : of.members) {
        if (each.have.size() == 0 && !each.is_complete) continue;
        if (each.is_complete)
            ++complete;
        else if (each.have.size() == of.pieces)
            partial.push_back(&each.have);
    }
    if (complete == 0 && partial.empty()) return nullptr;
    if (of.pieces == 0 || partial.empty()) return complete;
    std::vector<std::uint32_t> holders(of.pieces, 0);
    for (auto const* have : partial)
        for (auto at = have->next_set(0); at; at = have->next_set(to_number(*at) + 1)) ++holders[to_number(*at)];
    auto const least = *std::ranges::min_element(holders);
    auto const more = std::ranges::count_if(holders, [least](auto count) { return count > least; });
    auto const copies = complete + least + static_cast<double>(more) / static_cast<double>(of.pieces);
    return std::round(copies * 1000) / 1000;
}

json::object node_object(node const& of, std::int64_t since_at) {
    std::uint64_t uploaded = 0, downloaded = 0, up = 0, down = 0;
    for (auto const& [torrent, self] : of.torrents) {
        uploaded += std::min(self->uploaded, exact_max);
        downloaded += std::min(self->downloaded, exact_max);
        up += std::min(self->up_rate, exact_max);
        down += std::min(self->down_rate, exact_max);
    }
    json::value ratio = nullptr;
    if (downloaded > 0) ratio = std::round(static_cast<double>(uploaded) / static_cast<double>(downloaded) * 100) / 100;
    return {{"id", id_of(of.number)},      {"address", of.at.to_string()},
            {"client", clean(of.client)},  {"kind", of.is_session ? "session" : "announce"},
            {"since_at", since_at},        {"torrents", of.torrents.size()},
            {"uploaded", exact(uploaded)}, {"downloaded", exact(downloaded)},
            {"up_rate", exact(up)},        {"down_rate", exact(down)},
            {"ratio", std::move(ratio)}};
}

json::object torrent_object(info_hash const& hash, shared_torrent const* shared, membership const* active,
                            json::value health) {
    std::uint64_t seeders = 0, leechers = 0;
    if (active)
        for (auto const& [number, each] : active->members) ++(each.is_complete ? seeders : leechers);
    json::array owners;
    if (shared)
        for (auto const& owner : shared->owners) owners.push_back(clean(owner));
    json::object out{{"hash", hex(hash)},
                     {"name", shared ? clean(shared->name) : json::string{}},
                     {"size", shared   ? exact(shared->size)
                              : active ? exact(active->size)
                                       : 0},
                     {"pieces", shared   ? shared->pieces
                                : active ? active->pieces
                                         : 0},
                     {"piece_length", shared ? shared->piece_length : 0},
                     {"file_count", shared ? shared->file_count : 0},
                     {"private", shared && shared->is_private},
                     {"shared", shared != nullptr},
                     {"seeders", seeders},
                     {"leechers", leechers},
                     {"completed", shared ? exact(shared->completed) : 0},
                     {"health", std::move(health)},
                     {"owners", std::move(owners)}};
    out["added_at"] = shared ? json::value(shared->added_at) : json::value(nullptr);
    return out;
}

json::object peer_object(info_hash const& torrent, node const& who, member const& of) {
    return {{"torrent", hex(torrent)},      {"node", id_of(who.number)},       {"address", who.at.to_string()},
            {"client", clean(who.client)},  {"complete", of.is_complete},      {"have", of.have.count()},
            {"cells", cells_of(of.have)},   {"uploaded", exact(of.uploaded)},  {"downloaded", exact(of.downloaded)},
            {"up_rate", exact(of.up_rate)}, {"down_rate", exact(of.down_rate)}};
}

std::string base64(byte_view bytes) {
    std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');  // OpenSSL ends it with a zero
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<unsigned char const*>(bytes.data()),
                    static_cast<int>(bytes.size()));
    out.pop_back();
    return out;
}

std::string peer_key(info_hash const& torrent, node_number of) {
    return hex(torrent) + "/" + id_of(of);
}

/// Whom a member serves, by key.
std::map<std::string, json::object> transfers_of(roster const& nodes, info_hash const& torrent, node const& who,
                                                 member const& of) {
    std::map<std::string, json::object> out;
    for (auto const& each : of.serving) {
        auto const to = each.to.to_string();
        out.insert_or_assign(hex(torrent) + "/" + who.at.to_string() + "/" + to,
                             json::object{{"torrent", hex(torrent)},
                                          {"from", id_of(who.number)},
                                          {"to", id_or_null(nodes.node_at(each.to))},
                                          {"from_address", who.at.to_string()},
                                          {"to_address", to},
                                          {"rate", exact(each.rate)},
                                          {"bytes", exact(each.bytes)}});
    }
    return out;
}

json::object log_object(log_line const& line) {
    auto const& what = line.what;
    json::object out{{"id", line.id}, {"at", line.at}, {"kind", what.kind}, {"text", clean(what.text)}};
    out["node"] = what.node ? json::value(id_of(what.node)) : json::value(nullptr);
    out["address"] = what.at ? json::value(what.at->to_string()) : json::value(nullptr);
    out["torrent"] = what.torrent ? json::value(hex(*what.torrent)) : json::value(nullptr);
    return out;
}
}  // namespace shoal::hub
