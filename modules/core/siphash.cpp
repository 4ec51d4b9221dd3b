module;
#include <bit>
#include <cstddef>
#include <cstdint>

module shoal.core;

namespace shoal {
namespace {
struct sip_state {
    std::uint64_t a, b, c, d;

    void round() noexcept {
        a += b;
        c += d;
        b = std::rotl(b, 13) ^ a;
        d = std::rotl(d, 16) ^ c;
        a = std::rotl(a, 32);
        c += b;
        a += d;
        b = std::rotl(b, 17) ^ c;
        d = std::rotl(d, 21) ^ a;
        c = std::rotl(c, 32);
    }
    void absorb(std::uint64_t word) noexcept {
        d ^= word;
        round();
        round();
        a ^= word;
    }
};

/// Up to eight bytes, least significant first.
std::uint64_t load_le(byte_view bytes) noexcept {
    std::uint64_t word = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) word = word << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return word;
}
}  // namespace

std::uint64_t siphash(siphash_key const& key, byte_view bytes) noexcept {
    sip_state state{key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU, key[0] ^ 0x6c7967656e657261U,
                    key[1] ^ 0x7465646279746573U};
    auto const length = static_cast<std::uint64_t>(bytes.size()) << 56;
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) state.absorb(load_le(bytes.first(8)));
    state.absorb(length | load_le(bytes));
    state.c ^= 0xff;
    for (int i = 0; i < 4; ++i) state.round();
    return state.a ^ state.b ^ state.c ^ state.d;
}
}  // namespace shoal
