module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

export module shoal.choker:uplink;

export namespace shoal::choker {
/// A peer that is unchoked and has asked for blocks.
struct waiting_peer {
    std::uint32_t id = 0;
    /// Bytes it is believed to have: the larger of what it announced and what we gave it. The second keeps a peer that
    /// hides its pieces from being served before all others for ever.
    std::uint64_t progress = 0;
    /// The next block it asked for follows, in the same piece, on the block it was sent last.
    bool is_in_run = false;
};

/// Bytes sent to one peer without a break at most; a longer piece is sent in several turns.
inline constexpr std::size_t run_max = 1024 * 1024;

/// Whose blocks go out next when the upload is limited: whole runs of blocks to one peer after another, the peer that
/// has least first.
///
/// A piece can be passed on only when it is whole: a run in one go makes it whole in 1/n of the time that n runs side
/// by side take, and who has least has the most to gain by it. docs/scheduling.md has what that brings.
class uplink {
public:
    /// The one to send a block to now; nothing when nobody waits. Equals take turns.
    std::optional<std::uint32_t> next(std::span<waiting_peer const> waiting);
    /// So much was sent to the peer that `next` named.
    void sent(std::size_t bytes) noexcept { run_bytes_ += bytes; }

private:
    std::optional<std::uint32_t> last_;
    std::size_t run_bytes_ = 0;
};
}  // namespace shoal::choker
