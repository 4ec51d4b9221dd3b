#pragma once
// The one header of the project: macros cannot be imported. Include it above all imports.
#include <boost/outcome/std_result.hpp>
#include <boost/outcome/try.hpp>

/// `SHOAL_TRY(auto value, expression)` takes the value out, or returns the error to the caller.
#define SHOAL_TRY(...) BOOST_OUTCOME_TRY(__VA_ARGS__)
/// The same in a coroutine.
#define SHOAL_CO_TRY(...) BOOST_OUTCOME_CO_TRY(__VA_ARGS__)
