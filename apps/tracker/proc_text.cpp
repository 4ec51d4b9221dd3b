#include "proc_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace doctor {
namespace {
constexpr std::string_view blanks = " \t\n";

/// Takes what stands before `end` off the front of `text`.
std::string_view take(std::string_view& text, char end) {
    auto const part = text.substr(0, text.find(end));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    return part;
}

std::vector<std::string_view> words(std::string_view line) {
    std::vector<std::string_view> out;
    for (;;) {
        line.remove_prefix(std::min(line.size(), line.find_first_not_of(blanks)));
        if (line.empty()) return out;
        out.push_back(line.substr(0, line.find_first_of(blanks)));
        line.remove_prefix(out.back().size());
    }
}

template <class Number>
std::optional<Number> number(std::string_view text, int base) {
    Number value{};
    auto const [rest, wrong] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (wrong != std::errc{} || rest != text.data() + text.size()) return std::nullopt;
    return value;
}

/// A path of mountinfo, where `\040` stands for a space.
std::string plain(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        auto const octal =
            text.size() >= 4 && text[0] == '\\' ? number<std::uint8_t>(text.substr(1, 3), 8) : std::nullopt;
        out += octal ? static_cast<char>(*octal) : text[0];
        text.remove_prefix(octal ? 4 : 1);
    }
    return out;
}

bool is_below(std::string_view path, std::string_view folder) {
    if (folder == "/") return path.starts_with('/');
    return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

bool is_zero(std::span<std::byte const> bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

/// The bytes of an address that the kernel printed as words of 32 bits in its own order.
std::vector<std::byte> address_bytes(std::string_view digits) {
    std::vector<std::byte> out;
    for (; digits.size() >= 8; digits.remove_prefix(8)) {
        auto const word = number<std::uint32_t>(digits.substr(0, 8), 16);
        if (!word) return {};
        std::array<std::byte, 4> bytes{};
        std::memcpy(bytes.data(), &*word, bytes.size());
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return out;
}
}  // namespace

std::optional<std::uint64_t> first_number(std::string_view text) {
    auto const found = words(text);
    return found.empty() ? std::nullopt : number<std::uint64_t>(found.front(), 10);
}

std::optional<std::uint64_t> memory_line(std::string_view meminfo, std::string_view name) {
    while (!meminfo.empty()) {
        auto line = take(meminfo, '\n');
        if (take(line, ':') != name) continue;
        auto const kibibytes = first_number(line);
        return kibibytes ? std::optional{*kibibytes * 1024} : std::nullopt;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> counter(std::string_view snmp, std::string_view row, std::string_view column) {
    while (!snmp.empty()) {
        auto const names = words(take(snmp, '\n'));
        auto const values = words(take(snmp, '\n'));
        if (names.empty() || names.front() != std::string{row} + ":") continue;
        auto const at = std::find(names.begin(), names.end(), column) - names.begin();
        if (at >= std::ssize(names) || at >= std::ssize(values)) return std::nullopt;
        return number<std::uint64_t>(values[static_cast<std::size_t>(at)], 10);
    }
    return std::nullopt;
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> packets(std::string_view softnet) {
    std::optional<std::pair<std::uint64_t, std::uint64_t>> out;
    while (!softnet.empty()) {
        auto const columns = words(take(softnet, '\n'));
        if (columns.size() < 2) continue;
        if (!out) out.emplace(0, 0);
        out->first += number<std::uint64_t>(columns[0], 16).value_or(0);
        out->second += number<std::uint64_t>(columns[1], 16).value_or(0);
    }
    return out;
}

std::string type_of_mount(std::string_view mountinfo, std::string_view path) {
    std::string type;
    std::size_t longest = 0;
    while (!mountinfo.empty()) {
        // 36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw
        auto const fields = words(take(mountinfo, '\n'));
        auto const dash = std::find(fields.begin(), fields.end(), "-");
        if (fields.size() < 5 || fields.end() - dash < 2) continue;
        auto const where = plain(fields[4]);
        if (where.size() < longest || !is_below(path, where)) continue;  // of equals the last is on top
        longest = where.size();
        type = dash[1];
    }
    return type;
}

std::vector<std::uint64_t> sockets_at(std::string_view table, std::span<std::byte const> address, std::uint16_t port,
                                      bool is_udp) {
    std::vector<std::uint64_t> out;
    take(table, '\n');
    while (!table.empty()) {
        // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
        auto const fields = words(take(table, '\n'));
        if (fields.size() < 10 || (!is_udp && fields[3] != "0A")) continue;
        auto local = fields[1];
        auto const there = address_bytes(take(local, ':'));
        if (number<std::uint16_t>(local, 16) != port) continue;
        auto const is_same = there.size() == address.size() && std::equal(there.begin(), there.end(), address.begin());
        if (!is_same && !is_zero(there) && !is_zero(address)) continue;
        if (auto const inode = number<std::uint64_t>(fields[9], 10)) out.push_back(*inode);
    }
    return out;
}
}  // namespace doctor
