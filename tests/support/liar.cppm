module;
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
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
    /// The blocks that may be wrong; others are right.
    enum class target { any, one_of_each_piece, last_of_each_piece } about = target::any;
    std::uint32_t right_first = 0;                        ///< Blocks that it sends right before it begins to lie.
    bool leaves = false;                                  ///< It hangs up after each wrong block.
    std::byte difference = std::byte{1};                  ///< What one byte of a wrong block differs by (exclusive or).
    std::function<void(endpoint const& to)> on_lie = {};  ///< A wrong block is about to go to this peer.
};

/// A peer that says it has everything. Talks to all that connect to `at`, until cancelled; uses `of` as long.
net::task<void> serve_lies(net::environment& outside, std::unique_ptr<net::listener> at, content const& of, lie how);
}  // namespace shoal::testing
