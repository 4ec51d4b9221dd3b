#include <catch2/catch.hpp>

#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include "fixture.hpp"
using namespace fixture;
using namespace std::string_view_literals;
using store::errc;

TEST_CASE("each failure of the store has a sentence of its own, and only what passes is transient", "[store]") {
    std::set<std::string> sentences;
    for (int i = 1; i <= static_cast<int>(errc::decayed); ++i) {
        auto const code = make_error_code(static_cast<errc>(i));
        CHECK(sentences.insert(code.message()).second);
        bool const passes = code == errc::window_lent || code == errc::too_many_files || code == errc::doubtful_piece;
        CHECK(is(code, passes ? condition::transient : condition::local_fault));
    }
    CHECK(make_error_code(errc::closed).category().name() == "shoal.store"sv);
    CHECK_FALSE(sentences.contains(make_error_code(static_cast<errc>(99)).message()));
}
