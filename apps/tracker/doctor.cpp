#include "doctor.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "findings.hpp"
#include "proc_text.hpp"
#include "statuses.hpp"

import shoal.core;
import shoal.net;

namespace doctor {
namespace {
using namespace shoal;
namespace fs = std::filesystem;

/// Empty where it cannot be read.
std::string text_in(fs::path const& file) {
    std::ifstream in{file};
    return {std::istreambuf_iterator<char>{in}, {}};
}

std::string line_in(fs::path const& file) {
    auto const text = text_in(file);
    return text.substr(0, text.find('\n'));
}

std::optional<std::uint64_t> number_in(fs::path const& file) {
    return first_number(text_in(file));
}

std::string user_name() {
    auto const* const entry = getpwuid(geteuid());
    return entry != nullptr ? std::string{entry->pw_name} : std::to_string(geteuid());
}

/// A socket or file of our own.
class descriptor {
public:
    explicit descriptor(int number) : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&&) = delete;
    ~descriptor() {
        if (number_ >= 0) close(number_);
    }
    int number() const { return number_; }

private:
    int number_;
};

file_limits read_files() {
    rlimit own{};
    getrlimit(RLIMIT_NOFILE, &own);
    return {own.rlim_cur, own.rlim_max, number_in("/proc/sys/fs/nr_open"), number_in("/proc/sys/fs/file-max"),
            number_in("/proc/sys/fs/file-nr")};
}

std::uint64_t buffer_given(int socket, int option, int asked) {
    int given = 0;
    socklen_t size = sizeof given;
    setsockopt(socket, SOL_SOCKET, option, &asked, sizeof asked);
    if (getsockopt(socket, SOL_SOCKET, option, &given, &size) != 0 || given < 0) return 0;
    return static_cast<std::uint64_t>(given) / 2;  // the kernel doubles what is asked, for its own book-keeping
}

std::optional<socket_buffers> read_buffers() {
    descriptor const probe{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (probe.number() < 0) return std::nullopt;
    auto const asked = net::socket_settings{}.datagram_buffer;
    return socket_buffers{buffer_given(probe.number(), SO_RCVBUF, asked),
                          buffer_given(probe.number(), SO_SNDBUF, asked)};
}

network_numbers read_network() {
    network_numbers out;
    out.given = read_buffers();
    out.listen_queue_max = number_in("/proc/sys/net/core/somaxconn");
    out.packet_queue_max = number_in("/proc/sys/net/core/netdev_max_backlog");
    if (auto const counted = packets(text_in("/proc/net/softnet_stat"))) {
        out.packets_processed = counted->first;
        out.packets_dropped = counted->second;
    }
    auto const counters = text_in("/proc/net/snmp");
    out.datagrams_delivered = counter(counters, "Udp", "InDatagrams");
    out.datagrams_dropped = counter(counters, "Udp", "RcvbufErrors");
    std::ifstream range{"/proc/sys/net/ipv4/ip_local_port_range"};
    if (std::uint16_t first = 0, last = 0; range >> first >> last) {
        out.ephemeral_first = first;
        out.ephemeral_last = last;
    }
    out.reserved = line_in("/proc/sys/net/ipv4/ip_local_reserved_ports");
    fs::path const tracking{"/proc/sys/net/netfilter"};
    out.tracked_max = number_in(tracking / "nf_conntrack_max");
    out.tracked = number_in(tracking / "nf_conntrack_count");
    out.tracked_datagram_seconds = number_in(tracking / "nf_conntrack_udp_timeout");
    return out;
}

clock_numbers read_clock(fs::path const& catalogue) {
    clock_numbers out;
    out.now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    timex kernel{};
    auto const how = adjtimex(&kernel);
    out.is_synchronised = (how >= 0 && how != TIME_ERROR && (kernel.status & STA_UNSYNC) == 0) ||
                          access("/run/systemd/timesync/synchronized", F_OK) == 0;
    struct stat file{};
    if (stat(catalogue.c_str(), &file) == 0) out.catalogue_written_at = file.st_mtim.tv_sec;
    return out;
}

bool may(fs::path const& path, int what) {
    return faccessat(AT_FDCWD, path.c_str(), what, AT_EACCESS) == 0;
}

std::optional<volume> read_volume(fs::path const& path) {
    struct statvfs numbers{};
    if (statvfs(path.c_str(), &numbers) != 0) return std::nullopt;
    volume out;
    out.free = std::uint64_t{numbers.f_bavail} * numbers.f_frsize;
    if (numbers.f_files != 0) out.files_free = numbers.f_favail;
    out.is_read_only = (numbers.f_flag & ST_RDONLY) != 0;
    std::error_code ignored;
    if (auto const real = fs::canonical(path, ignored); !real.empty())
        out.type = type_of_mount(text_in("/proc/self/mountinfo"), real.string());
    return out;
}

folder read_folder(fs::path const& path) {
    std::error_code ignored;
    auto existing = fs::absolute(path, ignored).lexically_normal();
    if (!existing.has_filename()) existing = existing.parent_path();  // a slash at the end
    folder out;
    out.path = existing.string();
    out.kind = folder_kind::folder;
    while (!fs::exists(fs::status(existing, ignored)) && existing.has_relative_path()) {
        existing = existing.parent_path();
        out.kind = folder_kind::absent;
    }
    out.existing = existing.string();
    if (!fs::is_directory(existing, ignored)) {
        out.kind = folder_kind::other;
        out.path = out.existing;
        return out;
    }
    out.is_writable = may(existing, W_OK | X_OK);
    out.on = read_volume(existing);
    return out;
}

/// Where SQLite puts what does not fit into memory.
folder read_temporary(plan const& hub) {
    if (hub.is_confined && std::getenv("SQLITE_TMPDIR") == nullptr) return read_folder(hub.data);
    std::vector<std::string> places;
    for (auto const* const name : {"SQLITE_TMPDIR", "TMPDIR"})
        if (auto const* const value = std::getenv(name)) places.emplace_back(value);
    places.insert(places.end(), {"/var/tmp", "/usr/tmp", "/tmp"});
    for (auto const& each : places)
        if (auto const at = read_folder(each); at.kind == folder_kind::folder && at.is_writable) return at;
    return read_folder(places.front());
}

catalogue_file read_catalogue(fs::path const& path) {
    constexpr std::string_view begin{"SQLite format 3\0", 16};
    catalogue_file out;
    out.path = path.string();
    struct stat file{};
    out.is_there = stat(path.c_str(), &file) == 0;
    if (!out.is_there) return out;
    out.size = static_cast<std::uint64_t>(file.st_size);
    out.is_readable = S_ISREG(file.st_mode) && may(path, R_OK);
    out.is_writable = may(path, W_OK);
    if (!out.is_readable) return out;
    std::string head(begin.size(), ' ');
    std::ifstream in{path, std::ios::binary};
    in.read(head.data(), static_cast<std::streamsize>(head.size()));
    out.is_database = out.size == 0 || (in && head == begin);
    return out;
}

/// The least of the limits of a control group and of those that it is in.
void take_limits(fs::path const& root, std::string_view group, char const* file, std::optional<std::uint64_t>& least) {
    constexpr std::uint64_t none = std::uint64_t{1} << 60U;  // cgroup v1 has a number for "no limit"
    for (auto at = fs::path{group}.relative_path();; at = at.parent_path()) {
        auto const limit = number_in(root / at / file);
        if (limit && *limit < none && (!least || *limit < *least)) least = limit;
        if (at.empty()) return;
    }
}

memory_numbers read_memory() {
    memory_numbers out;
    out.available = memory_line(text_in("/proc/meminfo"), "MemAvailable");
    std::ifstream groups{"/proc/self/cgroup"};
    for (std::string line; std::getline(groups, line);) {
        // 4:memory:/group, or 0::/group where there is one tree for all
        auto const controller = line.find(':') + 1;
        auto const group = line.find(':', controller) + 1;
        if (controller == 0 || group == 0) continue;
        auto const name = line.substr(controller, group - 1 - controller);
        if (name.empty()) take_limits("/sys/fs/cgroup", line.substr(group), "memory.max", out.limit);
        if (name == "memory")
            take_limits("/sys/fs/cgroup/memory", line.substr(group), "memory.limit_in_bytes", out.limit);
    }
    return out;
}

/// Opens the address as the hub does; errno, or 0.
int open_door(descriptor const& door, endpoint const& at, bool is_udp) {
    if (door.number() < 0) return errno;
    int const yes = 1;
    if (!is_udp) setsockopt(door.number(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    auto const bytes = at.address.bytes();
    sockaddr_storage where{};
    socklen_t size = 0;
    if (at.address.is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(at.port);
        std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
        std::memcpy(&where, &v4, size = sizeof v4);
    } else {
        setsockopt(door.number(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(at.port);
        std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
        std::memcpy(&where, &v6, size = sizeof v6);
    }
    if (bind(door.number(), reinterpret_cast<sockaddr const*>(&where), size) != 0) return errno;
    return !is_udp && listen(door.number(), 1) != 0 ? errno : 0;
}

std::vector<std::uint64_t> sockets_in_the_way(endpoint const& at, bool is_udp) {
    std::string const table = is_udp ? "/proc/net/udp" : "/proc/net/tcp";
    auto found = at.address.is_v4() ? sockets_at(text_in(table), at.address.bytes(), at.port, is_udp)
                                    : std::vector<std::uint64_t>{};
    // One that takes both kinds of address stands in the second table only.
    return found.empty() ? sockets_at(text_in(table + "6"), at.address.bytes(), at.port, is_udp) : found;
}

/// The process that has one of these sockets open; 0 where we may not see it.
int process_with(std::vector<std::uint64_t> const& inodes) {
    std::set<std::string> names;
    for (auto const inode : inodes) names.insert("socket:[" + std::to_string(inode) + "]");
    std::error_code why;
    if (names.empty()) return 0;
    for (fs::directory_iterator each{"/proc", why}, end; !why && each != end; each.increment(why)) {
        auto const number = first_number(each->path().filename().string());
        if (!number) continue;
        std::error_code hidden;
        for (fs::directory_iterator file{each->path() / "fd", hidden}, last; !hidden && file != last;
             file.increment(hidden)) {
            std::error_code gone;
            if (names.contains(fs::read_symlink(file->path(), gone).string())) return static_cast<int>(*number);
        }
    }
    return 0;
}

std::vector<door> read_doors(plan const& hub) {
    std::vector<door> out;
    std::vector<descriptor> open;  // kept until all are: two addresses may be in each other's way
    for (auto const& text : hub.listen) {
        auto const at = endpoint::parse(text).value_or(endpoint{});
        for (auto const is_udp : {false, true}) {
            descriptor socket{::socket(at.address.is_v4() ? AF_INET : AF_INET6,
                                       (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0)};
            auto const is_optional = hub.is_listen_default && !at.address.is_v4();
            door result{text, at.port, is_udp, is_optional, open_door(socket, at, is_udp)};
            if (result.error == EADDRINUSE) {
                result.process = process_with(sockets_in_the_way(at, is_udp));
                result.is_ours = result.process == getpid();
                result.user = line_in(fs::path{"/proc"} / std::to_string(result.process) / "comm");
                result.is_hub = result.user == line_in("/proc/self/comm");
            }
            if (result.error == 0) open.push_back(std::move(socket));
            out.push_back(std::move(result));
        }
    }
    return out;
}

wants wants_of(plan const& hub) {
    wants out;
    out.connections = hub.connections + hub.nodes;
    out.nodes = hub.nodes;
    out.datagram_buffer = static_cast<std::uint64_t>(net::socket_settings{}.datagram_buffer);
    out.listen_queue = static_cast<std::uint64_t>(net::socket_settings{}.backlog);
    out.memory = hub.memory;
    std::set<std::uint16_t> ports;
    for (auto const& text : hub.listen)
        if (auto const at = endpoint::parse(text); at && at->port != 0) ports.insert(at->port);
    out.ports.assign(ports.begin(), ports.end());
    out.user = user_name();
    return out;
}

machine read(plan const& hub) {
    auto const catalogue = hub.data / "catalogue.sqlite";
    machine out;
    out.files = read_files();
    out.network = read_network();
    out.clock = read_clock(catalogue);
    out.data = read_folder(hub.data);
    out.temporary = read_temporary(hub);
    out.catalogue = read_catalogue(catalogue);
    out.memory = read_memory();
    out.doors = read_doors(hub);
    return out;
}

void print(finding const& each, format shape) {
    auto const state = name_of(each.how);
    if (shape == format::json) {
        boost::json::object const line{{"check", each.check},
                                       {"state", boost::json::string_view{state.data(), state.size()}},
                                       {"found", escaped(each.found)},
                                       {"advice", escaped(each.advice)}};
        std::cout << boost::json::serialize(line) << '\n';
        return;
    }
    std::cout << state << std::string(5 - state.size(), ' ') << each.check << ": " << escaped(each.found);
    if (!each.advice.empty()) std::cout << ". To change: " << escaped(each.advice);
    std::cout << '\n';
}
}  // namespace

int run(plan const& hub, format shape, bool is_quiet) {
    auto const found = judge(wants_of(hub), read(hub));
    for (auto const& each : found) print(each, shape);
    auto const count = [&](state how) { return std::ranges::count(found, how, &finding::how); };
    auto const bad = count(state::bad);
    if (shape == format::text && !is_quiet) {
        std::cerr << "tracker: " << count(state::ok) << " ok, " << count(state::warn) << " warn, " << bad << " bad\n";
        auto const is_sysctl = [](finding const& each) { return each.advice.find("sysctl -w") != std::string::npos; };
        if (std::ranges::any_of(found, is_sysctl))
            std::cerr << "tracker: sysctl -w lasts until a restart; for good, put NAME=VALUE into "
                         "/etc/sysctl.d/60-shoal.conf\n";
    }
    return bad != 0 ? status::failed : 0;
}
}  // namespace doctor
