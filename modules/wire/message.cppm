module;
#include <cstdint>

export module shoal.wire:message;

export namespace shoal::wire {
/// The number of a message. Source: BEP 3, 5 (`port`), 6 (`suggest` to `allowed_fast`), 10 (`extended`).
enum class message : std::uint8_t {
    choke = 0,
    unchoke = 1,
    interested = 2,
    not_interested = 3,
    have = 4,
    bitfield = 5,
    request = 6,
    piece = 7,
    cancel = 8,
    port = 9,
    suggest = 13,
    have_all = 14,
    have_none = 15,
    reject = 16,
    allowed_fast = 17,
    extended = 20,
};
}  // namespace shoal::wire
