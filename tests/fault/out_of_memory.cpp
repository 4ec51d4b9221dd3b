#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <limits>

#include "support/counted_heap.hpp"
#include "support/failing_heap.hpp"

#include "scenario.hpp"

// One allocation fails, the n-th, for every n until none does: class M3, figure T-OOM. Out of reach is what Asio takes
// for its operations with `aligned_alloc`, not `new`: in front of that are its own recycled blocks, and where a post or
// the wait of a socket finds none the exception still leaves the loop.
namespace {
using namespace fault;

/// Where the allocation that failed was made, for whoever mends it: offsets for llvm-symbolizer-19.
struct {
    std::array<void*, 60> frames;
    int depth = 0;
} struck_at;

struct verdict {
    outcome how = outcome::error;
    std::size_t counted = 0;
    bool has_failed = false;
    std::ptrdiff_t kept = 0;  // bytes of the heap that were not given back
};

verdict with_failure_at(named_scenario const& which, std::size_t n) {
    verdict seen;
    auto const before = counted_heap::in_use();
    {
        auto const made = which.make();
        made->begin();
        failing_heap::fail(n);
        seen.how = run(*made, 3);
        seen.counted = n - failing_heap::state::left;
        seen.has_failed = failing_heap::has_failed();
        failing_heap::fail(0);
    }
    seen.kept = static_cast<std::ptrdiff_t>(counted_heap::in_use()) - static_cast<std::ptrdiff_t>(before);
    return seen;
}
}  // namespace

TEST_CASE("whatever there is no memory for, all goes on, nothing is lost and nothing leaks", "[fault]") {
    failing_heap::state::on_strike = [] { struck_at.depth = backtrace(struck_at.frames.data(), 60); };
    auto const which = GENERATE(range(std::size_t{0}, scenarios().size()));
    auto const& what = scenarios()[which];
    INFO(what.name);
    constexpr auto never = std::numeric_limits<std::size_t>::max();
    (void)with_failure_at(what, never);  // what is kept for good is kept from here on
    auto const whole = with_failure_at(what, never);
    REQUIRE(whole.how == outcome::done);
    REQUIRE(whole.kept == 0);
    auto const stride = stride_over(whole.counted);
    std::size_t tried = 0, failed = 0;
    for (std::size_t n = 1;; n += stride) {
        auto seen = with_failure_at(what, n);
        if (!seen.has_failed) break;
        if (seen.kept != 0) seen = with_failure_at(what, n);  // what is kept for good is kept once
        ++tried;
        if (seen.how == outcome::done && seen.kept == 0) continue;
        ++failed;
        UNSCOPED_INFO("allocation " << n << ": " << static_cast<int>(seen.how) << ", " << seen.kept << " bytes kept");
        backtrace_symbols_fd(struck_at.frames.data(), struck_at.depth, STDERR_FILENO);
    }
    CHECK(failed == 0);
    report(what, std::to_string(tried) + " of " + std::to_string(whole.counted) + " allocations failed");
}
