#include "findings.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace doctor;

namespace {
constexpr std::uint64_t MiB = 1 << 20;

wants a_hub() {
    wants hub;
    hub.ports = {6969};
    hub.user = "shoal";
    return hub;
}

/// A machine of which there is nothing to say.
machine a_good_machine() {
    machine here;
    here.files = {1024, 524'288, 1'048'576, 2'000'000, 1000};
    here.network.given = socket_buffers{MiB, MiB};
    here.network.listen_queue_max = 4096;
    here.network.packet_queue_max = 1000;
    here.network.packets_processed = 1'000'000;
    here.network.packets_dropped = 0;
    here.network.datagrams_delivered = 1'000'000;
    here.network.datagrams_dropped = 0;
    here.network.ephemeral_first = 32768;
    here.network.ephemeral_last = 60999;
    here.clock = {1'800'000'000, true, 1'800'000'030};
    here.data = {"/var/lib/shoal", folder_kind::folder, "/var/lib/shoal", true,
                 volume{100'000 * MiB, 1'000'000, "ext4", false}};
    here.temporary = {"/var/tmp", folder_kind::folder, "/var/tmp", true, volume{1000 * MiB, {}, "btrfs", false}};
    here.catalogue = {"/var/lib/shoal/catalogue.sqlite", true, true, true, true, 5 * MiB};
    here.memory = {8000 * MiB, {}};
    here.doors = {{"0.0.0.0:6969", 6969, false}, {"0.0.0.0:6969", 6969, true}};
    return here;
}

/// The finding of the check `name`; the first that is not ok where there are several.
finding of(std::string_view name, machine const& here, wants const& hub = a_hub()) {
    auto const all = judge(hub, here);
    auto const is_named = [&](finding const& each) { return each.check == name; };
    auto const is_wrong = [&](finding const& each) { return is_named(each) && each.how != state::ok; };
    auto at = std::ranges::find_if(all, is_wrong);
    if (at == all.end()) at = std::ranges::find_if(all, is_named);
    REQUIRE(at != all.end());
    return *at;
}

using Catch::Contains;
using Catch::StartsWith;
}  // namespace

TEST_CASE("of a good machine every check is ok and advises nothing", "[doctor]") {
    auto const all = judge(a_hub(), a_good_machine());
    CHECK(all.size() >= 17);
    for (auto const& each : all) {
        INFO(each.check << ": " << each.found);
        CHECK(each.how == state::ok);
        CHECK(each.advice.empty());
        CHECK_FALSE(each.found.empty());
    }
}

TEST_CASE("what is not ok comes with advice", "[doctor]") {
    machine nothing;  // nothing could be read, nothing is there
    nothing.doors = {{"0.0.0.0:6969", 6969, false, false, EINVAL}};
    for (auto const& each : judge(a_hub(), nothing)) {
        INFO(each.check << ": " << each.found);
        CHECK((each.how == state::ok) == each.advice.empty());
    }
}

TEST_CASE("the hard limit of open files has to hold all connections", "[doctor]") {
    auto here = a_good_machine();
    here.files.hard = 5064;  // 4000 connections, 1000 nodes, 64 others
    CHECK(of("open-files", here).how == state::ok);
    here.files.hard = 5063;
    auto const few = of("open-files", here);
    CHECK(few.how == state::bad);
    CHECK_THAT(few.advice,
               StartsWith("ulimit -n 5064") && Contains("LimitNOFILE=5064") && Contains("--connections-max 3999"));
    here.files.hard = 1064;
    CHECK_THAT(of("open-files", here).advice, Contains("smaller --connections-max and --nodes-max"));
    here.files.hard_max = 4096;
    CHECK_THAT(of("open-files", here).advice, StartsWith("sysctl -w fs.nr_open=5064, then ulimit"));
}

TEST_CASE("all programs together need room for the hub's files", "[doctor]") {
    auto here = a_good_machine();
    here.files.system_max = 6064;
    CHECK(of("system-files", here).how == state::ok);
    here.files.system_max = 6063;
    CHECK(of("system-files", here).how == state::bad);
    CHECK(of("system-files", here).advice == "sysctl -w fs.file-max=12128");
}

TEST_CASE("buffers and queues below what the hub asks for are warnings", "[doctor]") {
    auto here = a_good_machine();
    here.network.given = socket_buffers{212'992, MiB - 1};
    auto const receive = of("receive-buffer", here);
    CHECK(receive.how == state::warn);
    CHECK_THAT(receive.found, Contains("asks for 1 MiB") && Contains("gets 208 KiB"));
    CHECK(receive.advice == "sysctl -w net.core.rmem_max=1048576");
    CHECK(of("send-buffer", here).advice == "sysctl -w net.core.wmem_max=1048576");
    here.network.listen_queue_max = 128;
    CHECK(of("listen-queue", here).advice == "sysctl -w net.core.somaxconn=4096");
    here.network.packet_queue_max = 999;
    CHECK(of("packet-queue", here).advice == "sysctl -w net.core.netdev_max_backlog=1000");
    here.network.given.reset();
    CHECK(of("receive-buffer", here).how == state::bad);
}

TEST_CASE("a few lost packets in many are no warning", "[doctor]") {
    auto here = a_good_machine();
    here.network.packets_dropped = 10;
    here.network.datagrams_dropped = 1000;
    CHECK(of("packet-queue", here).how == state::ok);
    CHECK(of("udp-losses", here).how == state::ok);
    here.network.packets_dropped = 11;
    here.network.datagrams_dropped = 1002;
    CHECK(of("packet-queue", here).advice == "sysctl -w net.core.netdev_max_backlog=4000");
    CHECK_THAT(of("udp-losses", here).advice, StartsWith("ss -lunmp"));
    here.network.given = socket_buffers{212'992, MiB};
    CHECK(of("udp-losses", here).advice == "sysctl -w net.core.rmem_max=1048576");
}

TEST_CASE("a port of the hub among those of outgoing connections is a warning unless it is reserved", "[doctor]") {
    auto here = a_good_machine();
    auto hub = a_hub();
    hub.ports = {6969, 32768, 40000};
    CHECK(of("ports", here, hub).advice == "sysctl -w net.ipv4.ip_local_reserved_ports=32768,40000");
    here.network.reserved = "80,39999-40001";
    CHECK(of("ports", here, hub).advice == "sysctl -w net.ipv4.ip_local_reserved_ports=80,39999-40001,32768");
    here.network.reserved = "32768,40000";
    CHECK(of("ports", here, hub).how == state::ok);
    here.network.ephemeral_first = 60000;
    CHECK(of("ports", here, hub).advice == "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"");
}

TEST_CASE("connection tracking that UDP announces can fill is a warning, a full one is bad", "[doctor]") {
    auto here = a_good_machine();
    CHECK_THAT(of("conntrack", here).found, Contains("no connection tracking"));
    here.network.tracked_max = 65'536;
    here.network.tracked = 0;
    CHECK(of("conntrack", here).how == state::ok);  // it tracks nothing here
    here.network.tracked = 1;
    here.network.tracked_datagram_seconds = 30;
    auto const small = of("conntrack", here);
    CHECK(small.how == state::warn);
    CHECK_THAT(small.found, Contains("tracks 1 of at most 65536") && Contains("UDP") && Contains("30 s"));
    CHECK_THAT(small.advice, StartsWith("iptables -t raw -I PREROUTING -p udp --dport 6969 -j CT --notrack && ") &&
                                 Contains("--sport 6969") &&
                                 Contains("sysctl -w net.netfilter.nf_conntrack_max=262144"));
    here.network.tracked_max = 262'144;
    CHECK(of("conntrack", here).how == state::ok);
    here.network.tracked = 131'073;
    CHECK(of("conntrack", here).how == state::warn);
    here.network.tracked = 235'930;
    CHECK(of("conntrack", here).how == state::bad);
    CHECK(of("conntrack", here, wants{}).advice == "sysctl -w net.netfilter.nf_conntrack_max=524288");
}

TEST_CASE("a clock that is off, behind its own files, or not synchronised", "[doctor]") {
    auto here = a_good_machine();
    here.clock.is_synchronised = false;
    CHECK(of("clock", here).how == state::warn);
    here.clock.is_synchronised = true;
    here.clock.catalogue_written_at = here.clock.now + 61;
    CHECK(of("clock", here).how == state::warn);
    CHECK_THAT(of("clock", here).found, Contains("61 s in the future"));
    for (std::int64_t const wrong : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{4'102'444'800}}) {
        here.clock.now = wrong;
        CHECK(of("clock", here).how == state::bad);
        CHECK_THAT(of("clock", here).advice, StartsWith("date -s"));
    }
}

TEST_CASE("the data folder has to be a writable folder", "[doctor]") {
    auto here = a_good_machine();
    auto& data = here.data;
    data.path = data.existing = "/srv/it's here";
    data.is_writable = false;
    CHECK(of("data", here).how == state::bad);
    CHECK_THAT(of("data", here).advice, StartsWith("chown shoal '/srv/it'\\''s here', or"));
    data.on->is_read_only = true;
    CHECK_THAT(of("data", here).advice, StartsWith("mount -o remount,rw"));
    data.on->is_read_only = false;
    data.kind = folder_kind::absent;
    data.existing = "/srv";
    CHECK_THAT(of("data", here).advice, StartsWith("install -d -m 700 -o shoal "));
    data.is_writable = true;
    CHECK(of("data", here).how == state::ok);
    CHECK_THAT(of("data", here).found, Contains("the hub makes it"));
    data.kind = folder_kind::other;
    CHECK(of("data", here).how == state::bad);
    CHECK_THAT(of("data", here).found, Contains("is no folder"));
}

TEST_CASE("space and files run short before they run out", "[doctor]") {
    auto here = a_good_machine();
    here.data.on->free = 1024 * MiB;
    CHECK(of("data-space", here).how == state::ok);
    here.data.on->free -= 1;
    CHECK(of("data-space", here).how == state::warn);
    here.data.on->free = 64 * MiB - 1;
    CHECK(of("data-space", here).how == state::bad);
    CHECK_THAT(of("data-space", here).advice, StartsWith("du -xh /var/lib/shoal"));
    here.data.on->free = 1024 * MiB;
    here.data.on->files_free = 999;
    CHECK(of("data-space", here).how == state::warn);
    here.data.on->files_free = 15;
    CHECK(of("data-space", here).how == state::bad);
    CHECK_THAT(of("data-space", here).advice, StartsWith("find /var/lib/shoal"));
    here.temporary.on->free = 0;
    CHECK(of("temporary", here).how == state::warn);
    here.temporary.is_writable = false;
    CHECK(of("temporary", here).advice ==
          "chmod 1777 /var/tmp, or TMPDIR=DIR with a roomier folder in the hub's environment");
}

TEST_CASE("temporary files in the data folder are not judged twice", "[doctor]") {
    auto here = a_good_machine();
    here.data.on->free = 0;
    here.temporary = here.data;
    CHECK(of("data-space", here).how == state::bad);
    CHECK(of("temporary", here).how == state::ok);
}

TEST_CASE("a catalogue wants a local file system that lasts", "[doctor]") {
    auto here = a_good_machine();
    for (auto const* const type : {"ext4", "xfs", "btrfs", "zfs", "f2fs", "fuseblk", ""}) {
        INFO(type);
        here.data.on->type = type;
        CHECK(of("data-filesystem", here).how == state::ok);
    }
    for (auto const* const type :
         {"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse", "fuse.sshfs", "overlay", "tmpfs"}) {
        INFO(type);
        here.data.on->type = type;
        CHECK(of("data-filesystem", here).how == state::warn);
        CHECK_THAT(of("data-filesystem", here).found, Contains(type));
    }
}

TEST_CASE("the catalogue is readable, writable and a database, or not there yet", "[doctor]") {
    auto here = a_good_machine();
    here.catalogue.is_database = false;
    CHECK(of("catalogue", here).how == state::warn);
    CHECK_THAT(of("catalogue", here).found, Contains("no SQLite database"));
    here.catalogue.is_writable = false;
    CHECK(of("catalogue", here).how == state::bad);
    CHECK_THAT(of("catalogue", here).found, Contains("not writable by shoal"));
    here.catalogue.is_readable = false;
    CHECK_THAT(of("catalogue", here).found, Contains("not readable by shoal"));
    here.catalogue.is_there = false;
    CHECK(of("catalogue", here).how == state::ok);
}

TEST_CASE("the peer sets and the rest have to fit into memory", "[doctor]") {
    auto here = a_good_machine();
    here.memory.available = 384 * MiB;
    CHECK(of("memory", here).how == state::ok);
    here.memory.available = 384 * MiB - 1;
    CHECK(of("memory", here).how == state::warn);
    here.memory.available = 228 * MiB;
    CHECK(of("memory", here).how == state::bad);
    CHECK_THAT(of("memory", here).advice, StartsWith("--memory-limit 75MiB"));
    here.memory.available = 8000 * MiB;
    here.memory.limit = 300 * MiB;
    CHECK(of("memory", here).how == state::warn);
    CHECK_THAT(of("memory", here).found, Contains("container or unit may take 300 MiB"));
    CHECK_THAT(of("memory", here).advice, Contains("384M"));
    here.memory.limit = 100 * MiB;
    CHECK(of("memory", here).how == state::bad);
}

TEST_CASE("an address that cannot be opened is bad, and it is said why", "[doctor]") {
    auto here = a_good_machine();
    auto& door = here.doors[1];
    door.error = EADDRINUSE;
    CHECK(of("listen", here).how == state::bad);
    CHECK(of("listen", here).found == "UDP 0.0.0.0:6969 is in use");
    CHECK_THAT(of("listen", here).advice, StartsWith("ss -lunp 'sport = :6969'"));
    door.user = "opentracker";
    door.process = 12;
    CHECK(of("listen", here).found == "UDP 0.0.0.0:6969 is in use by opentracker (process 12)");
    CHECK_THAT(of("listen", here).advice, StartsWith("kill 12"));
    door.is_hub = true;
    CHECK(of("listen", here).how == state::warn);
    door.is_ours = true;
    CHECK(of("listen", here).how == state::bad);
    CHECK_THAT(of("listen", here).found, Contains("another --listen"));
    door.error = EACCES;
    door.port = 80;
    CHECK_THAT(of("listen", here).advice, StartsWith("sysctl -w net.ipv4.ip_unprivileged_port_start=80"));
    door.error = EADDRNOTAVAIL;
    CHECK(of("listen", here).how == state::bad);
    door.is_optional = true;
    CHECK(of("listen", here).how == state::ok);
}
