module;
#include <cstddef>
#include <memory>
#include <vector>

export module shoal.store:buffers;
import shoal.core;

export namespace shoal::store {
/// Memory for one block, aligned to a page. Empty when default-made, moved from, or the pool's budget is used up.
class block_buffer {
public:
    block_buffer() = default;
    explicit operator bool() const noexcept { return memory_ != nullptr; }
    /// `block_length` bytes, or none when empty.
    mutable_byte_view bytes() const noexcept { return {memory_.get(), memory_ ? block_length : 0U}; }

private:
    friend class block_pool;
    struct release {
        void operator()(std::byte* memory) const noexcept;
    };
    std::unique_ptr<std::byte, release> memory_;
};

/// Lends block buffers within a byte budget, and keeps returned ones for the next. Not thread-safe: one home each.
class block_pool {
public:
    /// Lends at most `budget` bytes, rounded down to whole blocks.
    explicit block_pool(std::size_t budget) noexcept;

    /// An empty buffer when the budget is used up: stop receiving until one comes back.
    block_buffer take();
    /// Every buffer comes back here: one that is destroyed elsewhere stays counted as lent.
    void give(block_buffer buffer) noexcept;
    std::size_t lent_bytes() const noexcept { return lent_ * block_length; }

private:
    std::size_t lent_max_;
    std::size_t lent_ = 0;
    std::vector<block_buffer> free_;  // last in, first out: the warmest memory first
};
}  // namespace shoal::store
