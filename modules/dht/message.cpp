module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "core/try.hpp"

module shoal.dht;
import shoal.bencode;
import shoal.core;

namespace shoal::dht {
namespace {
constexpr std::array<std::pair<std::string_view, method>, 4> names{{{"ping", method::ping},
                                                                    {"find_node", method::find_node},
                                                                    {"get_peers", method::get_peers},
                                                                    {"announce_peer", method::announce_peer}}};
/// How clients are told apart. Two letters and two numbers; ours are those of the peer id.
constexpr std::string_view version{"SL\0\1", 4};

std::optional<node_id> id_in(bencode::value const& from, std::string_view key) {
    auto const bytes = from.find_bytes(key);
    return bytes ? node_id::from(*bytes) : std::nullopt;
}

std::optional<endpoint> compact_endpoint(byte_view bytes) {
    if (bytes.size() != 6 && bytes.size() != 18) return std::nullopt;
    auto const address = ip_address::from(bytes.first(bytes.size() - 2));
    if (!address) return std::nullopt;
    return endpoint{*address, load_be<std::uint16_t>(bytes.last(2))};
}

void append(byte_vector& out, endpoint const& at) {
    byte_writer{out}.bytes(at.address.bytes()).be(at.port);
}

void read_nodes(std::optional<byte_view> list, std::size_t address_length, std::vector<contact>& out) {
    if (!list) return;
    auto const length = node_id::size() + address_length + 2;
    for (auto left = *list; left.size() >= length; left = left.subspan(length)) {
        auto const at = compact_endpoint(left.first(length).subspan(node_id::size()));
        if (at && is_usable(*at)) out.push_back({*node_id::from(left.first(node_id::size())), *at});
    }
}

result<query> read_query(bencode::value const& root) {
    auto const name = root.find_text("q");
    auto const arguments = root.find("a", bencode::kind::dictionary);
    if (!name || !arguments) return errc::bad_query;
    query made;
    made.what = method::unknown;
    for (auto const& [known, what] : names)
        if (*name == known) made.what = what;
    auto const id = id_in(*arguments, "id");
    if (!id) return errc::bad_query;
    made.id = *id;
    made.is_read_only = root.find_integer("ro").value_or(0) == 1;
    if (made.what == method::ping || made.what == method::unknown) return made;
    auto const target = id_in(*arguments, made.what == method::find_node ? "target" : "info_hash");
    if (!target) return errc::bad_query;
    made.target = *target;
    if (made.what != method::announce_peer) return made;
    auto const port = arguments->find_integer("port");
    auto const token = arguments->find_bytes("token");
    made.implied_port = arguments->find_integer("implied_port").value_or(0) != 0;
    bool const is_port = port && *port > 0 && *port <= 65'535;
    if (!token || (!made.implied_port && !is_port)) return errc::bad_query;
    made.port = is_port ? static_cast<std::uint16_t>(*port) : 0;
    made.token = *token;
    return made;
}

result<reply> read_reply(bencode::value const& root) {
    auto const told = root.find("r", bencode::kind::dictionary);
    if (!told) return errc::bad_reply;
    auto const id = id_in(*told, "id");
    if (!id) return errc::bad_reply;
    reply made;
    made.id = *id;
    read_nodes(told->find_bytes("nodes"), 4, made.nodes);
    read_nodes(told->find_bytes("nodes6"), 16, made.nodes);
    if (auto const values = told->find("values", bencode::kind::list))
        for (auto const each : values->items())
            if (auto const bytes = each.bytes())
                if (auto const peer = compact_endpoint(*bytes); peer && is_usable(*peer)) made.values.push_back(*peer);
    if (auto const token = told->find_bytes("token"); token && token->size() <= token_bytes_max) made.token = *token;
    if (auto const seen = root.find_bytes("ip"))
        if (auto const at = compact_endpoint(*seen)) made.seen_as = at->address;
    return made;
}

/// Closes the reply or the arguments, and writes what every message ends with.
byte_vector finish(bencode::encoder& out, byte_view transaction, std::string_view kind) {
    return out.entry("t", transaction).entry("v", version).entry("y", kind).end().take();
}
}  // namespace

result<message> parse(byte_view datagram) {
    SHOAL_TRY(auto const read, bencode::decode(datagram, bencode::lenient_message));
    auto const root = read.root();
    auto const transaction = root.find_bytes("t");
    auto const kind = root.find_text("y");
    if (!root.is_dictionary() || !transaction || !kind) return errc::not_krpc;
    if (transaction->size() > transaction_bytes_max) return errc::too_long_name;
    if (*kind == "q") {
        SHOAL_TRY(auto const asked, read_query(root));
        return message{*transaction, asked};
    }
    if (*kind == "r") {
        SHOAL_TRY(auto told, read_reply(root));
        return message{*transaction, std::move(told)};
    }
    if (*kind != "e") return errc::not_krpc;
    failure made;
    if (auto const why = root.find("e", bencode::kind::list))
        for (auto const each : why->items()) {
            made.code = each.integer().value_or(0);
            break;
        }
    return message{*transaction, made};
}

byte_vector encode(byte_view transaction, query const& what) {
    bencode::encoder out;
    out.dictionary().key("a").dictionary().entry("id", what.id.view());
    std::string_view name;
    for (auto const& [known, each] : names)
        if (each == what.what) name = known;
    if (what.what == method::find_node) out.entry("target", what.target.view());
    if (what.what == method::get_peers) out.entry("info_hash", what.target.view());
    if (what.what == method::announce_peer) {
        out.entry("info_hash", what.target.view()).entry("port", what.port).entry("token", what.token);
        if (what.implied_port) out.entry("implied_port", 1);
    }
    out.end().entry("q", name);
    if (what.is_read_only) out.entry("ro", 1);
    return finish(out, transaction, "q");
}

byte_vector encode(byte_view transaction, reply const& what, endpoint const& to) {
    bencode::encoder out;
    byte_vector nodes, nodes6, seen;
    for (auto const& each : what.nodes) {
        auto& list = each.at.address.is_v4() ? nodes : nodes6;
        byte_writer{list}.bytes(each.id.view());
        append(list, each.at);
    }
    append(seen, to);
    out.dictionary().entry("ip", byte_view{seen}).key("r").dictionary().entry("id", what.id.view());
    if (!nodes.empty()) out.entry("nodes", byte_view{nodes});
    if (!nodes6.empty()) out.entry("nodes6", byte_view{nodes6});
    if (what.token) out.entry("token", *what.token);
    if (!what.values.empty()) {
        out.key("values").list();
        for (auto const& each : what.values) {
            byte_vector peer;
            append(peer, each);
            out.bytes(peer);
        }
        out.end();
    }
    out.end();
    return finish(out, transaction, "r");
}

byte_vector encode(byte_view transaction, failure const& what, std::string_view text) {
    bencode::encoder out;
    out.dictionary().key("e").list().integer(what.code).text(text).end();
    return finish(out, transaction, "e");
}
}  // namespace shoal::dht
