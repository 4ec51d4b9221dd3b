module;
#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "core/try.hpp"

module shoal.wire;
import shoal.core;

namespace shoal::wire {
std::size_t connection::prepare(std::span<mutable_byte_view> places) {
    assert(!places.empty());
    auto const room = std::min(places.size(), 2 * aimed_blocks_max + 2);
    aims_.clear();
    auto const aim_at = [this](mutable_byte_view place, aim::use as = aim::use::own, block_ref const& expected = {}) {
        aims_.push_back({.place = place, .as = as, .expected = expected});
    };

    if (inbox_.size() < inbox_wanted_) inbox_.resize(inbox_wanted_);
    auto inbox = mutable_byte_view{inbox_};
    bool is_known = true;  // what comes after the last place
    if (part_ == part::body) {
        body_.resize(body_have_ + std::min(left_, body_step));
        aim_at(mutable_byte_view{body_}.subspan(body_have_));
        is_known = left_ <= body_step;
    } else if (part_ == part::skipped) {
        aim_at(inbox.first(std::min(left_, inbox.size())));
        is_known = left_ <= inbox.size();
        inbox = inbox.subspan(aims_[0].place.size());
    } else if (part_ == part::block) {
        auto const length = arriving_->ref.length;
        aim_at({arriving_->destination + (length - left_), left_}, aim::use::destination);
    } else if (header_want_ > 5 && message_ != message::piece) {
        aim_at(mutable_byte_view{header_}.subspan(header_have_, header_want_ - header_have_));
        aim_at(inbox);
        is_known = false;
    }

    std::size_t from = 0;
    for (std::size_t block = 0; is_known && block < aimed_blocks_ && aims_.size() + 2 <= room; ++block) {
        auto const* const next = requests_.next_wanted(from);
        if (!next) break;
        if (block == 0 && headers_.size() < aimed_blocks_) headers_.resize(aimed_blocks_);
        auto head = mutable_byte_view{headers_[block]};
        if (block == 0 && part_ == part::header)
            head = mutable_byte_view{header_}.subspan(header_have_, block_header_length - header_have_);
        aim_at(head, aim::use::header, next->ref);
        aim_at({next->destination, next->ref.length}, aim::use::destination);
    }
    if (is_known && aims_.size() < room && !inbox.empty()) aim_at(inbox);

    aims_.resize(std::min(aims_.size(), room));
    aimed_bytes_ = 0;
    for (std::size_t i = 0; i < aims_.size(); ++i) {
        places[i] = aims_[i].place;
        aimed_bytes_ += places[i].size();
    }
    return aims_.size();
}

result<void> connection::commit(std::size_t count, time_point now) {
    begin_input(count, now);
    if (count >= aimed_bytes_) inbox_wanted_ = inbox_most;
    std::size_t at = 0;
    if (part_ != part::header && count > 0) {
        auto const taken = took_in_place(std::min(count, aims_[0].place.size()), now);
        count -= taken;
        at = 1;
        if (left_ == 0) {
            SHOAL_TRY(end_part(now));
        }
    }
    std::size_t expected = 0;
    while (count > 0 && at < aims_.size()) {
        auto const& head = aims_[at];
        if (head.as != aim::use::header || count < head.place.size()) break;
        auto const* const request = stands_as_expected(head, at) ? requests_.wanted(head.expected) : nullptr;
        if (!request || request->destination != aims_[at + 1].place.data()) {
            aimed_blocks_ = std::max(aimed_blocks_ / 2, aimed_blocks_min);
            break;
        }
        begin_header();
        begin_block(*requests_.answer(head.expected));
        ++counters_.predicted;
        count -= head.place.size();
        count -= took_in_place(std::min(count, left_), now);
        if (left_ > 0) break;
        SHOAL_TRY(end_part(now));
        ++expected;
        at += 2;
    }
    if (expected >= aimed_blocks_) aimed_blocks_ = std::min(2 * aimed_blocks_, aimed_blocks_max);
    if (count == 0) return end_input(success());

    source rest{std::span{aims_}.subspan(at), count, settings_.copy};
    return end_input(parse(rest, now));
}

result<void> connection::receive(byte_view bytes, time_point now) {
    begin_input(bytes.size(), now);
    source from{bytes, settings_.copy};
    return end_input(parse(from, now));
}

void connection::begin_input(std::size_t count, time_point now) {
    payloads_.clear();
    counters_.protocol_received += count;
    if (count > 0) last_received_ = now;
    if (outbox_.size() > 0 && !waiting_since_) waiting_since_ = now;
}

result<void> connection::end_input(result<void> so_far) {
    aims_.clear();
    // The spill of a few blocks is kept, since whoever needed it will need it again.
    if (spill_.capacity() > (aimed_blocks_min + 1) * block_length) spill_ = {};
    if (so_far && outbox_.own_size() > settings_.limits.unsent_max) return errc::never_reads;
    return so_far;
}

bool connection::stands_as_expected(aim const& head, std::size_t which) const {
    // The first header stands in header_, where it may have been begun before.
    auto const bytes = which == 0 ? byte_view{header_}.first(block_header_length) : byte_view{head.place};
    return load_be<std::uint32_t>(bytes) == 9 + head.expected.length &&
           bytes[4] == static_cast<std::byte>(message::piece) &&
           load_be<std::uint32_t>(bytes.subspan(5)) == to_number(head.expected.piece) &&
           load_be<std::uint32_t>(bytes.subspan(9)) == head.expected.begin;
}

/// `count` bytes, at most `left_`, stand where they belong; returns `count`.
std::size_t connection::took_in_place(std::size_t count, time_point now) {
    left_ -= count;
    if (part_ == part::body) body_have_ += count;
    if (part_ == part::block) {
        counters_.payload_received += count;
        counters_.protocol_received -= count;
        download_rate_.add(count, now);
    }
    return count;
}

/// All of the block, the body or what is skipped has come.
result<void> connection::end_part(time_point now) {
    auto const ended = std::exchange(part_, part::header);
    begin_header();
    if (ended == part::body) {
        body_have_ = 0;
        auto answer = on_message(body_, now);
        if (body_.capacity() > 4 * body_step) body_ = {};
        return answer;
    }
    if (!arriving_) return success();
    auto const request = *std::exchange(arriving_, std::nullopt);
    last_block_ = now;
    snubbed_ = false;
    pipeline_.delivered(request.ref.length, request.asked, request.delivered_then, now);
    emit(event::block{.ref = request.ref, .direct = ended == part::block});
    return success();
}

result<void> connection::parse(source& from, time_point now) {
    while (from.left() > 0) {
        SHOAL_TRY(part_ == part::header ? pull_header(from, now) : pull_part(from, now));
    }
    return success();
}

result<void> connection::pull_header(source& from, time_point now) {
    auto const count = std::min(from.left(), header_want_ - header_have_);
    if (!from.take(header_.data() + header_have_, count)) return errc::dead_destination;
    header_have_ += count;
    if (header_have_ < header_want_) return success();

    if (header_want_ == 4) {
        if (load_be<std::uint32_t>(header_) != 0) {
            header_want_ = 5;
            return success();
        }
        begin_header();
        if (!idle_messages_.take(now)) return errc::flood;
        emit(event::keep_alive{});
        return success();
    }
    if (header_want_ == 5) return on_message_start(now);
    if (message_ == message::piece) return on_block_header(from);
    if (message_ == message::extended) return on_extension_id(now);
    auto const payload = byte_view{header_}.first(header_have_).subspan(5);
    begin_header();
    return on_message(payload, now);
}

result<void> connection::pull_part(source& from, time_point now) {
    auto const count = std::min(from.left(), left_);
    if (part_ == part::skipped) {
        from.skip(count);
    } else if (part_ == part::body) {
        body_.resize(body_have_ + count);
        if (!from.take(body_.data() + body_have_, count)) return errc::dead_destination;
    } else {
        auto* const to = arriving_->destination + (arriving_->ref.length - left_);
        switch (from.take_to_destination(to, count)) {
            case source::moved::all:
                break;
            case source::moved::target_dead:
                part_ = part::skipped;
                break;  // arriving_ stays: the driver is told
            case source::moved::source_dead:
                return errc::dead_destination;
        }
    }
    took_in_place(count, now);
    return left_ == 0 ? end_part(now) : success();
}

void connection::begin_header() noexcept {
    header_have_ = 0;
    header_want_ = 4;
}

void connection::begin_block(open_request const& request) {
    phase_ = phase::talking;
    part_ = part::block;
    left_ = request.ref.length;
    arriving_ = request;
}

void connection::begin_skip(std::size_t count) {
    begin_header();
    part_ = count > 0 ? part::skipped : part::header;
    left_ = count;
    arriving_.reset();
}
}  // namespace shoal::wire
