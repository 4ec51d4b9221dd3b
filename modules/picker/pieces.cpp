module;
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

module shoal.picker;

namespace shoal::picker {
picker::picker(picker_settings settings)
    : settings_(std::move(settings)),
      piece_count_(settings_.piece_length == 0
                       ? 0
                       : static_cast<std::uint32_t>((settings_.total_size + settings_.piece_length - 1) /
                                                    settings_.piece_length)),
      missing_count_(piece_count_),
      random_(settings_.seed),
      have_(piece_count_),
      wanted_(piece_count_, true),
      failed_(piece_count_),
      fresh_(piece_count_, random_.next()),
      begun_(piece_count_, none) {
    for (std::uint32_t piece = 0; piece < piece_count_; ++piece) {
        fresh_.list(piece);
        bytes_left_ += needed_size(piece_index{piece});
    }
}

std::uint32_t picker::piece_size(piece_index piece) const noexcept {
    auto const number = to_number(piece);
    if (number >= piece_count_) return 0;
    auto const begin = std::uint64_t{number} * settings_.piece_length;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(settings_.piece_length, settings_.total_size - begin));
}

std::uint32_t picker::needed_size(piece_index piece) const noexcept {
    auto const number = to_number(piece);
    return piece_size(piece) - (number < settings_.padding.size() ? settings_.padding[number] : 0);
}

std::uint32_t picker::needed_size(block_ref block) const noexcept {
    auto const of_piece = needed_size(block.piece);
    return std::min(block.length, of_piece - std::min(block.begin, of_piece));
}

std::uint32_t picker::needed_blocks(piece_index piece) const noexcept {
    return (needed_size(piece) + block_length - 1) / block_length;
}

std::uint32_t picker::availability(piece_index piece) const noexcept {
    return to_number(piece) < piece_count_ ? fresh_.availability(to_number(piece)) + seed_count_ : 0;
}

bool picker::is_missing(std::uint32_t piece) const noexcept {
    return wanted_.test(piece_index{piece}) && !have_.test(piece_index{piece});
}

void picker::set_have(piece_index index) {
    auto const piece = to_number(index);
    if (piece >= piece_count_ || have_.test(index)) return;
    if (is_missing(piece)) piece_left_missing(piece);
    have_.set(index);
    failed_.set(index, false);
    if (progress_of(piece) != nullptr) end_piece(piece);
    fresh_.unlist(piece);
    std::erase_if(deadlines_, [piece](auto const& entry) { return entry.second == piece; });
    std::erase_if(reserved_, [piece](auto const& entry) { return entry.first == piece; });
}

void picker::set_wanted(piece_index index, bool is_wanted) {
    auto const piece = to_number(index);
    if (piece >= piece_count_ || !wanted_.set(index, is_wanted) || have_.test(index)) return;
    if (is_wanted) {
        piece_became_missing(piece);
    } else {
        piece_left_missing(piece);
    }
    if (progress_of(piece) != nullptr) {
        refresh_open(piece);
        drop_if_untouched(piece);
    } else if (is_wanted) {
        list_fresh(piece);
    } else {
        fresh_.unlist(piece);
    }
}

void picker::piece_failed(piece_index index) {
    auto const piece = to_number(index);
    if (piece >= piece_count_) return;
    if (have_.set(index, false)) {
        if (wanted_.test(index)) piece_became_missing(piece);
    } else if (progress_of(piece) != nullptr) {
        end_piece(piece);
        failed_.set(index);
    }
    list_fresh(piece);
}

void picker::set_deadline(piece_index index, time_point at) {
    auto const piece = to_number(index);
    if (piece >= piece_count_ || have_.test(index)) return;
    std::erase_if(deadlines_, [piece](auto const& entry) { return entry.second == piece; });
    auto const entry = std::pair{at, piece};
    deadlines_.insert(std::ranges::upper_bound(deadlines_, entry), entry);
}

void picker::clear_deadlines() {
    deadlines_.clear();
}

void picker::reserve(piece_index index, peer_slot peer) {
    auto const piece = to_number(index);
    if (piece >= piece_count_ || have_.test(index) || find(peer) == nullptr) return;
    std::erase_if(reserved_, [piece](auto const& entry) { return entry.first == piece; });
    reserved_.emplace_back(piece, peer);
    fresh_.unlist(piece);
}

void picker::release(piece_index index) {
    auto const piece = to_number(index);
    if (piece >= piece_count_) return;
    std::erase_if(reserved_, [piece](auto const& entry) { return entry.first == piece; });
    if (progress_of(piece) == nullptr) list_fresh(piece);
}

peer_slot picker::reserved_for(std::uint32_t piece) const noexcept {
    for (auto const& [reserved, holder] : reserved_)
        if (reserved == piece) return holder;
    return no_peer;
}

void picker::list_fresh(std::uint32_t piece) {
    if (is_missing(piece) && reserved_for(piece) == no_peer) fresh_.list(piece);
}

void picker::piece_left_missing(std::uint32_t piece) {
    --missing_count_;
    bytes_left_ -= needed_size(piece_index{piece});
    for (auto& peer : peers_) {
        if (!peer.is_seed && peer_has_piece(peer, piece)) --peer.missing_count;
    }
}

void picker::piece_became_missing(std::uint32_t piece) {
    ++missing_count_;
    bytes_left_ += needed_size(piece_index{piece});
    for (auto& peer : peers_) {
        if (!peer.is_seed && peer_has_piece(peer, piece)) ++peer.missing_count;
    }
}

piece_progress* picker::progress_of(std::uint32_t piece) noexcept {
    return begun_[piece] == none ? nullptr : &progress_[begun_[piece]];
}

piece_progress const* picker::progress_of(std::uint32_t piece) const noexcept {
    return begun_[piece] == none ? nullptr : &progress_[begun_[piece]];
}

piece_progress& picker::begin_piece(std::uint32_t piece) {
    // All memory first; with room for each begun piece among the open ones, whatever ends takes none.
    auto& begun = progress_.emplace_back(piece, needed_blocks(piece_index{piece}));
    try {
        open_.reserve(progress_.capacity());
    } catch (...) {
        progress_.pop_back();
        throw;
    }
    fresh_.unlist(piece);
    begun_[piece] = static_cast<std::uint32_t>(progress_.size() - 1);
    return begun;
}

void picker::end_piece(std::uint32_t piece) {
    auto const at = begun_[piece];
    auto& ended = progress_[at];
    for (std::uint32_t block = 0; block < ended.block_count(); ++block) {
        for (auto const asker : ended.askers(block)) --find(asker)->outstanding;
    }
    for (auto& peer : peers_) {
        if (peer.current == piece) peer.current = none;
    }
    close(ended);
    begun_[piece] = none;
    if (at + 1 != progress_.size()) {
        progress_[at] = std::move(progress_.back());
        begun_[progress_[at].piece()] = at;
    }
    progress_.pop_back();
}

void picker::drop_if_untouched(std::uint32_t piece) {
    if (!progress_of(piece)->is_untouched()) return;
    end_piece(piece);
    list_fresh(piece);
}

void picker::refresh_open(std::uint32_t piece) {
    auto& begun = *progress_of(piece);
    auto const should_be = begun.free_count() > 0 && is_missing(piece);
    if (should_be == (begun.open_at != none)) return;
    if (!should_be) return close(begun);
    begun.open_at = static_cast<std::uint32_t>(open_.size());
    open_.push_back(piece);
}

void picker::close(piece_progress& begun) {
    if (begun.open_at == none) return;
    auto const moved = open_.back();
    open_[begun.open_at] = moved;
    progress_of(moved)->open_at = begun.open_at;
    open_.pop_back();
    begun.open_at = none;
}
}  // namespace shoal::picker
