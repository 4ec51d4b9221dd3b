module;
#include <asm/termbits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

module shoal.sandbox;

namespace shoal::sandbox {
namespace {
#if defined(__x86_64__)
constexpr std::uint32_t machine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t machine = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t machine = 0;  // no numbers of its system calls are known here
#endif

/// What neither program nor any library of theirs has to do with. EPERM answers.
constexpr int denied[] = {
// Other programs, and into other processes.
#ifndef SHOAL_SANITIZED
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
#endif
    SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kcmp,
    // Other views of the files; what Landlock may not be there to deny.
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
    SYS_move_mount, SYS_open_tree, SYS_mount_setattr, SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_mknodat,
#ifdef SYS_mknod
    SYS_mknod,
#endif
    // Namespaces, personalities.
    SYS_setns, SYS_unshare, SYS_personality,
    // Code in the kernel, and ways into it that have often been holes.
    SYS_bpf, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_perf_event_open, SYS_userfaultfd,
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_keyctl, SYS_add_key, SYS_request_key,
    SYS_fanotify_init, SYS_vmsplice,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_modify_ldt
    SYS_modify_ldt,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm,
#endif
    // The machine as a whole.
    SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_quotactl_fd, SYS_syslog, SYS_vhangup,
    SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname};

/// Instructions of the filter. Arguments are compared by their lower halves: these calls take no more of them.
class program {
public:
    static constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
    static constexpr std::uint32_t refuse(int error) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error); }

    void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
    void load_number() { load(offsetof(seccomp_data, nr)); }
    void load_argument(std::size_t which) {
        static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
        load(offsetof(seccomp_data, args) + which * sizeof(std::uint64_t));
    }
    void keep_bits(std::uint32_t mask) { add(BPF_ALU | BPF_AND | BPF_K, mask); }
    void end(std::uint32_t answer) { add(BPF_RET | BPF_K, answer); }
    /// What was loaded is `value`: the end.
    void end_if(std::uint32_t value, std::uint32_t answer) { end_where(BPF_JEQ, value, 0, 1, answer); }
    void end_unless(std::uint32_t value, std::uint32_t answer) { end_where(BPF_JEQ, value, 1, 0, answer); }
    void end_from(std::uint32_t value, std::uint32_t answer) { end_where(BPF_JGE, value, 0, 1, answer); }
    void end_if_any(std::uint32_t bits, std::uint32_t answer) { end_where(BPF_JSET, bits, 0, 1, answer); }
    /// Passes over what `body` adds unless `value` was loaded.
    template <class Body>
    void when(std::uint32_t value, Body body) {
        auto const jump = code_.size();
        add(BPF_JMP | BPF_JEQ | BPF_K, value);
        body();
        code_[jump].jf = static_cast<std::uint8_t>(code_.size() - jump - 1);
    }
    std::vector<sock_filter>& code() { return code_; }

private:
    void add(int code, std::uint32_t value, std::uint8_t yes = 0, std::uint8_t no = 0) {
        code_.push_back({static_cast<std::uint16_t>(code), yes, no, value});
    }
    void end_where(int test, std::uint32_t value, std::uint8_t yes, std::uint8_t no, std::uint32_t answer) {
        add(BPF_JMP | test | BPF_K, value, yes, no);
        end(answer);
    }
    std::vector<sock_filter> code_;
};

constexpr auto not_permitted = program::refuse(EPERM);

/// TCP, UDP, sockets of this machine, and asking the kernel for addresses: nothing raw, nothing exotic.
void check_socket(program& out) {
    auto const check_internet = [&out] {
        out.load_argument(1);
        out.keep_bits(0xf);  // the rest is SOCK_CLOEXEC, SOCK_NONBLOCK
        out.end_if(0, not_permitted);
        out.end_from(SOCK_RAW, not_permitted);  // SOCK_STREAM and SOCK_DGRAM are left
        out.load_argument(2);
        for (auto const known : {0, IPPROTO_TCP + 0, IPPROTO_UDP + 0})
            out.end_if(static_cast<std::uint32_t>(known), program::allow);
        out.end(not_permitted);
    };
    out.load_argument(0);
    out.end_if(AF_UNIX, program::allow);
    out.when(AF_INET, check_internet);
    out.when(AF_INET6, check_internet);
    out.end_unless(AF_NETLINK, not_permitted);
    out.load_argument(2);
    out.end_unless(0, not_permitted);  // NETLINK_ROUTE
    out.end(program::allow);
}

program filter() {
    program out;
    out.load(offsetof(seccomp_data, arch));
    out.end_unless(machine, SECCOMP_RET_KILL_PROCESS);  // other numbers
    out.load_number();
#ifdef __x86_64__
    out.end_from(0x4000'0000, not_permitted);  // x32, whose numbers are others
#endif
    for (auto const number : denied) out.end_if(static_cast<std::uint32_t>(number), not_permitted);
    // Its flags are in memory, where a filter cannot see them. The C library takes clone instead.
    out.end_if(SYS_clone3, program::refuse(ENOSYS));
    out.when(SYS_clone, [&out] {
        out.load_argument(0);
        out.end_if_any(
            CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
            not_permitted);
        out.end(program::allow);
    });
    out.when(SYS_ioctl, [&out] {  // typing for the user
        out.load_argument(1);
        out.end_if(TIOCSTI, not_permitted);
        out.end_if(TIOCLINUX, not_permitted);
        out.end(program::allow);
    });
    out.when(SYS_socketpair, [&out] {
        out.load_argument(0);
        out.end_unless(AF_UNIX, not_permitted);
        out.end(program::allow);
    });
    out.when(SYS_socket, [&out] { check_socket(out); });
    out.end(program::allow);
    return out;
}
}  // namespace

int filter_system_calls() {
    if (machine == 0) return -ENOSYS;
    auto built = filter();
    sock_fprog const handed{static_cast<unsigned short>(built.code().size()), built.code().data()};
    // All threads. What the filter is not for is not slowed down by a guard against speculation.
    constexpr unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    auto const done = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &handed);
    return done == 0 ? 0 : done > 0 ? -ESRCH : -errno;  // above 0: a thread that has filters of its own
}
}  // namespace shoal::sandbox
