// Where a call would do harm if it were let through, its arguments make it fail in another way.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "probe.hpp"

namespace {
namespace fs = std::filesystem;

constexpr void* nowhere = nullptr;

int opened(fs::path const& path, int flags) {
    return outcome(::open(path.c_str(), flags | O_CLOEXEC, 0600));
}

template <class... Arguments>
int call(long number, Arguments... arguments) {
    return outcome(::syscall(number, arguments...));
}

/// A process that `flags` make. It ends at once.
int cloned(unsigned long flags) {
    auto const child = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, 0);
    if (child == 0) std::_Exit(0);
    return outcome(child);
}

int cloned_by_clone3(std::uint64_t flags) {
    clone_args how{};
    how.flags = flags;
    how.exit_signal = SIGCHLD;
    auto const child = ::syscall(SYS_clone3, &how, sizeof how);
    if (child == 0) std::_Exit(0);
    // The C library takes another call where there is no such one: none is as good as not permitted.
    return child < 0 && errno == ENOSYS ? EPERM : outcome(child);
}

#ifndef SHOAL_SANITIZED
int executed(char const* path) {
    char* const arguments[] = {const_cast<char*>(path), nullptr};
    ::execv(path, arguments);
    return errno;
}

/// A program that is in no folder.
int executed_from_memory() {
    auto const memory = ::memfd_create("program", MFD_CLOEXEC);
    char* const arguments[] = {nullptr};
    return call(SYS_execveat, memory, "", arguments, arguments, AT_EMPTY_PATH);  // let through, it is no program
}
#endif

int connected_to_abstract(std::string const& name) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path + 1, name.data(), name.size());
    auto const length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    return outcome(::connect(::socket(AF_UNIX, SOCK_STREAM, 0), reinterpret_cast<sockaddr const*>(&at), length));
}

int bound_at(fs::path const& path) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, path.c_str(), sizeof at.sun_path - 1);
    return outcome(::bind(::socket(AF_UNIX, SOCK_STREAM, 0), reinterpret_cast<sockaddr const*>(&at), sizeof at));
}

int memory_read(pid_t of) {
    char here[8], there[8];
    iovec const local{here, sizeof here}, remote{there, sizeof there};
    return outcome(::process_vm_readv(of, &local, 1, &remote, 1, 0));
}

int memory_written(pid_t of) {
    char here[8] = {}, there[8] = {};
    iovec const local{here, sizeof here}, remote{there, sizeof there};
    return outcome(::process_vm_writev(of, &local, 1, &remote, 1, 0));
}

std::vector<action> with_files(scene const& at) {
    auto const in = [at](char const* name) { return at.inside / name; };
    auto const out = [at](char const* name) { return at.outside / name; };
    auto const process = fs::path{"/proc"} / std::to_string(at.stranger);
    return {
        {"read a file", 1, [=] { return opened(out("file"), O_RDONLY); }},
        {"read a hidden file of a home", 1, [=] { return opened(out("home/.secret"), O_RDONLY); }},
        {"read a file whose name begins as that of another", 1,
         [=] { return opened(at.outside.parent_path() / "single.secret", O_RDONLY); }},
        {"read a file through a link", 1, [=] { return opened(in("way out"), O_RDONLY); }},
        {"read a file through ..", 1, [=] { return opened(in("../outside/file"), O_RDONLY); }},
        {"read a file through /proc/self/root", 1,
         [=] { return opened("/proc/self/root" + out("file").string(), O_RDONLY); }},
        {"list a folder", 1, [=] { return opened(at.outside, O_RDONLY | O_DIRECTORY); }},
        {"list the root", 1, [] { return opened("/", O_RDONLY | O_DIRECTORY); }},
        {"write a file", 1, [=] { return opened(out("file"), O_WRONLY); }},
        {"append to a file", 1, [=] { return opened(out("file"), O_WRONLY | O_APPEND); }},
        {"empty a file", 3, [=] { return outcome(::truncate(out("file").c_str(), 0)); }},
        {"make a file", 1, [=] { return opened(out("new"), O_WRONLY | O_CREAT | O_EXCL); }},
        {"make a file without a name", 1, [=] { return opened(at.outside, O_WRONLY | O_TMPFILE); }},
        {"delete a file", 1, [=] { return outcome(::unlink(out("to-delete").c_str())); }},
        {"make a folder", 1, [=] { return outcome(::mkdir(out("new folder").c_str(), 0700)); }},
        {"delete a folder", 1, [=] { return outcome(::rmdir(out("empty").c_str())); }},
        {"make a link", 1, [=] { return outcome(::symlink("file", out("new link").c_str())); }},
        {"make a second name for a file, to read it", 1,
         [=] { return outcome(::link(out("to-link").c_str(), in("linked").c_str())); }},
        {"move a file in", 1, [=] { return outcome(::rename(out("to-move").c_str(), in("moved in").c_str())); }},
        {"move a file out", 1, [=] { return outcome(::rename(in("to-move").c_str(), out("moved out").c_str())); }},
        {"exchange two files", 1,
         [=] {
             return outcome(::renameat2(AT_FDCWD, in("to-exchange").c_str(), AT_FDCWD, out("to-exchange").c_str(),
                                        RENAME_EXCHANGE));
         }},
        {"write a file that may be read", 1, [=] { return opened(at.readable / "file", O_WRONLY); }},
        {"make a file where files may be read", 1,
         [=] { return opened(at.readable / "new", O_WRONLY | O_CREAT | O_EXCL); }},
        {"delete a file that may be read", 1, [=] { return outcome(::unlink((at.readable / "file").c_str())); }},
        {"write a file that was named", 1, [=] { return opened(at.outside.parent_path() / "single", O_WRONLY); }},
        {"make a link where files may be written", 1,
         [=] { return outcome(::symlink("/etc/passwd", in("new link").c_str())); }},
        {"make a socket where files may be written", 1, [=] { return bound_at(in("socket")); }},
        {"make a FIFO where files may be written", 0, [=] { return outcome(::mkfifo(in("fifo").c_str(), 0600)); }},
        {"make a device where files may be written", 0,
         [=] { return outcome(::mknod(in("disk").c_str(), S_IFBLK | 0600, 0)); }},
        {"read the environment of another process", 1, [=] { return opened(process / "environ", O_RDONLY); }},
        {"write the memory of another process", 1, [=] { return opened(process / "mem", O_RDWR); }},
        {"write its own memory as a file", 1, [] { return opened("/proc/self/mem", O_RDWR); }},
        {"change a setting of the kernel", 1, [] { return opened("/proc/sys/kernel/hostname", O_WRONLY); }},
        {"open a device", 1, [] { return opened("/dev/zero", O_RDWR); }},
        {"connect to an abstract socket", 6, [=] { return connected_to_abstract(at.abstract_socket); }},
        {"send another process a signal", 6, [=] { return outcome(::kill(at.stranger, 0)); }},
    };
}

std::vector<action> with_system_calls(scene const& at) {
    return {
#ifndef SHOAL_SANITIZED  // there, a report starts a program
        {"start a program", 0, [] { return executed("/bin/true"); }},
        {"start itself", 0, [] { return executed("/proc/self/exe"); }},
        {"start a program from memory", 0, executed_from_memory},
#endif
        // In sanitizer builds Landlock alone forbids these two, and only with processes that are not confined alike.
        {"ptrace another process", 0, [=] { return outcome(::ptrace(PTRACE_SEIZE, at.stranger, nullptr, nullptr)); }},
        {"read another process", 0, [=] { return memory_read(at.stranger); }},
        {"write another process", 0, [=] { return memory_written(at.stranger); }},
        {"take a file from another process", 0, [] { return call(SYS_pidfd_getfd, -1, 0, 0); }},
        {"mount", 0, [] { return call(SYS_mount, "none", "/there/is/no/such/folder", "tmpfs", 0, nowhere); }},
        {"unmount", 0, [] { return call(SYS_umount2, "/there/is/no/such/folder", 0); }},
        {"open a file system", 0, [] { return call(SYS_fsopen, nowhere, 0); }},
        {"clone a mount", 0, [] { return call(SYS_open_tree, AT_FDCWD, "/there/is/no/such/folder", 0); }},
        {"change the root", 0, [] { return outcome(::chroot("/")); }},
        {"pivot the root", 0, [] { return call(SYS_pivot_root, "/there/is/no/such/folder", "/"); }},
        {"open a file by its handle", 0, [] { return call(SYS_open_by_handle_at, -1, nowhere, O_RDONLY); }},
        {"enter a namespace", 0, [] { return outcome(::setns(-1, 0)); }},
        {"make a namespace", 0, [] { return outcome(::unshare(CLONE_NEWUTS)); }},
        {"make a namespace of users", 0, [] { return outcome(::unshare(CLONE_NEWUSER)); }},
        {"clone into a namespace of users", 0, [] { return cloned(CLONE_NEWUSER); }},
        {"clone into a network of its own", 0, [] { return cloned(CLONE_NEWNET); }},
        {"clone3 into a namespace of users", 0, [] { return cloned_by_clone3(CLONE_NEWUSER); }},
        {"load a program into the kernel", 0, [] { return call(SYS_bpf, 0, nowhere, 0); }},
        {"load a module", 0, [] { return call(SYS_init_module, nowhere, 0, ""); }},
        {"load a module from a file", 0, [] { return call(SYS_finit_module, -1, "", 0); }},
        {"unload a module", 0, [] { return call(SYS_delete_module, "there_is_no_such_module", O_NONBLOCK); }},
        {"load another kernel", 0, [] { return call(SYS_kexec_load, 0, 0, nowhere, ~0UL); }},
        {"count events of the processor", 0, [] { return call(SYS_perf_event_open, nowhere, 0, 0, -1, 0); }},
        {"handle page faults", 0, [] { return call(SYS_userfaultfd, 0); }},
        {"set up io_uring", 0, [] { return call(SYS_io_uring_setup, 0, nowhere); }},
        {"ask for a key", 0, [] { return call(SYS_keyctl, 0, -3, 1); }},
        {"add a key", 0, [] { return call(SYS_add_key, nowhere, nowhere, nowhere, 0, 0); }},
        {"be another system", 0, [] { return call(SYS_personality, 0xffff'ffffUL); }},
        {"watch a file system", 0, [] { return call(SYS_fanotify_init, 0, 0); }},
        {"read the kernel's log", 0, [] { return call(SYS_syslog, 10, nowhere, 0); }},
        {"restart the machine", 0, [] { return call(SYS_reboot, 0, 0, 0, nowhere); }},
        {"swap", 0, [] { return call(SYS_swapon, "/there/is/no/such/file", 0); }},
        {"account processes", 0, [] { return call(SYS_acct, "/there/is/no/such/file"); }},
        {"set quotas", 0, [] { return call(SYS_quotactl, ~0, "/there/is/no/such/file", 0, nowhere); }},
        {"set the time", 0, [] { return call(SYS_settimeofday, 1, nowhere); }},
        {"set a clock", 0, [] { return call(SYS_clock_settime, 0, 1); }},
        {"tune the clock", 0, [] { return call(SYS_adjtimex, 1); }},
        {"name the machine", 0, [] { return call(SYS_sethostname, 1, 1); }},
#ifdef SYS_iopl
        {"use ports of the processor", 0, [] { return call(SYS_iopl, 0); }},
        {"change a segment of the processor", 0, [] { return call(SYS_modify_ldt, 0, nowhere, 0); }},
#endif
#ifdef __x86_64__
        {"call by the numbers of x32", 0, [] { return call(0x4000'0000L + SYS_getpid); }},
#endif
        {"see whole packets", 0, [] { return outcome(::socket(AF_PACKET, SOCK_RAW, 0)); }},
        {"send raw IP", 0, [] { return outcome(::socket(AF_INET, SOCK_RAW, 1)); }},
        {"send raw IPv6", 0, [] { return outcome(::socket(AF_INET6, SOCK_RAW, 58)); }},
        {"ping", 0, [] { return outcome(::socket(AF_INET, SOCK_DGRAM, 1)); }},
        {"speak SCTP", 0, [] { return outcome(::socket(AF_INET, SOCK_STREAM, 132)); }},
        {"use the kernel's ciphers", 0, [] { return outcome(::socket(AF_ALG, SOCK_SEQPACKET, 0)); }},
        {"speak to the host of a virtual machine", 0, [] { return outcome(::socket(AF_VSOCK, SOCK_STREAM, 0)); }},
        {"speak to the packet filter", 0, [] { return outcome(::socket(AF_NETLINK, SOCK_RAW, 12)); }},
        {"type for the user", 0, [] { return outcome(::ioctl(0, TIOCSTI, "x")); }},
    };
}
}  // namespace

std::vector<action> forbidden(scene const& at) {
    auto all = with_files(at);
    for (auto& each : with_system_calls(at)) all.push_back(std::move(each));
    return all;
}
