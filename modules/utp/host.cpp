module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
namespace {
constexpr unsigned tries_for_id = 16;
constexpr auto wake_gap = std::chrono::milliseconds{1};

/// The lower half of a handle; the upper one is the slot's generation.
std::uint32_t slot_of(handle which) noexcept {
    return static_cast<std::uint32_t>(which);
}
}  // namespace

host::host(host_settings settings)
    : settings_(settings),
      random_state_((settings.seed * 2 + 1) * 0x9e37'79b9'7f4a'7c15U),
      hash_{{random(), random()}},
      clock_offset_(static_cast<std::uint32_t>(random() >> 32U)),
      pool_{.max = settings.buffers_max},
      by_name_(0, hash_),
      half_open_by_name_(0, hash_) {}

host::~host() = default;

void host::receive(endpoint const& from, byte_view datagram, time_point now) {
    now = moved_on(now);
    auto const from_peer = parse(datagram);
    if (!from_peer) return;
    if (from_peer->header.type == packet_type::syn) return receive_syn(from, *from_peer, now);
    if (from_peer->header.type == packet_type::reset) return receive_reset(from, *from_peer, now);
    name const is{from, from_peer->header.connection_id};
    auto const known = by_name_.find(is);
    if (known == by_name_.end()) {
        if (!receive_proof(is, *from_peer, now)) answer_by_reset(from, *from_peer, now);
        return;
    }
    auto const at = known->second;
    slots_[at].core->receive(*from_peer, now);
    settle(at);
}

void host::wake(time_point now) {
    now = moved_on(now);
    while (deadlines_.first_time() <= now) {
        auto const at = deadlines_.first();
        slots_[at].core->wake(now);
        settle(at);
        // not at once again, whatever happened: what it has to send goes out when it is asked for
        if (auto const& core = slots_[at].core) deadlines_.set(at, std::max(core->deadline(), now + wake_gap));
    }
}

result<handle> host::connect(endpoint const& to, time_point now) {
    now = moved_on(now);
    if (to.port == 0 || to.address.is_unspecified() || to.address.is_multicast())
        return make_error_code(errc::not_an_address);
    if (by_name_.size() >= settings_.connections_max) return make_error_code(errc::full);
    connection::settings with;
    with.remote = to;
    with.is_initiator = true;
    with.seq_nr = static_cast<std::uint16_t>(random() >> 48U);
    for (unsigned i = 0; i < tries_for_id; ++i) {
        with.receive_id = static_cast<std::uint16_t>(random() >> 48U);
        name const as{to, with.receive_id};
        if (by_name_.contains(as) || half_open_by_name_.contains(as)) continue;
        auto const at = add(with, as, now);
        settle(at);
        return handle_of(at);
    }
    return make_error_code(errc::full);
}

std::size_t host::read(handle which, std::span<mutable_byte_view const> places, time_point now) {
    now = moved_on(now);
    auto* const core = find(which);
    if (core == nullptr) return 0;
    auto const count = core->read(places, now);
    settle(slot_of(which));
    return count;
}

std::size_t host::write(handle which, std::span<byte_view const> runs, time_point now) {
    moved_on(now);
    auto* const core = find(which);
    if (core == nullptr) return 0;
    auto const count = core->write(runs);
    settle(slot_of(which));
    return count;
}

void host::close(handle which, time_point now) {
    now = moved_on(now);
    auto* const core = find(which);
    if (core == nullptr) return;
    core->close(now);
    settle(slot_of(which));
}

std::optional<handle> host::accept() {
    while (!accepted_.empty()) {
        auto const which = accepted_.front();
        accepted_.pop_front();
        if (find(which) != nullptr) return which;
    }
    return std::nullopt;
}

std::optional<handle> host::next_changed() {
    while (!changed_.empty()) {
        auto const at = changed_.front();
        changed_.pop_front();
        slots_[at].is_changed = false;
        if (slots_[at].core && !slots_[at].core->is_closed()) return handle_of(at);
    }
    return std::nullopt;
}

std::optional<outgoing> host::next_datagram(mutable_byte_view place, time_point now) {
    now = moved_on(now);
    if (!replies_.empty()) {
        auto& next = replies_.front();
        next.header.timestamp_microseconds = clock(now);
        outgoing const result{next.to, utp::write(next.header, {}, 0, place)};
        replies_.pop_front();
        return result;
    }
    while (!ready_.empty()) {
        auto const at = ready_.front();
        auto* const core = slots_[at].core.get();
        auto const length = core == nullptr ? 0 : core->compose(place, now);
        if (length == 0 || ++turn_ >= limits::turn_packets) {
            turn_ = 0;
            ready_.pop_front();
            slots_[at].is_ready = false;
        }
        if (length == 0) {
            if (core != nullptr) settle(at, false);
            continue;
        }
        outgoing const result{core->remote(), length};
        settle(at);
        return result;
    }
    return std::nullopt;
}

time_point host::deadline() const noexcept {
    return deadlines_.first_time();
}

bool host::is_connected(handle which) const noexcept {
    auto const* const core = find(which);
    return core != nullptr && core->is_connected();
}

std::size_t host::readable(handle which) const noexcept {
    auto const* const core = find(which);
    return core == nullptr ? 0 : core->readable();
}

std::size_t host::writable(handle which) const noexcept {
    auto const* const core = find(which);
    return core == nullptr ? 0 : core->writable();
}

bool host::is_ended(handle which) const noexcept {
    auto const* const core = find(which);
    return core != nullptr && core->is_ended();
}

std::error_code host::error(handle which) const noexcept {
    auto const* const core = find(which);
    return core == nullptr ? std::error_code{} : core->error();
}

endpoint host::remote(handle which) const noexcept {
    auto const* const core = find(which);
    return core == nullptr ? endpoint{} : core->remote();
}

host::path host::path_of(handle which) const noexcept {
    auto const* const core = find(which);
    if (core == nullptr) return {};
    auto const round_trip = core->round_trip();
    return {round_trip, core->window().delay(round_trip), core->window().window(), core->datagram_size()};
}

connection* host::find(handle which) const noexcept {
    auto const at = slot_of(which);
    if (at >= slots_.size() || slots_[at].generation != static_cast<std::uint64_t>(which) >> 32U) return nullptr;
    auto* const core = slots_[at].core.get();
    return core == nullptr || core->is_closed() ? nullptr : core;
}

handle host::handle_of(std::uint32_t slot) const noexcept {
    return handle{std::uint64_t{slots_[slot].generation} << 32U | slot};
}

std::uint32_t host::add(connection::settings with, name const& as, time_point now) {
    with.clock_offset = clock_offset_;
    with.receive_window = settings_.receive_window;
    with.send_buffer = settings_.send_buffer;
    // All memory first: where there is none, nothing has happened, and what ends takes none.
    auto core = std::make_unique<connection>(with, pool_, now);
    if (free_.empty()) {
        if (free_.capacity() <= slots_.size()) free_.reserve(2 * slots_.size() + 1);
        slots_.emplace_back();
        free_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
    }
    auto const at = free_.back();
    deadlines_.set(at, time_point::max());
    try {
        by_name_.emplace(as, at);
    } catch (...) {
        deadlines_.remove(at);
        throw;
    }
    free_.pop_back();
    slots_[at].core = std::move(core);
    return at;
}

void host::remove(std::uint32_t at) {
    auto& gone = slots_[at];
    if (!gone.core->is_initiator()) strangers_.remove(gone.core->remote().address);
    by_name_.erase({gone.core->remote(), gone.core->receive_id()});
    deadlines_.remove(at);
    gone.core.reset();
    ++gone.generation;
    free_.push_back(at);
}

/// After anything happened to a connection.
void host::settle(std::uint32_t at, bool may_send) {
    auto& here = slots_[at];
    if (here.core->is_over()) {
        remove(at);
        return;
    }
    deadlines_.advance(at, here.core->deadline());
    if (may_send && !here.is_ready) {
        ready_.push_back(at);
        here.is_ready = true;
    }
    if (here.is_changed) {
        (void)here.core->take_change();
    } else {
        changed_.push_back(at);  // first: where there is no memory for it, the change is not lost
        here.is_changed = here.core->take_change() && !here.core->is_closed();
        if (!here.is_changed) changed_.pop_back();
    }
}

time_point host::moved_on(time_point now) noexcept {
    return now_ = std::max(now_, now);
}

std::uint64_t host::random() noexcept {
    // xorshift64*; the state is never 0, since an odd number times an odd number is odd
    random_state_ ^= random_state_ >> 12U;
    random_state_ ^= random_state_ << 25U;
    random_state_ ^= random_state_ >> 27U;
    return random_state_ * 0x2545'f491'4f6c'dd1dU;
}

std::uint32_t host::clock(time_point now) const noexcept {
    auto const since = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
    return static_cast<std::uint32_t>(since) + clock_offset_;
}

std::size_t host::keyed_hash::operator()(name const& of) const noexcept {
    std::array<std::byte, 20> bytes{};
    auto const address = of.remote.address.bytes();
    std::memcpy(bytes.data(), address.data(), address.size());
    store_be(mutable_byte_view{bytes}.subspan(16), of.remote.port);
    store_be(mutable_byte_view{bytes}.subspan(18), of.receive_id);
    return static_cast<std::size_t>(siphash(key, bytes));
}

std::size_t host::keyed_hash::operator()(ip_address const& of) const noexcept {
    return static_cast<std::size_t>(siphash(key, of.bytes()));
}
}  // namespace shoal::utp
