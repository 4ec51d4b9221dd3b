#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <limits>

#include "scenario.hpp"

// One call of the network or of the disk fails, the n-th, for every n until none does: figure T-IOERR. Calls of the
// store alone: tests/store/failing_calls.cpp.
namespace {
using namespace fault;

/// 0: a short read or write.
constexpr std::array errors{EIO, ENOSPC, EMFILE, ENFILE, ENOMEM, EINTR, EAGAIN, ENOBUFS, ECONNRESET, 0};
constexpr auto never = std::numeric_limits<std::size_t>::max();
constexpr std::size_t hosts_with_disks = 3;

std::size_t network_calls_of(named_scenario const& which) {
    auto const made = which.make();
    made->begin();
    made->calls = {.left = never};
    REQUIRE(run(*made, 1) == outcome::done);
    return never - made->calls.left;
}
}  // namespace

TEST_CASE("whichever call of the network fails, and however, the thing is done in the end", "[fault]") {
    auto const which = GENERATE(range(std::size_t{0}, scenarios().size()));
    auto const& what = scenarios()[which];
    auto const count = network_calls_of(what);
    auto const stride = stride_over(count * errors.size());
    for (std::size_t i = 0; i < count * errors.size(); i += stride) {
        auto const n = 1 + i / errors.size();
        auto const error = errors[i % errors.size()];
        auto const made = what.make();
        made->begin();
        made->calls = {.left = n, .error = error};
        auto const how = run(*made, 3);
        INFO(what.name << ", call " << n << " of " << count << ", error " << error);
        CHECK(how == outcome::done);
    }
    report(what, std::to_string(count * errors.size() / stride) + " of " + std::to_string(count * errors.size()) +
                     " failures of the network");
}

TEST_CASE("whichever call of a disk fails, and however, nothing is claimed that is not there", "[fault]") {
    for (auto const& what : scenarios()) {
        if (what.name != "download" && what.name != "seed") continue;
        for (std::size_t host = 0; host < hosts_with_disks; ++host) {
            auto const measured = what.make();
            measured->begin();
            REQUIRE(run(*measured, 1) == outcome::done);
            auto const count = measured->disk(host)->calls();
            auto const stride = stride_over(count * (errors.size() - 1));
            for (std::size_t i = 0; i < count * (errors.size() - 1); i += stride) {
                auto const n = 1 + i / (errors.size() - 1);
                auto const error = errors[i % (errors.size() - 1)];
                auto const made = what.make();
                made->disk(host)->fail(n, error);
                made->begin();
                auto const how = run(*made, 3);
                INFO(what.name << ", host " << host << ", call " << n << " of " << count << ", error " << error);
                CHECK(how == outcome::done);
            }
        }
    }
}
