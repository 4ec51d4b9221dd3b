#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The texts of /proc and /sys that `tracker doctor` reads, as values.
namespace doctor {
/// The number at the front of `text`, after white space; nothing for another text, `max` among them.
std::optional<std::uint64_t> first_number(std::string_view text);

/// Of /proc/meminfo the bytes of a line: `MemAvailable`.
std::optional<std::uint64_t> memory_line(std::string_view meminfo, std::string_view name);

/// Of /proc/net/snmp a number by its row and column: `Udp`, `RcvbufErrors`.
std::optional<std::uint64_t> counter(std::string_view snmp, std::string_view row, std::string_view column);

/// Of /proc/net/softnet_stat the packets that were processed, and those dropped for a full queue, of all processors.
std::optional<std::pair<std::uint64_t, std::uint64_t>> packets(std::string_view softnet);

/// Of /proc/self/mountinfo the type of the file system that an absolute path without links is on; empty: not known.
std::string type_of_mount(std::string_view mountinfo, std::string_view path);

/// Of /proc/net/tcp, tcp6, udp or udp6 the inodes of the sockets that are in the way of one at `address` (4 or 16
/// bytes) and `port`: those that listen, of UDP all.
std::vector<std::uint64_t> sockets_at(std::string_view table, std::span<std::byte const> address, std::uint16_t port,
                                      bool is_udp);
}  // namespace doctor
