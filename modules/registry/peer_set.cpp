module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

module shoal.registry;

namespace shoal::registry {
bool is_loopback(std::array<std::uint8_t, 4> const& address) noexcept {
    return address[0] == 127;
}
bool is_loopback(std::array<std::uint8_t, 16> const& address) noexcept {
    return std::all_of(address.begin(), address.end() - 1, [](auto octet) { return octet == 0; }) && address[15] == 1;
}

namespace {
template <std::size_t Size>
bool same_customer(std::array<std::uint8_t, Size> const& a, std::array<std::uint8_t, Size> const& b) noexcept {
    return std::equal(a.begin(), a.begin() + customer_length(Size), b.begin());
}
}  // namespace

template <std::size_t Size>
std::uint64_t peer_set<Size>::hash(siphash_key const& key, peer const& of) const noexcept {
    // Many peers on loopback are the normal case of a test: there the port is hashed too, else runs grow long.
    std::array<std::uint8_t, Size + 2> bytes{};
    std::copy(of.address.begin(), of.address.end(), bytes.begin());
    bytes[Size] = static_cast<std::uint8_t>(of.port >> 8);
    bytes[Size + 1] = static_cast<std::uint8_t>(of.port & 0xff);
    auto const count = is_loopback(of.address) ? bytes.size() : customer_length(Size);
    return siphash(key, byte_view{reinterpret_cast<std::byte const*>(bytes.data()), count});
}

template <std::size_t Size>
auto peer_set<Size>::find(siphash_key const& key, address_bytes const& address, std::uint16_t port,
                          std::uint16_t now) const -> found {
    found result;
    auto look = [&](std::uint32_t at) {
        auto const& other = peers_[at];
        if (!same_customer<Size>(other.address, address)) return false;
        ++result.same_address;
        if (result.oldest_of_address == none ||
            ticks_between(other.seen, now) > ticks_between(peers_[result.oldest_of_address].seen, now))
            result.oldest_of_address = at;
        if (!other.is(address, port)) return false;
        result.at = at;
        return true;
    };
    if (is_indexed())
        index_->find(hash(key, {address, port}), look);
    else
        for (std::uint32_t at = 0; at < size() && !look(at); ++at) {}
    return result;
}

template <std::size_t Size>
std::uint32_t peer_set<Size>::parties() const noexcept {
    auto const is_of_first = [&](peer const& other) { return same_customer<Size>(other.address, peers_[0].address); };
    if (peers_.empty()) return 0;
    return size() <= one_party_max && std::all_of(peers_.begin() + 1, peers_.end(), is_of_first) ? 1 : size();
}

template <std::size_t Size>
std::uint32_t peer_set<Size>::insert(siphash_key const& key, peer const& added, bool is_seeder) {
    peers_.make_room();
    auto const at = size();
    // All memory first: a peer that the index lacks could not be taken out again.
    if (is_indexed())
        index_->insert(hash(key, added), at, [&](std::uint32_t other) { return hash(key, peers_[other]); });
    peers_.push_back(added);
    if (!is_indexed() && size() > scan_max) build_index(key);
    return is_seeder ? set_seeder(key, at, true) : at;
}

template <std::size_t Size>
std::uint32_t peer_set<Size>::set_seeder(siphash_key const& key, std::uint32_t at, bool is_seeder) {
    if (is_seeder == (at < seeders_)) return at;
    auto const border = is_seeder ? seeders_++ : --seeders_;
    exchange(key, at, border);
    return border;
}

template <std::size_t Size>
void peer_set<Size>::erase(siphash_key const& key, std::uint32_t at) {
    at = set_seeder(key, at, false);
    exchange(key, at, size() - 1);
    if (is_indexed())
        index_->erase(hash(key, peers_.back()), size() - 1,
                      [&](std::uint32_t other) { return hash(key, peers_[other]); });
    peers_.pop_back();
    if (is_indexed() && size() <= scan_max / 2) index_.reset();
    if (peers_.size() < peers_.capacity() / 4) peers_.shrink_to_fit();
}

template <std::size_t Size>
std::size_t peer_set<Size>::growth() const noexcept {
    if (is_indexed()) return peers_.growth() + index_->growth();
    return peers_.growth() +
           (size() == scan_max ? heap_bytes(sizeof(slot_index)) + slot_index::memory_of(scan_max + 1) : 0);
}

template <std::size_t Size>
std::size_t peer_set<Size>::memory() const noexcept {
    return peers_.memory() + (is_indexed() ? heap_bytes(sizeof(slot_index)) + index_->memory() : 0);
}

template <std::size_t Size>
void peer_set<Size>::exchange(siphash_key const& key, std::uint32_t a, std::uint32_t b) {
    if (a == b) return;
    if (is_indexed()) index_->exchange(hash(key, peers_[a]), a, hash(key, peers_[b]), b);
    std::swap(peers_[a], peers_[b]);
}

template <std::size_t Size>
void peer_set<Size>::build_index(siphash_key const& key) {
    auto hash_of = [&](std::uint32_t other) { return hash(key, peers_[other]); };
    auto made = std::make_unique<slot_index>();  // where there is no memory they are searched until the next comes
    for (std::uint32_t at = 0; at < size(); ++at) made->insert(hash_of(at), at, hash_of);
    index_ = std::move(made);
}

template class peer_set<4>;
template class peer_set<16>;
}  // namespace shoal::registry
