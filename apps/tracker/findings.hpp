#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What `tracker doctor` makes of the numbers of a machine. Values in, values out: doctor.cpp reads the machine.
namespace doctor {
enum class state { ok, warn, bad };

std::string_view name_of(state how);

/// What came of one check, in plain words. Paths in it are as the system has them: escape it for a terminal.
struct finding {
    std::string check;  ///< What was looked at: `open-files`. Several findings may share it.
    state how = state::ok;
    std::string found;
    std::string advice;  ///< What to change, mostly a command that can be typed; empty when all is well.
};

/// What the hub wants of the machine. Sizes are bytes.
struct wants {
    std::uint64_t connections = 5000;           ///< `--connections-max` and `--nodes-max` together.
    std::uint64_t nodes = 1000;                 ///< How many of them are for nodes.
    std::uint64_t datagram_buffer = 1U << 20U;  ///< What its UDP sockets ask for.
    std::uint64_t listen_queue = 4096;          ///< What its TCP listeners ask for.
    std::uint64_t memory = 256U << 20U;         ///< `--memory-limit`.
    std::vector<std::uint16_t> ports{};         ///< Where it listens; none of them is 0.
    std::string user{};                         ///< Whose process this is.
};

struct file_limits {
    std::uint64_t soft = 0;  ///< As it was when the program began: the hub raises it to the hard limit.
    std::uint64_t hard = 0;
    std::optional<std::uint64_t> hard_max{};     ///< fs.nr_open: no hard limit can be above it.
    std::optional<std::uint64_t> system_max{};   ///< fs.file-max
    std::optional<std::uint64_t> system_open{};  ///< The first of fs.file-nr.
};

/// What a new UDP socket asked for, and what it says that it has.
struct socket_buffers {
    std::uint64_t receive = 0;
    std::uint64_t send = 0;
};

/// Nothing where this machine, or this container, does not show the number.
struct network_numbers {
    std::optional<socket_buffers> given{};
    std::optional<std::uint64_t> listen_queue_max{};     ///< net.core.somaxconn
    std::optional<std::uint64_t> packet_queue_max{};     ///< net.core.netdev_max_backlog
    std::optional<std::uint64_t> packets_processed{};    ///< Since the machine started, and...
    std::optional<std::uint64_t> packets_dropped{};      ///< ...these because that queue was full.
    std::optional<std::uint64_t> datagrams_delivered{};  ///< Since the machine started, and...
    std::optional<std::uint64_t> datagrams_dropped{};    ///< ...these because the buffer of a socket was full.
    std::optional<std::uint16_t> ephemeral_first{};      ///< net.ipv4.ip_local_port_range
    std::optional<std::uint16_t> ephemeral_last{};
    std::string reserved{};                      ///< net.ipv4.ip_local_reserved_ports: `8080,9000-9010`
    std::optional<std::uint64_t> tracked_max{};  ///< nf_conntrack_max; nothing: no connection tracking here.
    std::optional<std::uint64_t> tracked{};      ///< nf_conntrack_count
    std::optional<std::uint64_t> tracked_datagram_seconds{};  ///< nf_conntrack_udp_timeout
};

struct clock_numbers {
    std::int64_t now = 0;                                ///< Seconds since 1970.
    bool is_synchronised = false;                        ///< The kernel or systemd says so.
    std::optional<std::int64_t> catalogue_written_at{};  ///< Likewise.
};

/// The file system of a folder.
struct volume {
    std::uint64_t free = 0;                     ///< Bytes for who is not root.
    std::optional<std::uint64_t> files_free{};  ///< Nothing where there is no fixed number of them.
    std::string type{};                         ///< As mounted: `ext4`, `nfs4`, `fuse.sshfs`; empty: not known.
    bool is_read_only = false;
};

enum class folder_kind { absent, folder, other };

struct folder {
    std::string path{};
    folder_kind kind = folder_kind::absent;
    std::string existing{};    ///< The path itself or, where it does not exist, the nearest folder above that does.
    bool is_writable = false;  ///< `existing` is.
    std::optional<volume> on{};
};

struct catalogue_file {
    std::string path{};
    bool is_there = false;
    bool is_readable = false;
    bool is_writable = false;
    bool is_database = false;  ///< It is empty or begins as SQLite's files do.
    std::uint64_t size = 0;
};

struct memory_numbers {
    std::optional<std::uint64_t> available{};  ///< MemAvailable
    std::optional<std::uint64_t> limit{};      ///< What the control group (a container, a systemd unit) may take.
};

/// The outcome of opening one address as the hub does.
struct door {
    std::string address{};  ///< `IP:PORT`
    std::uint16_t port = 0;
    bool is_udp = false;
    bool is_optional = false;  ///< The hub does without it where the machine has no such address.
    int error = 0;             ///< errno, 0 when it could be opened.
    std::string user{};        ///< Name of the program that has it, where that can be seen.
    int process = 0;           ///< And its process.
    bool is_ours = false;      ///< Another address of the same command line has it.
    bool is_hub = false;       ///< The program that has it is a tracker.
};

struct machine {
    file_limits files{};
    network_numbers network{};
    clock_numbers clock{};
    folder data{};
    folder temporary{};
    catalogue_file catalogue{};
    memory_numbers memory{};
    std::vector<door> doors{};
};

/// One finding for each check, in the order in which they are to be read.
std::vector<finding> judge(wants const& hub, machine const& here);
}  // namespace doctor
