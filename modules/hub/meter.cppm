module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

export module shoal.hub:meter;
import shoal.core;

export namespace shoal::hub {
/// Limits requests per address without a list of addresses.
///
/// Each address (an IPv6 address counts as its /64) has two of 65 536 buckets, by a keyed hash, and may go on while one
/// of them has something left: an address shares both with a busy one only by a rare accident. 512 KiB, no allocation.
class meter {
public:
    /// `per_second` 0 lets everything pass.
    meter(std::uint32_t per_second, siphash_key const& secret);

    /// Notes one request; whether it is within the limit. A bucket holds what ten seconds bring.
    bool admit(ip_address const& from, time_point now);

private:
    struct bucket {
        std::uint32_t left;  // requests, times `parts`
        std::uint32_t seen;  // milliseconds since the first call
    };
    void refill(bucket& of, std::uint32_t now) const noexcept;

    std::uint32_t per_second_;
    siphash_key secret_;
    time_point start_{};
    bool is_started_ = false;
    std::vector<bucket> buckets_;
};
}  // namespace shoal::hub
