#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "probe.hpp"

namespace {
namespace fs = std::filesystem;

/// Of several steps the first error.
#define TRY(step)                                                       \
    do {                                                                \
        if (auto const error = outcome(step); error != 0) return error; \
    } while (false)

int opened(fs::path const& path, int flags) {
    return ::open(path.c_str(), flags | O_CLOEXEC, 0600);
}

int read_a_byte(fs::path const& path) {
    auto const file = opened(path, O_RDONLY);
    TRY(file);
    char byte = 0;
    TRY(::read(file, &byte, 1));
    return 0;
}

int listed(fs::path const& path) {
    auto* const folder = ::opendir(path.c_str());
    if (folder == nullptr) return errno;
    errno = 0;
    return ::readdir(folder) != nullptr ? 0 : errno;
}

int written(fs::path const& folder) {
    auto const file = opened(folder / "new", O_RDWR | O_CREAT | O_EXCL);
    TRY(file);
    TRY(::posix_fallocate(file, 0, 8192) == 0 ? 0 : -1);
    TRY(::pwrite(file, "bytes", 5, 4096));
    TRY(::ftruncate(file, 6000));
    TRY(::fsync(file));
    TRY(::flock(file, LOCK_EX | LOCK_NB));
    TRY(::truncate((folder / "new").c_str(), 5000));
    TRY(opened(folder / "new", O_WRONLY | O_TRUNC));
    return 0;
}

int mapped(fs::path const& folder) {
    auto const file = opened(folder / "mapped", O_RDWR | O_CREAT);
    TRY(file);
    TRY(::ftruncate(file, 4096));
    auto* const at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) return errno;
    std::memset(at, 7, 4096);
    TRY(::msync(at, 4096, MS_SYNC));
    return 0;
}

int moved(fs::path const& folder) {
    TRY(opened(folder / "a", O_WRONLY | O_CREAT));
    TRY(::renameat2(AT_FDCWD, (folder / "a").c_str(), AT_FDCWD, (folder / "b").c_str(), RENAME_NOREPLACE));
    TRY(::link((folder / "b").c_str(), (folder / "c").c_str()));
    TRY(::unlink((folder / "b").c_str()));
    TRY(::rename((folder / "c").c_str(), (folder / "d").c_str()));
    return 0;
}

int made_folders(fs::path const& folder) {
    TRY(::mkdir((folder / "x").c_str(), 0700));
    TRY(::mkdir((folder / "x" / "y").c_str(), 0700));
    TRY(opened(folder / "x" / "y" / "file", O_WRONLY | O_CREAT));
    TRY(::unlink((folder / "x" / "y" / "file").c_str()));
    TRY(::rmdir((folder / "x" / "y").c_str()));
    TRY(::rmdir((folder / "x").c_str()));
    return 0;
}

int resolved(char const* name) {
    addrinfo* found = nullptr;
    if (::getaddrinfo(name, nullptr, nullptr, &found) != 0) return 253;
    ::freeaddrinfo(found);
    return 0;
}

int interfaces() {
    ifaddrs* list = nullptr;
    TRY(::getifaddrs(&list));
    auto const index = ::if_nametoindex(list->ifa_name);
    ::freeifaddrs(list);
    return index == 0 ? errno : 0;
}

/// A socket of the kind, bound to a port of the loopback, and that address.
int bound(int type, sockaddr_in& at) {
    auto const made = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    if (made < 0 || ::bind(made, reinterpret_cast<sockaddr*>(&at), length) != 0 ||
        ::getsockname(made, reinterpret_cast<sockaddr*>(&at), &length) != 0)
        return -1;
    return made;
}

int spoke_tcp() {
    sockaddr_in at{};
    auto const listener = bound(SOCK_STREAM, at);
    TRY(listener);
    TRY(::listen(listener, 1));
    auto const caller = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    TRY(caller);
    if (::connect(caller, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 && errno != EINPROGRESS) return errno;
    auto const called = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    TRY(called);
    TRY(::send(called, "hello", 5, MSG_NOSIGNAL));
    return 0;
}

int spoke_udp() {
    sockaddr_in at{};
    auto const here = bound(SOCK_DGRAM, at);
    TRY(here);
    TRY(::sendto(here, "hello", 5, 0, reinterpret_cast<sockaddr*>(&at), sizeof at));
    char bytes[8];
    TRY(::recv(here, bytes, sizeof bytes, 0));
    return 0;
}

int heard_multicast() {
    sockaddr_in at{};
    auto const here = bound(SOCK_DGRAM, at);
    TRY(here);
    ip_mreqn group{};
    ::inet_pton(AF_INET, "239.192.152.143", &group.imr_multiaddr);
    group.imr_address = at.sin_addr;
    TRY(::setsockopt(here, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group));
    TRY(::setsockopt(here, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group));
    at.sin_addr = group.imr_multiaddr;
    TRY(::sendto(here, "hello", 5, 0, reinterpret_cast<sockaddr*>(&at), sizeof at));
    return 0;
}

int ran_threads() {
    std::atomic<int> done = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back([&done] { ++done; });
    for (auto& each : threads) each.join();
    return done == 8 ? 0 : 253;
}

int waited_for_events() {
    auto const poll = ::epoll_create1(EPOLL_CLOEXEC);
    TRY(poll);
    auto const event = ::eventfd(1, EFD_CLOEXEC);
    TRY(event);
    TRY(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    epoll_event what{};
    what.events = EPOLLIN;
    TRY(::epoll_ctl(poll, EPOLL_CTL_ADD, event, &what));
    return ::epoll_wait(poll, &what, 1, 1000) == 1 ? 0 : 253;
}

int drew_random_bytes() {
    std::array<char, 16> bytes{};
    TRY(::getrandom(bytes.data(), bytes.size(), 0));
    return read_a_byte("/dev/urandom");
}

int loaded_library() {
    return ::dlopen("libanl.so.1", RTLD_NOW) != nullptr || ::dlopen("libresolv.so.2", RTLD_NOW) != nullptr ? 0 : 253;
}

int used_open_file(int file) {
    char byte = 0;
    TRY(::pread(file, &byte, 1, 0));
    TRY(::pwrite(file, &byte, 1, 0));
    return 0;
}

int told_local_time() {
    ::tzset();
    auto const now = ::time(nullptr);
    tm parts{};
    if (::localtime_r(&now, &parts) == nullptr) return 253;
    return fs::exists("/usr/share/zoneinfo/Europe/Berlin") ? read_a_byte("/usr/share/zoneinfo/Europe/Berlin") : 0;
}

/// Where there is none, there is nothing to be read.
int read_certificates() {
    for (auto const* path : {"/etc/ssl/certs", "/etc/pki/tls/certs"})
        if (fs::exists(path))
            if (auto const error = listed(path); error != 0) return error;
    auto const* const all = "/etc/ssl/certs/ca-certificates.crt";
    return fs::exists(all) ? read_a_byte(all) : 0;
}

int signalled_itself() {
    ::signal(SIGUSR1, SIG_IGN);
    return outcome(::kill(::getpid(), SIGUSR1));
}

int had_a_child() {
    auto const child = ::fork();
    if (child == 0) std::_Exit(0);
    TRY(child);
    TRY(::waitpid(child, nullptr, 0));
    return 0;
}

int paired() {
    int both[2];
    return outcome(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both));
}
}  // namespace

std::vector<action> allowed(scene const& at) {
    return {
        {"read a file", 1, [=] { return read_a_byte(at.readable / "file"); }},
        {"list a folder", 1, [=] { return listed(at.readable); }},
        {"read a file that was named", 1, [=] { return read_a_byte(at.outside.parent_path() / "single"); }},
        {"make, size, lock, cut and sync a file", 1, [=] { return written(at.inside); }},
        {"write a file through a mapping", 1, [=] { return mapped(at.inside); }},
        {"rename, link and delete files", 1, [=] { return moved(at.inside); }},
        {"make and delete folders", 1, [=] { return made_folders(at.inside); }},
        {"move a file to another folder", 2,
         [=] {
             return outcome(::rename((at.inside / "one" / "moved").c_str(), (at.inside / "two" / "here").c_str()));
         }},
        {"use a file that was open before", 1, [=] { return used_open_file(at.open_file); }},
        {"see which folder this is", 1,
         [] {
             char path[4096];
             return ::getcwd(path, sizeof path) != nullptr ? 0 : errno;
         }},
        {"resolve localhost", 1, [] { return resolved("localhost"); }},
        {"read how names are resolved", 1,
         [] { return fs::exists("/etc/resolv.conf") ? read_a_byte("/etc/resolv.conf") : 0; }},
        {"list network interfaces", 0, interfaces},
        {"listen, connect and accept by TCP", 0, spoke_tcp},
        {"send and receive by UDP", 0, spoke_udp},
        {"join a multicast group and send to it", 0, heard_multicast},
        {"open an IPv6 socket", 0,
         [] {
             auto const made = outcome(::socket(AF_INET6, SOCK_STREAM, 0));
             return made == EAFNOSUPPORT ? 0 : made;
         }},
        {"have a pair of sockets", 0, paired},
        {"start threads", 0, ran_threads},
        {"have a child process", 0, had_a_child},
        {"send itself a signal", 0, signalled_itself},
        {"wait for events and time", 0, waited_for_events},
        {"draw random bytes", 1, drew_random_bytes},
        {"load a library", 1, loaded_library},
        {"tell the local time", 1, told_local_time},
        {"read certificates", 1, read_certificates},
        {"read about the program itself", 1,
         [] { return read_a_byte("/proc/" + std::to_string(::getppid()) + "/status"); }},  // it tries in a child
        {"write to nowhere", 1, [] { return outcome(opened("/dev/null", O_RDWR)); }},
        {"ask how large a terminal is", 0, [] { return ::isatty(1) == 0 && errno != ENOTTY ? errno : 0; }},
    };
}
