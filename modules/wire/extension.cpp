module;
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "core/canary.hpp"

module shoal.wire;
import shoal.core;
import shoal.bencode;

namespace shoal::wire {
namespace {
template <class Number>
std::optional<Number> number_in(bencode::value const& in, std::int64_t least) {
    auto const number = in.integer();
    if (!number || *number < least || *number > std::int64_t{std::numeric_limits<Number>::max()}) return std::nullopt;
    return static_cast<Number>(*number);
}

result<std::map<std::string, std::uint8_t>> names_in(bencode::value const& dictionary) {
    std::map<std::string, std::uint8_t> names;
    std::set<std::string_view> seen;
    std::set<std::uint8_t> taken;
    std::size_t count = 0;
    for (auto const& [name, content] : dictionary.entries()) {
        if (++count > extension_names_max) return errc::bad_extension_handshake;
        if (!seen.insert(name).second) continue;
        auto const id = number_in<std::uint8_t>(content, 0);
        if (name.empty() || name.size() > extension_name_length_max || !id) continue;
        if (*id != 0 && !taken.insert(*id).second) continue;
        names.emplace(name, *id);
    }
    return names;
}
}  // namespace

byte_vector encode(extension_handshake_message const& from) {
    bencode::encoder out;
    out.dictionary().key("m").dictionary();
    for (auto const& [name, id] : from.m) out.entry(name, std::int64_t{id});
    out.end();
    if (from.metadata_size) out.entry("metadata_size", std::int64_t{*from.metadata_size});
    if (from.p) out.entry("p", std::int64_t{*from.p});
    if (from.reqq) out.entry("reqq", std::int64_t{*from.reqq});
    if (from.upload_only) out.entry("upload_only", std::int64_t{*from.upload_only});
    if (from.v) out.entry("v", std::string_view{*from.v});
    if (from.yourip) out.entry("yourip", from.yourip->bytes());
    if (is_planted("unset_bytes_sent")) {
        std::unique_ptr<std::byte[]> const fresh{new std::byte[16]};
        out.entry("z", byte_view{fresh.get(), 16});
    }
    return out.end().take();
}

result<extension_handshake_message> parse_extension_handshake(byte_view payload) {
    if (payload.size() > extension_handshake_length_max) return errc::bad_extension_handshake;
    // Some clients write bytes after the dictionary.
    auto const read = bencode::decode_prefix(payload, bencode::lenient_message);
    if (!read || !read.value().root().is_dictionary()) return errc::bad_extension_handshake;

    extension_handshake_message out;
    auto const root = read.value().root();  // `find` takes the first of repeated keys
    if (auto const m = root.find("m")) {
        auto names = names_in(*m);
        if (!names) return names.error();
        out.m = std::move(names).value();
    }
    if (auto const reqq = root.find("reqq")) out.reqq = number_in<std::uint32_t>(*reqq, 0);
    if (auto const port = root.find("p")) out.p = number_in<std::uint16_t>(*port, 1);
    if (auto const name = root.find_text("v")) out.v.emplace(name->substr(0, client_name_length_max));
    if (auto const address = root.find_bytes("yourip")) out.yourip = ip_address::from(*address);
    if (auto const size = root.find("metadata_size")) out.metadata_size = number_in<std::uint32_t>(*size, 1);
    if (auto const only = root.find_integer("upload_only")) out.upload_only = *only != 0;
    return out;
}

void merge(extension_handshake_message& known, extension_handshake_message later) {
    for (auto& [name, id] : later.m) {
        if (id != 0) {  // an id belongs to the name that claimed it last
            std::erase_if(known.m, [&](auto const& entry) { return entry.second == id && entry.first != name; });
        }
        if (known.m.size() < extension_names_max || known.m.contains(name)) known.m.insert_or_assign(name, id);
    }
    if (later.reqq) known.reqq = later.reqq;
    if (later.p) known.p = later.p;
    if (later.v) known.v = std::move(later.v);
    if (later.yourip) known.yourip = later.yourip;
    if (later.metadata_size) known.metadata_size = later.metadata_size;
    if (later.upload_only) known.upload_only = later.upload_only;
}
}  // namespace shoal::wire
