module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

module shoal.hub;
import shoal.core;

namespace shoal::hub {
namespace {
constexpr std::size_t bucket_count = 65'536;
constexpr std::uint32_t burst_seconds = 10;
constexpr std::size_t site_length = 6;  // bytes of an `ip_address::site` of IPv6
constexpr std::uint32_t parts = 1000;   // of a request: one millisecond at one request a second
}  // namespace

meter::meter(std::uint32_t per_second, siphash_key const& secret)
    : per_second_(std::min(per_second, 100'000U)), secret_(secret) {
    if (per_second_ != 0) buckets_.assign(bucket_count, {per_second_ * burst_seconds * parts, 0});
}

bool meter::admit(ip_address const& from, time_point now) {
    if (per_second_ == 0) return true;
    if (!is_started_) start_ = now;
    is_started_ = true;
    auto const since = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_).count();
    auto const at = static_cast<std::uint32_t>(since);
    auto const bytes = from.bytes();
    if (!take(bytes.first(customer_length(bytes.size())), parts, at)) return false;
    return from.is_v4() || take(bytes.first(site_length), parts / customers_of_site_max, at);
}

/// A refused request costs nothing: who asks too often is served at the rate.
bool meter::take(byte_view whose, std::uint32_t cost, std::uint32_t now) {
    auto const hash = siphash(secret_, whose);
    auto& one = buckets_[hash % bucket_count];
    auto& other = buckets_[(hash >> 32) % bucket_count];
    refill(one, now);
    refill(other, now);
    auto const take_from = [cost](bucket& from) {
        if (from.left < cost) return false;
        from.left -= cost;
        return true;
    };
    auto const is_within = take_from(one);
    return (&other != &one && take_from(other)) || is_within;
}

void meter::refill(bucket& of, std::uint32_t now) const noexcept {
    auto const most = std::uint64_t{per_second_} * burst_seconds * parts;
    auto const brought = std::uint64_t{now - of.seen} * per_second_;  // modulo 49 days, after which a bucket is full
    of.left = static_cast<std::uint32_t>(std::min(most, of.left + brought));
    of.seen = now;
}
}  // namespace shoal::hub
