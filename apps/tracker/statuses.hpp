#pragma once

/// How the program ends, as the README lists it.
namespace status {
inline constexpr int failed = 1;
inline constexpr int wrong_usage = 2;
inline constexpr int not_found = 3;
inline constexpr int not_writable = 6;
}  // namespace status
