module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

export module shoal.wire:outbox;
import shoal.core;
import :queue;

namespace shoal::wire {
/// Bytes on their way to the socket: own messages, kept here, with the data of blocks, kept elsewhere, between them.
/// Bytes stay in place until they were sent; what is added later never moves them.
class outbox {
public:
    void add(byte_view message);
    /// Adds a view of `data`, which stays in place until `blocks_sent()` has counted it. Not empty.
    void add_block(byte_view data);

    /// The next bytes for the socket, as many runs as there are and fit; returns how many.
    std::size_t runs(std::span<byte_view> out) const;
    /// What `sent` took off: bytes of blocks among the bytes given.
    std::size_t sent(std::size_t count);

    std::size_t own_size() const noexcept { return end_ - begin_; }  ///< Bytes of own messages not yet sent.
    std::size_t size() const noexcept { return own_size() + block_bytes_; }
    std::uint64_t blocks_sent() const noexcept { return blocks_sent_; }

private:
    static constexpr std::size_t chunk_size = 4096;  // 240 requests; what a quiet connection keeps
    using chunk = std::array<std::byte, chunk_size>;
    struct block {
        std::uint64_t after = 0;  // place in the stream of own messages
        byte_view data;
    };

    std::uint64_t begin_ = 0;  // places in the stream of own messages: sent, and added
    std::uint64_t end_ = 0;
    queue<std::unique_ptr<chunk>> chunks_;  // the first holds begin_
    std::unique_ptr<chunk> spare_;
    queue<block> blocks_;
    std::size_t block_bytes_ = 0;
    std::uint64_t blocks_sent_ = 0;
};
}  // namespace shoal::wire
