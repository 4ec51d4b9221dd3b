module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

module shoal.dht;
import shoal.core;

namespace shoal::dht {
namespace {
/// Counts, nearest first, the nodes that matter to a search: the nearest of all, where everybody looks, and the nearest
/// of those whose id is that of their address. Who has few addresses can take all places of the first, having any ids
/// that he likes, and hardly one of the second (class H3). Source: BEP 42, "enforcement".
class nearest {
public:
    bool takes(contact const& who) {
        bool const is_of_all = all_ < bucket_size;
        bool const is_of_tied = tied_ < bucket_size && is_tied(who.id, who.at.address);
        all_ += is_of_all;
        tied_ += is_of_tied;
        return is_of_all || is_of_tied;
    }

private:
    std::size_t all_ = 0, tied_ = 0;
};
}  // namespace

void search::add(contact const& who) {
    if (std::ranges::any_of(candidates_, [&](candidate const& each) { return each.who.at == who.at; })) return;
    bool const counts = !who.at.address.is_loopback();
    if (counts && customers_.contains(who.at.address.customer())) return;
    auto const behind = std::ranges::find_if(
        candidates_, [&](candidate const& each) { return is_nearer(target_, who.id, each.who.id); });
    if (candidates_.size() >= search_candidates_max) {
        if (behind == candidates_.end()) return;
        auto const index = behind - candidates_.begin();
        auto const last = std::ranges::find_if(candidates_.rbegin(), candidates_.rend(),
                                               [](candidate const& each) { return each.is != progress::asked; });
        if (last == candidates_.rend() || candidates_.rend() - last <= index) return;
        customers_.erase(last->who.at.address.customer());
        candidates_.erase(std::next(last).base());
        candidates_.insert(candidates_.begin() + index, {who});
    } else {
        candidates_.insert(behind, {who});
    }
    if (counts) customers_.insert(who.at.address.customer());
}

std::optional<contact> search::next(time_point now) {
    if (queries_ >= search_queries_max) return std::nullopt;
    std::size_t busy = 0;
    nearest near;
    for (auto const& each : candidates_)
        if (each.is == progress::asked && now - each.asked < query_slow_after) ++busy;
    if (busy >= search_width) return std::nullopt;
    for (auto& each : candidates_) {
        bool const is_slow = each.is == progress::asked && now - each.asked >= query_slow_after;
        if (each.is == progress::failed || is_slow || !near.takes(each.who)) continue;
        if (each.is != progress::fresh) continue;
        each.is = progress::asked;
        each.asked = now;
        ++queries_;
        return each.who;
    }
    return std::nullopt;
}

/// Its place is free for another node of the same customer, which may be the true one.
void search::fail(candidate& which) {
    which.is = progress::failed;
    customers_.erase(which.who.at.address.customer());
}

void search::answered(contact const& who, std::optional<byte_view> token) {
    auto const found = std::ranges::find_if(candidates_, [&](candidate const& each) { return each.who.at == who.at; });
    if (found == candidates_.end() || found->is == progress::answered) return;
    if (found->who.id != who.id) return fail(*found);
    found->is = progress::answered;
    ++answers_;
    if (!token) return;
    found->token.assign(token->begin(), token->end());
    found->has_token = true;
}

void search::silent(endpoint const& who) {
    auto const found = std::ranges::find_if(candidates_, [&](candidate const& each) { return each.who.at == who; });
    if (found != candidates_.end() && found->is == progress::asked) fail(*found);
}

bool search::is_over() const {
    nearest near;
    for (auto const& each : candidates_) {
        if (each.is == progress::failed || !near.takes(each.who)) continue;
        if (each.is == progress::asked) return false;
        if (each.is == progress::fresh && queries_ < search_queries_max) return false;
    }
    return true;
}

time_point search::deadline(time_point now) const {
    auto first = time_point::max();
    for (auto const& each : candidates_)
        if (auto const slow = each.asked + query_slow_after; each.is == progress::asked && slow > now)
            first = std::min(first, slow);
    return first;
}

std::vector<std::pair<contact, byte_vector>> search::storers() const {
    std::vector<std::pair<contact, byte_vector>> all;
    nearest near;
    for (auto const& each : candidates_)
        if (each.has_token && near.takes(each.who)) all.emplace_back(each.who, each.token);
    return all;
}

bool search::is_new(endpoint const& peer) {
    return found_.size() < found_max && found_.insert(peer).second;
}
}  // namespace shoal::dht
