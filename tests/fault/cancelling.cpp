#include <catch2/catch.hpp>
#include <limits>

#include "scenario.hpp"

// The thing is cancelled at every point where it can wait: class M5, figure T-CANCEL; the sanitizers look.
namespace {
using namespace fault;

/// The subject of a scenario, cancelled after so many steps of the world.
class cancelled {
public:
    cancelled(scenario& what, std::size_t after) : what_(what), group_(what.world().executor()) {
        what.world().after_each_handler([this, after] {
            if (++steps_ == after) asio::post(what_.world().executor(), [this] { group_.cancel(); });
        });
        group_.spawn("act", what.act());
    }
    ~cancelled() { what_.world().after_each_handler({}); }
    bool ends() {
        return what_.world().run_until([this] { return group_.size() == 0; }, 2h);
    }
    std::size_t steps() const noexcept { return steps_; }

private:
    scenario& what_;
    net::task_group group_;
    std::size_t steps_ = 0;
};
}  // namespace

TEST_CASE("whatever is cancelled, at whichever step, ends, and is done when it is begun again", "[fault]") {
    auto const which = GENERATE(range(std::size_t{0}, scenarios().size()));
    auto const& what = scenarios()[which];
    std::size_t whole = 0;
    {
        auto const made = what.make();
        made->begin();
        cancelled subject{*made, std::numeric_limits<std::size_t>::max()};
        REQUIRE(subject.ends());
        REQUIRE(made->is_right());
        whole = subject.steps();
    }
    auto const stride = stride_over(whole);
    for (std::size_t n = 1; n <= whole; n += stride) {
        INFO(what.name << ", step " << n << " of " << whole);
        auto const made = what.make();
        made->begin();
        {
            cancelled subject{*made, n};
            REQUIRE(subject.ends());
        }
        CHECK(run(*made, 1) == outcome::done);
    }
    report(what, "cancelled at " + std::to_string(whole / stride) + " of " + std::to_string(whole) + " steps");
}
