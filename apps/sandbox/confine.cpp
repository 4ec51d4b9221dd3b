module;
#include <sys/prctl.h>

#include <cerrno>
#include <string>
#include <system_error>

module shoal.sandbox;

namespace shoal::sandbox {
namespace {
std::string why(int negated) {
    if (negated == -ENOSYS) return "this kernel does not have it";
    if (negated == -EOPNOTSUPP) return "it is switched off on this machine";
    return std::generic_category().message(-negated);
}
}  // namespace

hold confine(confinement const& to) {
    hold held;
    // Both ask for it, and it alone keeps set-user-id programs from being a way out.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        held.missing = "no sandbox: " + why(-errno);
        return held;
    }
    auto const files = confine_files(to);
    if (files > 0) held.landlock = files;
    if (files < 0) held.missing = "files are not confined (Landlock): " + why(files);
    auto const calls = filter_system_calls();
    held.seccomp = calls == 0;
    if (calls != 0)
        held.missing += (files < 0 ? "; " : "") + std::string{"system calls are not filtered (seccomp): "} + why(calls);
    return held;
}
}  // namespace shoal::sandbox
