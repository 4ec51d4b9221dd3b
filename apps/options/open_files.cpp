module;
#include <sys/resource.h>

module shoal.options;

namespace shoal::options {
void raise_open_files() noexcept {
    rlimit now{};
    if (getrlimit(RLIMIT_NOFILE, &now) != 0) return;
    now.rlim_cur = now.rlim_max;
    setrlimit(RLIMIT_NOFILE, &now);  // where that is refused, it stays as it was
}
}  // namespace shoal::options
