#include "proc_text.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

using namespace doctor;

TEST_CASE("a number at the front of a text", "[doctor]") {
    CHECK(first_number("4096\n") == 4096U);
    CHECK(first_number(" 702\t0\t2466165\n") == 702U);
    for (auto const* const none : {"", "\n", "max\n", "-1", "12x", "99999999999999999999"}) {
        INFO(none);
        CHECK_FALSE(first_number(none));
    }
}

TEST_CASE("lines of meminfo are kibibytes", "[doctor]") {
    auto const* const text = "MemTotal:       24683652 kB\nMemAvailable:   2048 kB\nOdd\n";
    CHECK(memory_line(text, "MemAvailable") == 2'097'152U);
    CHECK_FALSE(memory_line(text, "MemFree"));
    CHECK_FALSE(memory_line(text, "Odd"));
}

TEST_CASE("counters are found by row and column", "[doctor]") {
    auto const* const text =
        "Tcp: A RcvbufErrors\nTcp: 1 2\nUdp: InDatagrams NoPorts RcvbufErrors\nUdp: 10 20 30\n"
        "UdpLite: InDatagrams\nUdpLite:\n";
    CHECK(counter(text, "Udp", "RcvbufErrors") == 30U);
    CHECK(counter(text, "Udp", "InDatagrams") == 10U);
    CHECK_FALSE(counter(text, "Udp", "MemErrors"));
    CHECK_FALSE(counter(text, "UdpLite", "InDatagrams"));
    CHECK_FALSE(counter("", "Udp", "InDatagrams"));
}

TEST_CASE("packets are summed over the processors", "[doctor]") {
    CHECK(packets("0000000a 00000001 0\n000000ff 00000002 0\n") == std::pair{std::uint64_t{265}, std::uint64_t{3}});
    CHECK_FALSE(packets(""));
}

TEST_CASE("the innermost mount that is on top tells the file system", "[doctor]") {
    auto const* const text =
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
        "28 27 0:25 / /srv rw shared:1 master:2 - nfs4 host:/srv rw\n"
        "29 27 0:26 / /srv/a\\040b rw - fuse.sshfs host: rw\n"
        "30 27 0:27 / /var rw - xfs /dev/vdb rw\n"
        "31 30 0:28 / /var rw - tmpfs none rw\n"
        "broken\n";
    CHECK(type_of_mount(text, "/") == "ext4");
    CHECK(type_of_mount(text, "/home/x") == "ext4");
    CHECK(type_of_mount(text, "/srv") == "nfs4");
    CHECK(type_of_mount(text, "/srv2") == "ext4");
    CHECK(type_of_mount(text, "/srv/a b/c") == "fuse.sshfs");
    CHECK(type_of_mount(text, "/var/lib") == "tmpfs");
    CHECK(type_of_mount("", "/").empty());
}

TEST_CASE("sockets in the way have the port, and the address or any", "[doctor]") {
    // 127.0.0.1:6969 listening, 127.0.0.1:6969 connected, 0.0.0.0:80 listening, 10.0.0.1:6969 listening
    auto const* const text =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1B39 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0\n"
        "   1: 0100007F:1B39 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0\n"
        "   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0\n"
        "   3: 0100000A:1B39 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0 100 0\n"
        "   4: short\n";
    using inodes = std::vector<std::uint64_t>;
    constexpr std::array loopback{std::byte{127}, std::byte{0}, std::byte{0}, std::byte{1}};
    constexpr std::array<std::byte, 4> any{};
    CHECK(sockets_at(text, loopback, 6969, false) == inodes{11});
    CHECK(sockets_at(text, loopback, 6969, true) == inodes{11, 12});
    CHECK(sockets_at(text, any, 6969, false) == inodes{11, 14});
    CHECK(sockets_at(text, loopback, 80, false) == inodes{13});
    CHECK(sockets_at(text, loopback, 81, false).empty());
    auto const* const six =
        "sl\n   0: 00000000000000000000000001000000:1B39 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 21\n";
    std::array<std::byte, 16> one{};
    one.back() = std::byte{1};
    CHECK(sockets_at(six, one, 6969, false) == inodes{21});
    CHECK(sockets_at(six, loopback, 6969, false).empty());
}
