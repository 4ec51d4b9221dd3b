module;
#include <coroutine>
#include <cstdint>
#include <memory>

export module shoal.testing:liar;
import shoal.asio;
import shoal.core;
import shoal.net;
import :content;

export namespace shoal::testing {
/// What a lying peer does with a block that it is asked for.
struct lie {
    std::uint64_t seed = 1;    ///< Of its identity and of which blocks are wrong.
    std::uint32_t one_in = 1;  ///< Of so many blocks one is wrong; 0: it never sends any.
};

/// A peer that says it has everything. Talks to all that connect to `at`, until cancelled; uses `of` as long.
net::task<void> serve_lies(net::environment& outside, std::unique_ptr<net::listener> at, content const& of, lie how);
}  // namespace shoal::testing
