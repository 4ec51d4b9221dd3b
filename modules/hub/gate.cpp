module;
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/try.hpp"

module shoal.hub;
import shoal.announce;
import shoal.core;
import shoal.hash;
import shoal.net;
import :service;

namespace shoal::hub {
namespace {
/// Bytes of the file: more than `members_max` lines of the longest names.
constexpr std::size_t file_bytes_max = 16u << 20;
/// Bytes of a passkey in base64 that are looked at, and so of a user name beside it.
constexpr std::size_t basic_bytes_max = 512;

bool is_name(std::string_view name) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@";
    return !name.empty() && name.size() <= member_name_max && name.find_first_not_of(letters) == name.npos;
}

/// The bytes of a base64 text; empty when it is none.
std::string from_base64(std::string_view text) {
    if (text.empty() || text.size() > basic_bytes_max || text.size() % 4 != 0) return {};
    std::string bytes(text.size(), '\0');
    auto const length =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                        reinterpret_cast<unsigned char const*>(text.data()), static_cast<int>(text.size()));
    if (length < 0) return {};
    auto const padding = text.ends_with("==") ? 2U : text.ends_with('=') ? 1U : 0U;
    bytes.resize(static_cast<std::size_t>(length) - padding);
    return bytes;
}
}  // namespace

result<member_list> member_list::parse(std::string_view text) {
    member_list read;
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        auto const line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.starts_with('#')) continue;
        auto const blank = std::min(line.find(' '), line.size());
        auto const bytes = from_hex(line.substr(std::min(blank + 1, line.size())));
        auto const digest = bytes ? sha256_digest::from(*bytes) : std::nullopt;
        std::string const name{line.substr(0, blank)};
        if (!digest || !is_name(name) || read.by_name_.size() == members_max) return errc::bad_members;
        if (!read.by_name_.emplace(name, *digest).second || !read.by_digest_.emplace(*digest, name).second)
            return errc::bad_members;
    }
    return read;
}

std::string member_list::text() const {
    std::string out = "# Members of this hub and the SHA-256 of their passkeys. `tracker passkey` writes it.\n";
    for (auto const& [name, digest] : by_name_) out.append(name).append(" ").append(to_hex(digest.view())).append("\n");
    return out;
}

result<void> member_list::add(std::string const& name, std::string_view passkey) {
    if (!is_name(name) || by_name_.size() == members_max) return errc::bad_member_name;
    auto const digest = hash::sha256_of(as_bytes(passkey));
    if (!by_name_.emplace(name, digest).second) return errc::member_exists;
    by_digest_.emplace(digest, name);
    return success();
}

bool member_list::remove(std::string_view name) {
    auto const found = by_name_.find(name);
    if (found == by_name_.end()) return false;
    by_digest_.erase(found->second);
    by_name_.erase(found);
    return true;
}

member_card member_list::member_with(std::string_view passkey) const {
    if (passkey.empty() || passkey.size() > basic_bytes_max) return {};
    auto const found = by_digest_.find(hash::sha256_of(as_bytes(passkey)));
    return found == by_digest_.end() ? member_card{} : member_card{found->second, found->first};
}

bool member_list::holds(member_card const& card) const {
    auto const found = by_digest_.find(card.digest);
    return found != by_digest_.end() && found->second == card.name;
}

std::vector<std::string> member_list::names() const {
    std::vector<std::string> names;
    for (auto const& [name, digest] : by_name_) names.push_back(name);
    return names;
}

result<member_list> load_members(std::filesystem::path const& file) {
    errno = 0;
    std::ifstream in{file, std::ios::binary};
    if (!in && errno == ENOENT) return member_list{};
    std::string text(file_bytes_max + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in.eof())
        return in ? make_error_code(errc::bad_members) : std::error_code{errno ? errno : EIO, std::generic_category()};
    text.resize(static_cast<std::size_t>(in.gcount()));
    return member_list::parse(text);
}

std::string new_passkey(net::random& random) {
    std::array<std::byte, passkey_bytes> bytes;
    random.fill(bytes);
    return to_hex(bytes);
}

std::string passkey_of(net::http_request const& request) {
    if (auto found = announce::passkey_of(request.target)) return std::move(*found);
    auto const shown = request.field("Authorization");
    auto const blank = std::min(shown.find(' '), shown.size());
    auto const scheme = shown.substr(0, blank), rest = shown.substr(std::min(blank + 1, shown.size()));
    if (equal_without_case(scheme, "Bearer")) return std::string{rest};
    if (!equal_without_case(scheme, "Basic")) return {};
    auto const pair = from_base64(rest);
    auto const colon = pair.find(':');
    return colon == std::string::npos ? std::string{} : pair.substr(colon + 1);
}

bool gate::is_open(room where) const noexcept {
    return how_ == access::open || (how_ == access::counts && where != room::all);
}

bool gate::admits(room where, std::string_view passkey) const {
    return is_open(where) || !members_.member_with(passkey).name.empty();
}

member_card gate::card_of(std::string_view passkey) const {
    return is_open(room::all) ? member_card{} : members_.member_with(passkey);
}

bool gate::is_still_in(member_card const& card) const {
    return is_open(room::all) || members_.holds(card);
}
}  // namespace shoal::hub
