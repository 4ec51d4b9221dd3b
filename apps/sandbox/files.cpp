module;
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

module shoal.sandbox;

namespace shoal::sandbox {
namespace {
namespace fs = std::filesystem;
using rights = std::uint64_t;

// Newer than the headers of Debian 12.
constexpr rights access_truncate = 1u << 14;                                           // version 3
constexpr rights access_ioctl_dev = 1u << 15;                                          // version 5
constexpr std::uint64_t scope_abstract_unix_socket = 1u << 0, scope_signal = 1u << 1;  // version 6
struct ruleset_attributes {
    rights files = 0;
    rights ports = 0;          // version 4; none is handled
    std::uint64_t scopes = 0;  // version 6
};

constexpr rights of_a_file_to_read = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr rights to_read = of_a_file_to_read | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr rights of_a_file_to_write = of_a_file_to_read | LANDLOCK_ACCESS_FS_WRITE_FILE | access_truncate;
/// Regular files and folders: no links, sockets, FIFOs, devices.
constexpr rights to_write = of_a_file_to_write | to_read | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                            LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                            LANDLOCK_ACCESS_FS_REFER;

/// All that this version can withhold; of what no rule gives back, executing is the most important.
rights all_of(int version) {
    auto all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // version 1
    if (version >= 2) all |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3) all |= access_truncate;
    if (version >= 5) all |= access_ioctl_dev;
#ifdef SHOAL_SANITIZED
    all &= ~static_cast<rights>(LANDLOCK_ACCESS_FS_EXECUTE);
#endif
    return all;
}

struct ruleset {
    int number = -1;
    rights handled = 0;

    void add(fs::path const& path, rights of_file, rights of_folder) const {
        auto const at = open(path.c_str(), O_PATH | O_CLOEXEC);
        if (at < 0) return;
        struct stat facts{};
        if (fstat(at, &facts) == 0) {
            landlock_path_beneath_attr rule{};
            rule.allowed_access = (S_ISDIR(facts.st_mode) ? of_folder : of_file) & handled;
            rule.parent_fd = at;
            syscall(SYS_landlock_add_rule, number, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        }
        close(at);
    }
    void read(fs::path const& path) const { add(path, of_a_file_to_read, to_read); }
    void write(fs::path const& path) const { add(path, of_a_file_to_write, to_write); }
};

/// Paths of the environment, separated by colons.
void read_those_in(ruleset const& rules, char const* variable) {
    auto const* const value = std::getenv(variable);
    if (value == nullptr) return;
    std::string_view rest = value;
    while (!rest.empty()) {
        auto const path = rest.substr(0, rest.find(':'));
        if (!path.empty()) rules.read(path);
        rest.remove_prefix(path.size() == rest.size() ? rest.size() : path.size() + 1);
    }
}

void add_what_every_program_needs(ruleset const& rules) {
    rules.write("/dev/null");
    for (auto const* path :
         {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache",  // dlopen
          "/etc/localtime", "/usr/share/zoneinfo", "/usr/share/locale", "/dev/urandom", "/dev/random", "/proc/self",
          "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu"})  // malloc; counting cores
        rules.read(path);
#ifdef SHOAL_SANITIZED
    rules.read("/proc/self/exe");  // where its symbols are
#endif
#ifdef SHOAL_COVERAGE
    auto const* const profile = std::getenv("LLVM_PROFILE_FILE");
    auto const folder = profile != nullptr ? fs::absolute(profile).parent_path() : fs::current_path();
    std::error_code error;
    fs::create_directories(folder, error);
    rules.write(folder);
#endif
}

/// Resolving names and trusting certificates.
///
/// A network that changes replaces resolv.conf: a rule for the file would end with it, so there is one for its folder.
/// For root, who could read there what others cannot, the file must do.
void add_what_the_network_needs(ruleset const& rules) {
    if (geteuid() != 0) rules.read("/etc");
    std::error_code error;
    auto const resolver = fs::canonical("/etc/resolv.conf", error).parent_path();
    if (!error && resolver != "/etc") rules.read(resolver);
    for (auto const* path :
         {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf", "/etc/services",
          "/etc/protocols", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates",
          "/usr/local/share/ca-certificates", "/usr/share/pki", "/var/lib/ca-certificates", "/etc/crypto-policies",
          "/usr/share/crypto-policies", "/nix/store", "/gnu/store"})
        rules.read(path);
    for (auto const* variable : {"SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF"}) read_those_in(rules, variable);
}

void add_what_a_line_editor_needs(ruleset const& rules) {
    for (auto const* path : {"/etc/terminfo", "/usr/share/terminfo", "/usr/share/misc/terminfo"}) rules.read(path);
    for (auto const* variable : {"TERMINFO", "TERMINFO_DIRS"}) read_those_in(rules, variable);
    if (auto const* const home = std::getenv("HOME")) rules.read(fs::path{home} / ".terminfo");
}
}  // namespace

int confine_files(confinement const& to) {
    auto const version = static_cast<int>(
        syscall(SYS_landlock_create_ruleset, nullptr, std::size_t{0}, LANDLOCK_CREATE_RULESET_VERSION));
    if (version < 0) return -errno;
    ruleset_attributes attributes;
    attributes.files = all_of(version);
    if (version >= 6) attributes.scopes = scope_abstract_unix_socket | scope_signal;
    auto const size = version >= 6   ? sizeof attributes
                      : version >= 4 ? offsetof(ruleset_attributes, scopes)
                                     : offsetof(ruleset_attributes, ports);
    ruleset const rules{static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, size, 0)), attributes.files};
    if (rules.number < 0) return -errno;
    add_what_every_program_needs(rules);
    if (to.asks_the_network) add_what_the_network_needs(rules);
    if (to.has_a_line_editor) add_what_a_line_editor_needs(rules);
    for (auto const& path : to.readable) rules.read(path);
    for (auto const& path : to.writable) rules.write(path);
    for (auto const& path : to.swept) rules.add(path, 0, LANDLOCK_ACCESS_FS_REMOVE_DIR);
    auto const done = syscall(SYS_landlock_restrict_self, rules.number, 0) == 0 ? version : -errno;
    close(rules.number);
    return done;
}
}  // namespace shoal::sandbox
