// A wall clock that a test can set: preloaded into a program, it adds to the time of day as many nanoseconds as the
// first eight bytes of the file SKEWED_CLOCK say. The steady clock is left alone.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {
constexpr std::int64_t second = 1'000'000'000;
std::atomic<std::int64_t> const* skew;

/// Before the program gives up its files.
[[gnu::constructor]] void open_skew() {
    char const* const path = std::getenv("SKEWED_CLOCK");
    int const file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void* const mapped = mmap(nullptr, sizeof *skew, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) skew = static_cast<std::atomic<std::int64_t> const*>(mapped);
}

int real_time(clockid_t which, timespec* now) {
    using function = int (*)(clockid_t, timespec*);
    static auto const real = reinterpret_cast<function>(dlsym(RTLD_NEXT, "clock_gettime"));
    return real(which, now);
}
}  // namespace

extern "C" int clock_gettime(clockid_t which, timespec* now) noexcept {
    int const failed = real_time(which, now);
    if (failed || !skew || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return failed;
    auto const all = now->tv_sec * second + now->tv_nsec + skew->load();
    now->tv_nsec = ((all % second) + second) % second;
    now->tv_sec = (all - now->tv_nsec) / second;
    return 0;
}

extern "C" int gettimeofday(timeval* now, void*) noexcept {
    timespec exact{};
    clock_gettime(CLOCK_REALTIME, &exact);
    *now = {exact.tv_sec, exact.tv_nsec / 1000};
    return 0;
}

extern "C" std::time_t time(std::time_t* out) noexcept {
    timespec exact{};
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
