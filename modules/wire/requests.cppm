module;
#include <cstddef>
#include <cstdint>
#include <optional>

export module shoal.wire:requests;
import shoal.core;
import :queue;

namespace shoal::wire {
/// A request of ours that is not answered yet.
struct open_request {
    block_ref ref;
    std::byte* destination = nullptr;  // nothing once cancelled or forgotten
    time_point asked{};
    std::uint64_t delivered_then = 0;  // bytes that blocks had brought when it was made
    enum class state : std::uint8_t { done, cancelled, wanted } now = state::done;
};

/// Our requests in the order in which they were made. Answers mostly come in that order.
class open_requests {
public:
    std::size_t wanted() const noexcept { return wanted_; }
    std::size_t cancelled() const noexcept { return cancelled_; }
    void add(open_request const& request);
    /// The wanted request that a block answers. Constant time when answers come in order, else linear.
    open_request const* wanted(block_ref const& ref) const { return find(ref, open_request::state::wanted); }
    /// Takes the request out that a block answers: the wanted one, else a cancelled one.
    std::optional<open_request> answer(block_ref const& ref);
    /// The same for a reject: the cancelled one, else the wanted one.
    std::optional<open_request> reject(block_ref const& ref);
    /// Marks a wanted request as cancelled; false when there is none.
    bool cancel(block_ref const& ref);
    /// The wanted request at or after place `from`, and moves `from` behind it; nothing at the end.
    open_request const* next_wanted(std::size_t& from) const;
    /// Gives back what more requests once needed, when there are none.
    void release_memory() {
        if (rows_.empty()) rows_.clear();
    }
    /// Takes the first request out, wanted or cancelled; nothing when none is left.
    std::optional<open_request> take_first();

private:
    open_request* find(block_ref const& ref, open_request::state in);
    open_request const* find(block_ref const& ref, open_request::state in) const;
    open_request remove(open_request& which);
    void compact();

    queue<open_request> rows_;  // the first is never done, at most half of a long row is
    std::size_t wanted_ = 0;
    std::size_t cancelled_ = 0;
};
}  // namespace shoal::wire
