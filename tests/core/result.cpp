#include <cerrno>

#include <catch2/catch.hpp>
#include <future>
#include <string>
#include <system_error>

#include "core/try.hpp"

import shoal.core;

using namespace shoal;

namespace {
/// A category as a room would have it: each enumerator says which condition it is.
class weather_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "weather"; }
    std::string message(int) const override { return "weather"; }
    std::error_condition default_error_condition(int value) const noexcept override {
        return make_error_condition(static_cast<condition>(value));
    }
};
weather_category const weather;

std::error_code weather_code(condition what) {
    return {static_cast<int>(what), weather};
}

constexpr condition all_conditions[]{condition::peer_fault, condition::local_fault, condition::transient};

result<int> halved(int number) {
    if (number % 2 != 0) return weather_code(condition::peer_fault);
    return number / 2;
}

result<int> quartered(int number) {
    SHOAL_TRY(auto half, halved(number));
    return halved(half);
}
}  // namespace

TEST_CASE("a code of a room's own category has the condition that its category gives it, and no other", "[core]") {
    for (auto const given : all_conditions)
        for (auto const asked : all_conditions) {
            CHECK(is(weather_code(given), asked) == (given == asked));
            CHECK((weather_code(given) == asked) == (given == asked));
        }
}

TEST_CASE("a code that no room has mapped has no condition", "[core]") {
    for (auto const asked : all_conditions) CHECK_FALSE(is(make_error_code(std::future_errc::no_state), asked));
}

TEST_CASE("success has no condition", "[core]") {
    for (auto const asked : all_conditions) {
        CHECK_FALSE(is({}, asked));
        CHECK_FALSE(is({0, std::generic_category()}, asked));
        CHECK_FALSE(is({0, weather}, asked));
    }
}

TEST_CASE("a system error is transient when the network caused it and a local fault otherwise", "[core]") {
    struct row {
        int number;
        condition expected;
    };
    for (auto const& [number, expected] :
         {row{EAGAIN, condition::transient},       row{EWOULDBLOCK, condition::transient},
          row{EINTR, condition::transient},        row{ECONNREFUSED, condition::transient},
          row{ECONNRESET, condition::transient},   row{ECONNABORTED, condition::transient},
          row{EPIPE, condition::transient},        row{ENOTCONN, condition::transient},
          row{ETIMEDOUT, condition::transient},    row{ENETUNREACH, condition::transient},
          row{ENETDOWN, condition::transient},     row{ENETRESET, condition::transient},
          row{EHOSTUNREACH, condition::transient}, row{EHOSTDOWN, condition::transient},
          row{ENOBUFS, condition::transient},      row{ECANCELED, condition::transient},
          row{ENOSPC, condition::local_fault},     row{EDQUOT, condition::local_fault},
          row{EIO, condition::local_fault},        row{EROFS, condition::local_fault},
          row{EFAULT, condition::local_fault},     row{EACCES, condition::local_fault},
          row{EPERM, condition::local_fault},      row{ENOENT, condition::local_fault},
          row{EADDRINUSE, condition::local_fault}, row{EADDRNOTAVAIL, condition::local_fault},
          row{EINVAL, condition::local_fault},     row{ENOMEM, condition::local_fault},
          row{EMFILE, condition::local_fault},     row{ENAMETOOLONG, condition::local_fault},
          row{-1, condition::local_fault},         row{100'000, condition::local_fault}}) {
        CAPTURE(number);
        CHECK(condition_of_system_error(number) == expected);
        for (auto const asked : all_conditions) {
            CHECK(is({number, std::system_category()}, asked) == (asked == expected));
            CHECK(is({number, std::generic_category()}, asked) == (asked == expected));
        }
    }
}

TEST_CASE("each condition has a sentence of its own", "[core]") {
    auto const message = [](condition what) { return make_error_condition(what).message(); };
    CHECK(message(condition::peer_fault) != message(condition::local_fault));
    CHECK(message(condition::local_fault) != message(condition::transient));
    CHECK(message(condition::peer_fault) != message(condition::transient));
    CHECK(message(static_cast<condition>(99)) == "unknown condition");
}

TEST_CASE("the first failure of a chain is what its caller gets", "[core]") {
    CHECK(quartered(12).value() == 3);
    CHECK(quartered(3).error() == weather_code(condition::peer_fault));
    CHECK(quartered(6).error() == weather_code(condition::peer_fault));
}
