module;
#include <cstddef>
#include <optional>
#include <utility>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
void open_requests::add(open_request const& request) {
    // A request that is never answered must not keep all later ones here.
    if (rows_.size() >= 64 && rows_.size() > 2 * (wanted_ + cancelled_)) compact();
    rows_.push(request);
    rows_.back().now = open_request::state::wanted;
    ++wanted_;
}

std::optional<open_request> open_requests::answer(block_ref const& ref) {
    if (auto* found = find(ref, open_request::state::wanted)) return remove(*found);
    if (auto* found = find(ref, open_request::state::cancelled)) return remove(*found);
    return std::nullopt;
}

std::optional<open_request> open_requests::reject(block_ref const& ref) {
    if (auto* found = find(ref, open_request::state::cancelled)) return remove(*found);
    if (auto* found = find(ref, open_request::state::wanted)) return remove(*found);
    return std::nullopt;
}

bool open_requests::cancel(block_ref const& ref) {
    auto* const found = find(ref, open_request::state::wanted);
    if (!found) return false;
    found->now = open_request::state::cancelled;
    found->destination = nullptr;
    --wanted_;
    ++cancelled_;
    return true;
}

open_request const* open_requests::next_wanted(std::size_t& from) const {
    while (from < rows_.size()) {
        auto const& row = rows_[from++];
        if (row.now == open_request::state::wanted) return &row;
    }
    return nullptr;
}

std::optional<open_request> open_requests::take_first() {
    if (rows_.empty()) return std::nullopt;
    return remove(rows_.front());
}

open_request const* open_requests::find(block_ref const& ref, open_request::state in) const {
    if (in == open_request::state::cancelled && cancelled_ == 0) return nullptr;
    for (std::size_t i = 0; i < rows_.size(); ++i)
        if (rows_[i].now == in && rows_[i].ref == ref) return &rows_[i];
    return nullptr;
}

open_request* open_requests::find(block_ref const& ref, open_request::state in) {
    return const_cast<open_request*>(std::as_const(*this).find(ref, in));
}

open_request open_requests::remove(open_request& which) {
    auto const taken = which;
    --(which.now == open_request::state::wanted ? wanted_ : cancelled_);
    which.now = open_request::state::done;
    while (!rows_.empty() && rows_.front().now == open_request::state::done) rows_.pop();
    return taken;
}

void open_requests::compact() {
    for (auto left = rows_.size(); left > 0; --left) {
        auto const row = rows_.pop();
        if (row.now != open_request::state::done) rows_.push(row);
    }
}
}  // namespace shoal::wire
