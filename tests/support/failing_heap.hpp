#pragma once
// Lets one allocation of the program fail, as where there is no memory: `operator new` of counted_heap.cpp asks here.
// Coroutine frames are among them (CMakeLists.txt); what Asio keeps for its own operations is not. One thread only.
#include <cstddef>

namespace failing_heap {
namespace state {
inline std::size_t left = 0;  // allocations until one fails; 0: none will
inline bool has_struck = false;
inline int armed_depth = 0, sheltered_depth = 0;
inline void (*on_strike)() = nullptr;  // for whoever looks for the place
}  // namespace state

/// The `n`-th allocation from now on fails (1: the next), of those that are made while the tested program runs.
inline void fail(std::size_t n) noexcept {
    state::left = n;
    state::has_struck = false;
}
/// Whether it has.
inline bool has_failed() noexcept {
    return state::has_struck;
}

/// The tested program runs while it lives: allocations are counted, and one may fail.
class armed {
public:
    armed() noexcept { ++state::armed_depth; }
    ~armed() { --state::armed_depth; }
    armed(armed const&) = delete;
    armed& operator=(armed const&) = delete;
};

/// What the tests themselves hold in place of the system has memory always. No `co_await` while it lives.
class sheltered {
public:
    sheltered() noexcept { ++state::sheltered_depth; }
    ~sheltered() { --state::sheltered_depth; }
    sheltered(sheltered const&) = delete;
    sheltered& operator=(sheltered const&) = delete;
};

/// For `operator new`: whether this allocation fails.
inline bool strikes() noexcept {
    if (state::left == 0 || state::armed_depth == 0 || state::sheltered_depth > 0 || --state::left > 0) return false;
    state::has_struck = true;
    if (state::on_strike != nullptr) state::on_strike();
    return true;
}
}  // namespace failing_heap
