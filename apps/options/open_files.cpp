module;
#include <sys/resource.h>

#include <cstddef>
#include <cstdint>

module shoal.options;

namespace shoal::options {
void raise_open_files() noexcept {
    rlimit now{};
    if (getrlimit(RLIMIT_NOFILE, &now) != 0) return;
    now.rlim_cur = now.rlim_max;
    setrlimit(RLIMIT_NOFILE, &now);  // where that is refused, it stays as it was
}

std::size_t open_files_max() noexcept {
    rlimit now{};
    return getrlimit(RLIMIT_NOFILE, &now) == 0 ? now.rlim_cur : SIZE_MAX;
}
}  // namespace shoal::options
