#include "findings.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace doctor {
namespace {
constexpr std::uint64_t KiB = 1024;
constexpr std::uint64_t MiB = 1024 * KiB;
constexpr std::uint64_t GiB = 1024 * MiB;

/// Files that are no connection: listeners, the catalogue with its log, timers, and some to spare.
constexpr std::uint64_t files_besides = 64;
/// What a hub takes besides its peer sets: connections, the catalogue's cache, the program.
constexpr std::uint64_t memory_besides = 128 * MiB;
/// The catalogue's log alone may grow to 64 MiB (its journal_size_limit).
constexpr std::uint64_t data_least = 64 * MiB;
constexpr std::uint64_t data_good = GiB;
constexpr std::uint64_t temporary_good = 256 * MiB;
constexpr std::uint64_t files_least = 16;
constexpr std::uint64_t files_good = 1000;
/// A thousand UDP announces a second, each remembered for two minutes.
constexpr std::uint64_t tracked_good = 131'072;
constexpr std::uint64_t packet_queue_good = 1000;  // the kernel's own default
/// A proxy in front of the hub takes one for each request, and a port rests for a minute after it.
constexpr std::uint64_t ephemeral_good = 4096;
constexpr std::int64_t time_earliest = 1'767'225'600;  // 2026-01-01: no hub is older
constexpr std::int64_t time_latest = 4'102'444'800;    // 2100-01-01
constexpr std::int64_t drift_good = 60;                // seconds

std::string text_of(std::uint64_t number) {
    return std::to_string(number);
}

/// `212.5 KiB`, `1 MiB`.
std::string size_text(std::uint64_t bytes) {
    constexpr std::array units{std::pair{1024 * GiB, "TiB"}, std::pair{GiB, "GiB"}, std::pair{MiB, "MiB"},
                               std::pair{KiB, "KiB"}};
    for (auto const& [unit, name] : units) {
        if (bytes < unit) continue;
        auto const whole = bytes / unit;
        auto const tenth = bytes % unit * 10 / unit;
        return text_of(whole) + (tenth != 0 ? "." + text_of(tenth) : "") + " " + name;
    }
    return text_of(bytes) + " bytes";
}

/// A path as a shell takes it.
std::string quoted(std::string const& path) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,=";
    if (!path.empty() && path.find_first_not_of(plain) == std::string::npos) return path;
    std::string out = "'";
    for (auto const c : path) out += c == '\'' ? std::string{"'\\''"} : std::string{c};
    return out + "'";
}

std::string sysctl(std::string const& name, std::string const& value) {
    return "sysctl -w " + name + "=" + value;
}

finding good(std::string check, std::string found) {
    return {std::move(check), state::ok, std::move(found), {}};
}

finding unseen(std::string check, std::string const& what) {
    return good(std::move(check), what + " cannot be read here (a container shows only some of it)");
}

finding open_files(wants const& hub, file_limits const& files) {
    auto const wanted = hub.connections + files_besides;
    auto const raised = files.soft < files.hard ? " (it raises the soft limit, " + text_of(files.soft) + ")" : "";
    auto const found = "the hub may have " + text_of(files.hard) + " files open" + raised + " and wants " +
                       text_of(wanted) + ": " + text_of(hub.connections - hub.nodes) + " connections, " +
                       text_of(hub.nodes) + " nodes, " + text_of(files_besides) + " others";
    if (files.hard >= wanted) return good("open-files", found);
    std::string advice;
    if (files.hard_max && *files.hard_max < wanted) advice = sysctl("fs.nr_open", text_of(wanted)) + ", then ";
    advice += "ulimit -n " + text_of(wanted) + " as root before it starts, or LimitNOFILE=" + text_of(wanted) +
              " in its systemd unit";
    if (files.hard > hub.nodes + files_besides)
        advice += ", or --connections-max " + text_of(files.hard - hub.nodes - files_besides);
    else
        advice += ", or smaller --connections-max and --nodes-max";
    return {"open-files", state::bad, found, advice};
}

finding system_files(wants const& hub, file_limits const& files) {
    if (!files.system_max || !files.system_open) return unseen("system-files", "fs.file-nr");
    auto const open = *files.system_open;
    auto const found =
        "all programs together have " + text_of(open) + " files open, of at most " + text_of(*files.system_max);
    auto const wanted = open + hub.connections + files_besides;
    if (*files.system_max >= wanted) return good("system-files", found);
    return {"system-files", state::bad, found + "; the hub wants " + text_of(hub.connections + files_besides) + " more",
            sysctl("fs.file-max", text_of(2 * wanted))};
}

finding buffer(std::string check, std::string const& what, std::string const& limit, std::uint64_t asked,
               std::uint64_t given) {
    auto found =
        "a UDP socket of the hub asks for " + size_text(asked) + " of " + what + " buffer and gets " + size_text(given);
    if (given >= asked) return good(std::move(check), std::move(found));
    return {std::move(check), state::warn, found + ": in a burst of announces some are lost",
            sysctl(limit, text_of(asked))};
}

finding listen_queue(wants const& hub, network_numbers const& net) {
    if (!net.listen_queue_max) return unseen("listen-queue", "net.core.somaxconn");
    auto const found = text_of(std::min(*net.listen_queue_max, hub.listen_queue)) +
                       " TCP connections can wait to be accepted; the hub asks for " + text_of(hub.listen_queue);
    if (*net.listen_queue_max >= hub.listen_queue) return good("listen-queue", found);
    return {"listen-queue", state::warn, found, sysctl("net.core.somaxconn", text_of(hub.listen_queue))};
}

/// Whether more than one in `share` was lost.
bool is_much(std::uint64_t lost, std::uint64_t all, std::uint64_t share) {
    return lost > all / share;
}

finding packet_queue(network_numbers const& net) {
    constexpr auto check = "packet-queue";
    if (!net.packet_queue_max) return unseen(check, "net.core.netdev_max_backlog");
    auto found = text_of(*net.packet_queue_max) + " packets can wait for a processor";
    auto const dropped = net.packets_dropped.value_or(0);
    auto const processed = net.packets_processed.value_or(0);
    if (net.packets_dropped)
        found += "; " + text_of(dropped) + " of " + text_of(processed + dropped) +
                 " were lost for want of a place since the machine started";
    auto const is_lossy = dropped != 0 && is_much(dropped, processed + dropped, 100'000);
    if (*net.packet_queue_max >= packet_queue_good && !is_lossy) return good(check, found);
    auto const more = is_lossy ? std::max(4 * packet_queue_good, 2 * *net.packet_queue_max) : packet_queue_good;
    return {check, state::warn, found, sysctl("net.core.netdev_max_backlog", text_of(more))};
}

finding datagram_losses(wants const& hub, network_numbers const& net) {
    constexpr auto check = "udp-losses";
    if (!net.datagrams_delivered || !net.datagrams_dropped) return unseen(check, "the count of lost datagrams");
    auto const dropped = *net.datagrams_dropped;
    auto const all = *net.datagrams_delivered + dropped;
    auto const found = dropped == 0 ? "no datagram was lost to a full buffer since the machine started"
                                    : text_of(dropped) + " of " + text_of(all) +
                                          " datagrams, of all programs, were lost to a full buffer since the machine "
                                          "started";
    if (dropped == 0 || !is_much(dropped, all, 1000)) return good(check, found);
    auto const is_small = net.given && net.given->receive < hub.datagram_buffer;
    return {check, state::warn, found,
            is_small
                ? sysctl("net.core.rmem_max", text_of(hub.datagram_buffer))
                : "ss -lunmp shows who loses them (the number after d): it needs a larger buffer or more processor"};
}

/// Whether `8080,9000-9010` holds `port`.
bool is_reserved(std::string_view list, std::uint16_t port) {
    while (!list.empty()) {
        auto const part = list.substr(0, list.find(','));
        list.remove_prefix(std::min(list.size(), part.size() + 1));
        unsigned first = 0;
        auto const* const end = part.data() + part.size();
        auto const [rest, wrong] = std::from_chars(part.data(), end, first);
        if (wrong != std::errc{}) continue;
        auto last = first;
        if (rest != end && *rest == '-') std::from_chars(rest + 1, end, last);
        if (port >= first && port <= last) return true;
    }
    return false;
}

finding ephemeral_ports(wants const& hub, network_numbers const& net) {
    constexpr auto check = "ports";
    if (!net.ephemeral_first || !net.ephemeral_last) return unseen(check, "net.ipv4.ip_local_port_range");
    auto const first = *net.ephemeral_first, last = *net.ephemeral_last;
    auto const found = "outgoing connections take ports " + text_of(first) + " to " + text_of(last);
    std::string inside;
    for (auto const port : hub.ports)
        if (port >= first && port <= last && !is_reserved(net.reserved, port))
            inside += (inside.empty() ? "" : ",") + text_of(port);
    if (!inside.empty())
        return {check, state::warn, found + ", and may take the hub's, " + inside + ", while it is down",
                sysctl("net.ipv4.ip_local_reserved_ports", (net.reserved.empty() ? "" : net.reserved + ",") + inside)};
    if (last < first || last - first + 1U < ephemeral_good)
        return {check, state::warn, found + ": few for a proxy in front of the hub",
                sysctl("net.ipv4.ip_local_port_range", "\"32768 60999\"")};
    return good(check, found);
}

std::string untracked(std::vector<std::uint16_t> const& ports) {
    std::string out;
    for (auto const port : ports) {
        if (!out.empty()) out += " && ";
        out += "iptables -t raw -I PREROUTING -p udp --dport " + text_of(port) + " -j CT --notrack && ";
        out += "iptables -t raw -I OUTPUT -p udp --sport " + text_of(port) + " -j CT --notrack";
    }
    return out;
}

finding connection_tracking(wants const& hub, network_numbers const& net) {
    constexpr auto check = "conntrack";
    if (!net.tracked_max) return good(check, "no connection tracking here");
    auto const most = *net.tracked_max;
    if (!net.tracked) return unseen(check, "the number of tracked connections");
    auto const now = *net.tracked;
    if (now == 0) return good(check, "connection tracking is loaded and tracks nothing");
    auto const seconds =
        net.tracked_datagram_seconds ? " for " + text_of(*net.tracked_datagram_seconds) + " s or longer" : "";
    auto const found = "the firewall tracks " + text_of(now) + " of at most " + text_of(most) +
                       " connections; each peer that announces by UDP is one" + seconds;
    auto const is_full = now >= most - most / 10;
    if (!is_full && now <= most / 2 && most >= tracked_good) return good(check, found);
    auto const rule = untracked(hub.ports);
    auto const larger = sysctl("net.netfilter.nf_conntrack_max", text_of(std::max(2 * tracked_good, 2 * most)));
    return {check, is_full ? state::bad : state::warn,
            found + (is_full ? ". When it is full, new ones are dropped" : ". A busy tracker fills it"),
            rule.empty() ? larger : rule + " (ip6tables likewise), or " + larger};
}

finding clock(clock_numbers const& time) {
    constexpr auto check = "clock";
    auto const by_hand = "timedatectl set-ntp true (for a container: on its host)";
    if (time.now < time_earliest || time.now >= time_latest)
        return {check, state::bad, "the clock is wrong: it is before 2026 or after 2099",
                "date -s 'YYYY-MM-DD HH:MM', then timedatectl set-ntp true (for a container: on its host)"};
    if (time.catalogue_written_at && *time.catalogue_written_at > time.now + drift_good)
        return {check, state::warn,
                "the catalogue was written " + text_of(*time.catalogue_written_at - time.now) +
                    " s in the future: the clock is behind, or was ahead then",
                by_hand};
    if (!time.is_synchronised)
        return {check, state::warn, "the year is plausible; nothing keeps the clock synchronised", by_hand};
    return good(check, "synchronised");
}

finding data_folder(wants const& hub, folder const& data) {
    constexpr auto check = "data";
    auto const other = ", or another --data";
    if (data.kind == folder_kind::other)
        return {check, state::bad, data.path + " is no folder", "mv " + quoted(data.path) + " elsewhere" + other};
    auto const is_there = data.kind == folder_kind::folder;
    if (data.is_writable)
        return good(check, data.path + (is_there ? " is writable" : " does not exist yet; the hub makes it"));
    auto const found = data.path + (is_there ? "" : " cannot be made or reached: " + data.existing) +
                       " is not writable by " + hub.user;
    if (data.on && data.on->is_read_only)
        return {check, state::bad, found + ": mounted read-only",
                "mount -o remount,rw \"$(findmnt -no TARGET -T " + quoted(data.existing) + ")\"" + other};
    return {check, state::bad, found,
            (is_there ? "chown " + quoted(hub.user) + " " + quoted(data.path)
                      : "install -d -m 700 -o " + quoted(hub.user) + " " + quoted(data.path)) +
                other};
}

finding space(std::string check, folder const& at, std::uint64_t least, std::uint64_t enough,
              std::string const& elsewhere) {
    if (!at.on) return unseen(std::move(check), "the file system of " + at.path);
    auto const& on = *at.on;
    auto const found = size_text(on.free) + " free at " + at.path +
                       (on.files_free ? ", room for " + text_of(*on.files_free) + " more files" : "");
    auto const is_tight = on.files_free && *on.files_free < files_good;
    if (on.free >= enough && !is_tight) return good(std::move(check), found);
    auto const is_out = on.free < least || (on.files_free && *on.files_free < files_least);
    auto const what = on.free < enough ? "du -xh " + quoted(at.existing) + " | sort -h | tail shows what fills it"
                                       : "find " + quoted(at.existing) + " -xdev | wc -l counts the files: remove some";
    return {std::move(check), is_out ? state::bad : state::warn, found, what + "; or " + elsewhere};
}

bool is_one_of(std::string_view type, std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), type) != names.end();
}

finding file_system(folder const& data) {
    constexpr auto check = "data-filesystem";
    if (!data.on || data.on->type.empty()) return unseen(check, "the kind of file system of " + data.path);
    auto const& type = data.on->type;
    auto const found = data.path + " is on " + type;
    auto const local = "--data on a local disk (ext4, xfs, btrfs, zfs)";
    if (is_one_of(type, {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre",
                         "gpfs", "ocfs2", "gfs2", "virtiofs"}))
        return {check, state::warn,
                found +
                    ", which other machines may write too: the catalogue's log (SQLite WAL) is safe only where all "
                    "who open it share one memory",
                local};
    if (type == "fuse" || type.starts_with("fuse."))
        return {check, state::warn, found + ": locks and shared memory, which the catalogue needs, may not work on it",
                local};
    if (is_one_of(type, {"overlay", "overlayfs", "aufs"}))
        return {check, state::warn, found + ": what is written there is gone with the container",
                "docker run -v shoal:" + quoted(data.path) + " ..., or another --data that lasts"};
    if (is_one_of(type, {"tmpfs", "ramfs"}))
        return {check, state::warn, found + ", which is memory: the catalogue is gone with a restart", local};
    return good(check, found);
}

finding catalogue(wants const& hub, catalogue_file const& file) {
    constexpr auto check = "catalogue";
    if (!file.is_there) return good(check, file.path + " does not exist yet; the hub begins one");
    if (!file.is_readable || !file.is_writable)
        return {check, state::bad,
                file.path + " is not " + (file.is_readable ? "writable" : "readable") + " by " + hub.user,
                "chown " + quoted(hub.user) + " " + quoted(file.path) + "* && chmod u+rw " + quoted(file.path) + "*"};
    if (!file.is_database)
        return {check, state::warn,
                file.path +
                    " is no SQLite database: the hub will set it aside and begin a new one, which fills as its "
                    "peers publish again",
                "cp COPY " + quoted(file.path) + ", if there is a copy"};
    return good(check, file.path + " has " + size_text(file.size));
}

finding temporary(folder const& at, folder const& data) {
    constexpr auto check = "temporary";
    if (at.path == data.path) return good(check, "temporary files of the catalogue are in the data folder too");
    auto const other = "TMPDIR=DIR with a roomier folder in the hub's environment";
    if (at.kind != folder_kind::folder || !at.is_writable)
        return {check, state::warn, at.path + ", for temporary files of the catalogue, is not writable",
                std::string{"chmod 1777 "} + quoted(at.path) + ", or " + other};
    auto result = space(check, at, 0, temporary_good, other);
    if (result.how == state::bad) result.how = state::warn;  // only large sorts need it
    return result;
}

finding memory(wants const& hub, memory_numbers const& has) {
    constexpr auto check = "memory";
    auto const wanted = hub.memory + memory_besides;
    auto const wants_text = "; the hub may take " + size_text(hub.memory) +
                            " for its peer sets (--memory-limit) and some " + size_text(memory_besides) + " besides";
    auto const smaller = [](std::uint64_t room) {
        auto const fits = room > memory_besides ? (room - memory_besides) / MiB / 4 * 3 : 0;
        return fits > 0 ? "--memory-limit " + text_of(fits) + "MiB" : std::string{"stop other programs"};
    };
    if (has.limit && *has.limit < wanted)
        return {check, *has.limit < hub.memory ? state::bad : state::warn,
                "this container or unit may take " + size_text(*has.limit) + wants_text,
                smaller(*has.limit) + ", or a larger limit (docker run --memory, MemoryMax= of the systemd unit): " +
                    text_of(wanted / MiB) + "M"};
    if (!has.available) return unseen(check, "the available memory");
    auto const found = size_text(*has.available) + " available" + wants_text;
    if (*has.available >= wanted) return good(check, found);
    return {check, *has.available < hub.memory ? state::bad : state::warn, found,
            smaller(*has.available) + ", or more memory"};
}

finding opened(door const& at) {
    constexpr auto check = "listen";
    auto const what = std::string{at.is_udp ? "UDP " : "TCP "} + at.address;
    if (at.error == 0) return good(check, what + (at.port == 0 ? " takes any free port" : " is free"));
    auto const is_missing = at.error == EAFNOSUPPORT || at.error == EADDRNOTAVAIL;
    if (is_missing && at.is_optional) return good(check, what + ": no IPv6 on this machine; the hub does without");
    if (is_missing)
        return {check, state::bad, what + ": this machine has no such address",
                "ip address shows those it has; --listen 0.0.0.0:" + text_of(at.port) + " takes all"};
    if (at.error == EACCES || at.error == EPERM)
        return {check, state::bad, what + ": only root may listen there",
                sysctl("net.ipv4.ip_unprivileged_port_start", text_of(at.port)) +
                    ", or AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or a port from 1024 on"};
    if (at.error != EADDRINUSE) return {check, state::bad, what + ": " + std::strerror(at.error), "another --listen"};
    if (at.is_ours) return {check, state::bad, what + " is in use by another --listen of this hub", "leave one out"};
    if (at.process == 0)
        return {check, state::bad, what + " is in use",
                std::string{at.is_udp ? "ss -lunp" : "ss -ltnp"} + " 'sport = :" + text_of(at.port) +
                    "' as root shows by whom; end it, or another --listen"};
    auto const process = text_of(static_cast<std::uint64_t>(at.process));
    auto const found = what + " is in use by " + at.user + " (process " + process + ")";
    if (at.is_hub)
        return {check, state::warn, found + ": a hub runs already",
                "nothing, if it is the one you mean; else kill " + process + ", or another --listen"};
    return {check, state::bad, found, "kill " + process + ", or another --listen"};
}
}  // namespace

std::string_view name_of(state how) {
    switch (how) {
        case state::ok:
            return "ok";
        case state::warn:
            return "warn";
        case state::bad:
            break;
    }
    return "bad";
}

std::vector<finding> judge(wants const& hub, machine const& here) {
    auto const& net = here.network;
    std::vector<finding> all{open_files(hub, here.files), system_files(hub, here.files)};
    if (net.given) {
        all.push_back(
            buffer("receive-buffer", "receive", "net.core.rmem_max", hub.datagram_buffer, net.given->receive));
        all.push_back(buffer("send-buffer", "send", "net.core.wmem_max", hub.datagram_buffer, net.given->send));
    } else {
        all.push_back({"receive-buffer", state::bad, "no UDP socket can be opened", "ulimit -n and seccomp rules"});
    }
    for (auto& each : {listen_queue(hub, net), packet_queue(net), datagram_losses(hub, net), ephemeral_ports(hub, net),
                       connection_tracking(hub, net), clock(here.clock), data_folder(hub, here.data)})
        all.push_back(each);
    if (here.data.kind != folder_kind::other) {
        all.push_back(space("data-space", here.data, data_least, data_good, "--data on a larger disk"));
        all.push_back(file_system(here.data));
        if (here.data.is_writable) all.push_back(catalogue(hub, here.catalogue));  // else it may be there, unseen
    }
    all.push_back(temporary(here.temporary, here.data));
    all.push_back(memory(hub, here.memory));
    for (auto const& each : here.doors) all.push_back(opened(each));
    return all;
}
}  // namespace doctor
