module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

module shoal.registry;

namespace shoal::registry {
namespace {
/// How many entries are looked at to find one that may give way; the choice is good enough and the cost fixed.
constexpr int eviction_samples = 16;
/// Torrents that one announce may push out to make room for itself.
constexpr int evictions_max = 4;
/// Bytes of the bound on memory for each counter of torrents made, and counters at most: that few share both of theirs.
constexpr std::size_t bytes_per_counter = 4096;
constexpr std::size_t counters_max = 1u << 16;
/// A torrent without peers keeps its `downloaded` count this long.
constexpr std::chrono::hours count_lifetime{24};
constexpr auto none = slot_index::none;

std::uint16_t tick_of(time_point now) noexcept {
    auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
    return static_cast<std::uint16_t>((seconds / tick) & 0x7fff);
}

template <std::size_t Size>
std::array<std::uint8_t, Size> address_bytes(ip_address const& address) noexcept {
    std::array<std::uint8_t, Size> bytes{};
    std::transform(address.bytes().begin(), address.bytes().end(), bytes.begin(),
                   [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
    return bytes;
}

endpoint endpoint_of(peer_set<4>::peer const& peer) {
    return {ip_address::v4(peer.address), peer.port};
}
endpoint endpoint_of(peer_set<16>::peer const& peer) {
    return {ip_address::v6(peer.address), peer.port};
}

struct torrent {
    info_hash name;
    std::uint32_t downloaded = 0;
    std::array<std::uint16_t, 2> maker{};  // where in `made_` the customer is counted who announced it first
    std::uint16_t seen = 0;                // tick of the last announce
    peer_set<4> v4;
    std::unique_ptr<peer_set<16>> v6;  // most torrents have no IPv6 peer

    template <std::size_t Size>
    auto& set() noexcept {
        if constexpr (Size == 4)
            return v4;
        else
            return *v6;
    }
    std::uint32_t size() const noexcept { return v4.size() + (v6 ? v6->size() : 0); }
    std::uint32_t parties() const noexcept { return v4.parties() + (v6 ? v6->parties() : 0); }
    std::uint32_t seeders() const noexcept { return v4.seeders() + (v6 ? v6->seeders() : 0); }
    std::size_t memory() const noexcept { return v4.memory() + (v6 ? heap_bytes(sizeof *v6) + v6->memory() : 0); }
    swarm counts() const noexcept { return {seeders(), size() - seeders(), downloaded}; }
};

/// The torrents whose hash ends alike.
struct shard {
    std::deque<torrent> torrents;  // grows and shrinks in small steps
    slot_index index;

    std::size_t memory() const noexcept { return torrents.size() * sizeof(torrent) + index.memory(); }
};
}  // namespace

class registry::state {
public:
    explicit state(options const& how) : how_(how), random_(how.seed), shards_(std::max(1U, how.shard_count)) {
        how_.bounds.peers_per_torrent_max = std::min(how_.bounds.peers_per_torrent_max, none);
        how_.bounds.peers_per_address_max = std::max(how_.bounds.peers_per_address_max, 1U);
        made_.resize(std::clamp(how_.bounds.memory_max / bytes_per_counter, std::size_t{2}, counters_max));
        memory_ = heap_bytes(made_.size() * sizeof made_[0]);
    }

    outcome announce(announcement const& from, time_point now);
    swarm scrape(info_hash const& name) const;
    std::size_t expire(time_point now, std::size_t steps);

    std::size_t size() const noexcept { return numbers_.peers_v4 + numbers_.peers_v6 + numbers_.torrents; }
    std::size_t memory() const noexcept { return memory_; }
    counters numbers() const noexcept { return numbers_; }

private:
    outcome leave(shard& in, std::uint32_t place, announcement const& from, std::uint16_t now);
    std::vector<endpoint> choose_for(torrent const& in, std::uint32_t self, announcement const& from);
    // Where others give way, a torrent may move: `in` goes with it.
    template <std::size_t Size>
    std::uint32_t store(torrent*& in, announcement const& from, std::uint16_t now);
    bool add_v6(torrent*& in, std::uint16_t now);
    bool push_out_for(torrent*& in, std::size_t bytes, std::uint16_t now);
    template <std::size_t Size>
    bool make_room(torrent*& in, typename peer_set<Size>::found const& same, std::uint16_t now);
    template <std::size_t Size>
    auto find(peer_set<Size> const& set, endpoint const& peer, std::uint16_t now) const {
        return set.find(how_.secret, address_bytes<Size>(peer.address), peer.port, now);
    }
    /// While it lives the peers of a torrent change; then it brings the totals up to date.
    class change {
    public:
        change(state& all, torrent& of) noexcept : all_(all), of_(of) {}
        change(change const&) = delete;
        change& operator=(change const&) = delete;
        ~change() {
            all_.numbers_.peers_v4 += of_.v4.size() - v4_;
            all_.numbers_.peers_v6 += of_.size() - of_.v4.size() - v6_;
            all_.numbers_.seeders += of_.seeders() - seeders_;
            all_.memory_ += of_.memory() - memory_;
        }

    private:
        state& all_;
        torrent& of_;
        std::size_t v4_ = of_.v4.size(), v6_ = of_.size() - v4_, seeders_ = of_.seeders(), memory_ = of_.memory();
    };

    shard& shard_of(std::uint64_t hash) noexcept { return shards_[(hash >> 32) % shards_.size()]; }
    shard const& shard_of(std::uint64_t hash) const noexcept { return shards_[(hash >> 32) % shards_.size()]; }
    std::uint64_t hash(info_hash const& name) const noexcept { return siphash(how_.secret, name.view()); }
    static std::uint32_t place_of(shard const& in, std::uint64_t hash, info_hash const& name);
    torrent* add(shard& in, std::uint64_t hash, announcement const& from, std::uint16_t now);
    void drop(shard& in, std::uint32_t place, torrent** kept = nullptr);
    std::array<std::uint16_t, 2> maker_of(ip_address const& address) const noexcept;
    /// About how many of the torrents here the customer has made: never less.
    std::uint32_t made_by(std::array<std::uint16_t, 2> maker) const noexcept {
        return std::min(made_[maker[0]], made_[maker[1]]);
    }
    std::uint32_t burden(torrent const& of) const noexcept;
    bool evict_torrent(shard& in, torrent** kept, std::uint32_t burden_min, std::uint16_t now);
    bool has_room(std::size_t bytes) const noexcept {
        return memory_ + bytes <= how_.bounds.memory_max &&
               numbers_.peers_v4 + numbers_.peers_v6 < how_.bounds.peers_max;
    }
    void step(std::uint16_t now, std::size_t& dropped);

    options how_;
    dice random_;
    std::vector<shard> shards_;
    std::vector<std::uint32_t> made_;  // how many of the torrents customers made, by two hashes of theirs
    std::size_t memory_ = 0;
    counters numbers_;
    // Where `expire` goes on: the shard, how many of its torrents are left, and how many peers of the last of these.
    std::size_t shard_at_ = 0;
    std::size_t torrents_left_ = 0;
    std::optional<std::uint32_t> peers_left_;
};

registry::registry(options const& how) : state_(std::make_unique<state>(how)) {}
registry::~registry() = default;
registry::registry(registry&&) noexcept = default;
registry& registry::operator=(registry&&) noexcept = default;
outcome registry::announce(announcement const& from, time_point now) {
    return state_->announce(from, now);
}
swarm registry::scrape(info_hash const& torrent) const {
    return state_->scrape(torrent);
}
std::size_t registry::expire(time_point now, std::size_t steps) {
    return state_->expire(now, steps);
}
std::size_t registry::size() const noexcept {
    return state_->size();
}
std::size_t registry::memory() const noexcept {
    return state_->memory();
}
counters registry::numbers() const noexcept {
    return state_->numbers();
}

outcome registry::state::announce(announcement const& from, time_point at) {
    ++numbers_.announces;
    auto const now = tick_of(at);
    auto const name_hash = hash(from.torrent);
    auto& in = shard_of(name_hash);
    auto const place = place_of(in, name_hash, from.torrent);
    auto* known = place == none ? nullptr : &in.torrents[place];
    if (from.what == event::stopped) return known == nullptr ? outcome{} : leave(in, place, from, now);

    auto const is_introduced = from.peer.port != 0;
    if (known == nullptr && is_introduced) known = add(in, name_hash, from, now);
    if (known == nullptr) return {};
    known->seen = now;
    auto self = none;
    if (is_introduced && from.peer.address.is_v4())
        self = store<4>(known, from, now);
    else if (is_introduced && add_v6(known, now))
        self = store<16>(known, from, now);
    return {choose_for(*known, self, from), known->counts(), self != none};
}

outcome registry::state::leave(shard& in, std::uint32_t place, announcement const& from, std::uint16_t now) {
    auto& known = in.torrents[place];
    auto take_out = [&](auto& set) {
        auto const at = find(set, from.peer, now).at;
        if (at == none) return;
        change const counted(*this, known);
        set.erase(how_.secret, at);
    };
    if (from.peer.address.is_v4())
        take_out(known.v4);
    else if (known.v6)
        take_out(*known.v6);
    auto const counts = known.counts();
    if (known.size() == 0 && known.downloaded == 0) drop(in, place);
    return {{}, counts, false};
}

std::vector<endpoint> registry::state::choose_for(torrent const& in, std::uint32_t self, announcement const& from) {
    std::vector<endpoint> peers;
    auto const wanted = from.peers_wanted;
    peers.reserve(std::min(wanted, in.size()));
    auto const give_from = [&](auto const& set, std::uint32_t asker) {
        auto const missing = wanted - static_cast<std::uint32_t>(peers.size());
        choose_peers(random_, set, asker, from.is_complete, from.what == event::started ? seeders_at_start : 0, missing,
                     [&](std::uint32_t at) { peers.push_back(endpoint_of(set[at])); });
    };
    auto const is_v4 = from.peer.address.is_v4();
    auto const both = from.usable == families::both;
    if (is_v4) give_from(in.v4, self);
    if (in.v6 && (!is_v4 || both)) give_from(*in.v6, is_v4 ? none : self);
    if (!is_v4 && both) give_from(in.v4, none);
    return peers;
}

swarm registry::state::scrape(info_hash const& name) const {
    auto const name_hash = hash(name);
    auto const& in = shard_of(name_hash);
    auto const place = place_of(in, name_hash, name);
    return place == none ? swarm{} : in.torrents[place].counts();
}

/// A set for IPv6 peers, unless the torrent has one. False where there was no room for it.
bool registry::state::add_v6(torrent*& in, std::uint16_t now) {
    if (in->v6) return true;
    if (!push_out_for(in, heap_bytes(sizeof(peer_set<16>)), now)) {
        ++numbers_.refused;
        return false;
    }
    change const counted(*this, *in);
    in->v6 = std::make_unique<peer_set<16>>();
    return true;
}

/// Notes the peer; gives its position, or `none` where there was no room for it.
template <std::size_t Size>
std::uint32_t registry::state::store(torrent*& in, announcement const& from, std::uint16_t now) {
    auto where = find(in->set<Size>(), from.peer, now);
    bool const is_new = where.at == none;
    if (is_new && !make_room<Size>(in, where, now)) return none;
    change const counted(*this, *in);
    auto& set = in->set<Size>();
    where.at = is_new ? set.insert(how_.secret, {address_bytes<Size>(from.peer.address), from.peer.port, now, 0},
                                   from.is_complete)
                      : set.set_seeder(how_.secret, where.at, from.is_complete);
    auto& peer = set[where.at];
    peer.seen = now & 0x7fffU;
    if (from.what == event::completed && from.is_complete && !peer.is_counted) {
        peer.is_counted = 1;
        ++in->downloaded;
        ++numbers_.completed;
    }
    return where.at;
}

/// Room for one more peer; within a full torrent the peer that was silent longest gives way.
template <std::size_t Size>
bool registry::state::make_room(torrent*& in, typename peer_set<Size>::found const& same, std::uint16_t now) {
    auto give_way = [&](std::uint32_t at) {
        change const counted(*this, *in);
        in->set<Size>().erase(how_.secret, at);
        ++numbers_.peers_evicted;
        return true;
    };
    if (same.same_address >= how_.bounds.peers_per_address_max &&
        !is_loopback(in->set<Size>()[same.oldest_of_address].address))
        return give_way(same.oldest_of_address);
    bool const has_space = push_out_for(in, in->set<Size>().growth(), now);
    auto const& set = in->set<Size>();
    if (has_space && set.size() < how_.bounds.peers_per_torrent_max) return true;
    if (set.size() == 0) {
        ++numbers_.refused;
        return false;
    }
    auto oldest = random_.below(set.size());
    for (int sample = 1; sample < eviction_samples; ++sample) {
        auto const other = random_.below(set.size());
        if (ticks_between(set[other].seen, now) > ticks_between(set[oldest].seen, now)) oldest = other;
    }
    return give_way(oldest);
}

/// Whether there is room for one more peer and so many bytes, once other torrents have given way.
bool registry::state::push_out_for(torrent*& in, std::size_t bytes, std::uint16_t now) {
    for (int tries = 0; tries < evictions_max && !has_room(bytes); ++tries)
        if (!evict_torrent(shards_[random_.below(static_cast<std::uint32_t>(shards_.size()))], &in, burden(*in), now))
            break;
    return has_room(bytes);
}

/// A new torrent, or nothing where there is no room.
torrent* registry::state::add(shard& in, std::uint64_t name_hash, announcement const& from, std::uint16_t now) {
    auto const maker = maker_of(from.peer.address);
    // Room for the set of the first peer is made here: without it the torrent would be of no use.
    auto const first_peer = from.peer.address.is_v4() ? 0 : heap_bytes(sizeof(peer_set<16>));
    auto const is_full = [&] {
        return numbers_.torrents >= how_.bounds.torrents_max || in.torrents.size() >= none ||
               !has_room(sizeof(torrent) + in.index.growth() + first_peer);
    };
    for (int tries = 0; tries < evictions_max && is_full(); ++tries)
        if (!evict_torrent(in, nullptr, made_by(maker), now)) break;
    if (is_full()) {
        ++numbers_.refused;
        return nullptr;
    }
    auto const before = in.memory();
    auto& added = in.torrents.emplace_back();
    try {
        in.index.insert(name_hash, static_cast<std::uint32_t>(in.torrents.size() - 1),
                        [&](std::uint32_t other) { return hash(in.torrents[other].name); });
    } catch (...) {  // no memory
        in.torrents.pop_back();
        throw;
    }
    added.name = from.torrent;
    added.maker = maker;
    for (auto const counter : maker) ++made_[counter];
    memory_ += in.memory() - before;
    ++numbers_.torrents;
    return &added;
}

/// The last torrent takes the place of the dropped one; where it is `*kept`, that goes with it.
void registry::state::drop(shard& in, std::uint32_t place, torrent** kept) {
    auto& dropped = in.torrents[place];
    auto const before = in.memory();
    for (auto const counter : dropped.maker) --made_[counter];
    in.index.erase(hash(dropped.name), place, [&](std::uint32_t other) { return hash(in.torrents[other].name); });
    {
        change const counted(*this, dropped);
        dropped = torrent{};
    }
    auto& last = in.torrents.back();
    if (&last != &dropped) {
        in.index.move(hash(last.name), static_cast<std::uint32_t>(in.torrents.size() - 1), place);
        if (kept != nullptr && *kept == &last) *kept = &dropped;
        dropped = std::move(last);
    }
    in.torrents.pop_back();
    memory_ += in.memory() - before;
    --numbers_.torrents;
}

std::array<std::uint16_t, 2> registry::state::maker_of(ip_address const& address) const noexcept {
    auto const site = address.site();
    auto const mixed = siphash(how_.secret, site.bytes());
    auto const first = (mixed >> 32) % made_.size();
    auto const second = (first + 1 + (mixed & 0xffff'ffff) % (made_.size() - 1)) % made_.size();  // another one
    return {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(second)};
}

/// How readily a torrent gives way: the more so the more torrents its maker has here, and half as much for each further
/// party in it. That way who floods pushes out his own, and not the only seeder of something, whom it is easy to
/// outnumber and who announces seldom; a number of peers alone is no merit, as one machine is as many peers as it has
/// ports.
std::uint32_t registry::state::burden(torrent const& of) const noexcept {
    auto const parties = of.parties();
    auto const made = made_by(of.maker);
    return parties == 0 ? made * 2 : parties > 31 ? 0 : made >> (parties - 1);
}

/// Drops a torrent of the shard that is a burden of at least `burden_min`, other than `*kept`.
bool registry::state::evict_torrent(shard& in, torrent** kept, std::uint32_t burden_min, std::uint16_t now) {
    if (in.torrents.empty()) return false;
    auto victim = none;
    auto worst = std::max(burden_min, 1U);
    for (int sample = 0; sample < eviction_samples; ++sample) {
        auto const at = random_.below(static_cast<std::uint32_t>(in.torrents.size()));
        auto const& other = in.torrents[at];
        if (kept != nullptr && &other == *kept) continue;
        auto const found = burden(other);
        if (found < worst) continue;
        if (victim != none && found == worst &&
            ticks_between(other.seen, now) < ticks_between(in.torrents[victim].seen, now))
            continue;
        victim = at;
        worst = found;
    }
    if (victim == none) return false;
    ++numbers_.torrents_evicted;
    numbers_.peers_evicted += in.torrents[victim].size();
    drop(in, victim, kept);
    return true;
}

std::size_t registry::state::expire(time_point at, std::size_t steps) {
    auto const now = tick_of(at);
    std::size_t dropped = 0;
    for (steps = std::min(steps, size()); steps > 0; --steps) step(now, dropped);
    numbers_.expired += dropped;
    return dropped;
}

/// Looks at one peer, or at one torrent that has none left to look at. Counting down keeps what is moved to the place
/// of what was dropped behind the place where the round stands.
void registry::state::step(std::uint16_t now, std::size_t& dropped) {
    auto& in = shards_[shard_at_];
    if (in.torrents.size() < torrents_left_) {  // the one that was looked at is gone
        torrents_left_ = in.torrents.size();
        peers_left_.reset();
    }
    if (torrents_left_ == 0) {
        shard_at_ = (shard_at_ + 1) % shards_.size();
        torrents_left_ = shards_[shard_at_].torrents.size();
        peers_left_.reset();
        return;
    }
    auto const place = static_cast<std::uint32_t>(torrents_left_ - 1);
    auto& known = in.torrents[place];
    auto const left = std::min(peers_left_.value_or(known.size()), known.size());
    if (left > 0) {
        auto const at = left - 1;
        auto const is_old = [&](auto& set, std::uint32_t position) {
            if (ticks_between(set[position].seen, now) <= how_.peer_lifetime / tick) return false;
            change const counted(*this, known);
            set.erase(how_.secret, position);
            return true;
        };
        dropped += at < known.v4.size() ? is_old(known.v4, at) : is_old(*known.v6, at - known.v4.size());
        peers_left_ = at;
        return;
    }
    auto const is_forgotten = known.downloaded == 0 || ticks_between(known.seen, now) > count_lifetime / tick;
    if (known.size() == 0 && is_forgotten) drop(in, place);
    peers_left_.reset();
    --torrents_left_;
}

std::uint32_t registry::state::place_of(shard const& in, std::uint64_t name_hash, info_hash const& name) {
    return in.index.find(name_hash, [&](std::uint32_t at) { return in.torrents[at].name == name; });
}
}  // namespace shoal::registry
