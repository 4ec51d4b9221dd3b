module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "core/try.hpp"

module shoal.wire;
import shoal.bencode;
import shoal.core;

namespace shoal::wire {
namespace {
/// Under which id the peer sends us metadata.
constexpr std::uint8_t own_metadata_id = 1;
/// The dictionary before the data of a piece has some 45 bytes; a longer one than this is none of BEP 9.
constexpr std::size_t message_length_max = metadata_piece_length + 1024;
constexpr std::size_t prefix_length = 6;  // length, message id, extension id
}  // namespace

byte_vector encode(metadata_message const& from) {
    bencode::encoder out;
    out.dictionary().entry("msg_type", static_cast<std::int64_t>(from.what)).entry("piece", std::int64_t{from.piece});
    if (from.total_size) out.entry("total_size", std::int64_t{*from.total_size});
    auto bytes = out.end().take();
    bytes.insert(bytes.end(), from.data.begin(), from.data.end());
    return bytes;
}

std::optional<metadata_message> parse_metadata_message(byte_view payload) {
    auto const read = bencode::decode_prefix(payload, bencode::lenient_message);
    if (!read || !read.value().root().is_dictionary()) return std::nullopt;
    auto const root = read.value().root();
    auto const kind = root.find_integer("msg_type");
    auto const piece = root.find_integer("piece");
    if (!kind || *kind < 0 || *kind > 2 || !piece || *piece < 0 || *piece > UINT32_MAX) return std::nullopt;
    metadata_message message{static_cast<metadata_message::kind>(*kind), static_cast<std::uint32_t>(*piece)};
    auto const total = root.find_integer("total_size");
    if (total && *total >= 0 && *total <= UINT32_MAX) message.total_size = static_cast<std::uint32_t>(*total);
    if (message.what == metadata_message::kind::data) message.data = payload.subspan(root.encoded().size());
    return message;
}

std::uint32_t metadata_piece_size(std::uint32_t size, std::uint32_t piece) noexcept {
    auto const begin = std::uint64_t{piece} * metadata_piece_length;
    return begin >= size ? 0 : static_cast<std::uint32_t>(std::min<std::uint64_t>(size - begin, metadata_piece_length));
}

metadata_exchange::metadata_exchange(metadata_settings settings, time_point now)
    : settings_(std::move(settings)), deadline_(now + metadata_patience) {
    extension_handshake_message ours;
    ours.m.emplace(metadata_extension, own_metadata_id);
    if (!settings_.client.empty()) ours.v = settings_.client;
    if (settings_.port != 0) ours.p = settings_.port;
    ours.yourip = settings_.remote;
    send(0, encode(ours));
}

void metadata_exchange::send(std::uint8_t id, byte_view payload) {
    std::array<std::byte, prefix_length> head{};
    store_be(mutable_byte_view{head}, static_cast<std::uint32_t>(payload.size() + 2));
    head[4] = static_cast<std::byte>(message::extended);
    head[5] = std::byte{id};
    out_.insert(out_.end(), head.begin(), head.end());
    out_.insert(out_.end(), payload.begin(), payload.end());
}

void metadata_exchange::sent(std::size_t count) {
    out_at_ += count;
    if (out_at_ < out_.size()) return;
    out_.clear();
    out_at_ = 0;
}

result<void> metadata_exchange::wake(time_point now) {
    if (now >= deadline()) return errc::silent;
    return success();
}

result<void> metadata_exchange::receive(byte_view bytes, time_point now) {
    while (!bytes.empty() && !complete()) {
        if (to_skip_ > 0) {
            auto const count = std::min(to_skip_, bytes.size());
            bytes = bytes.subspan(count);
            to_skip_ -= count;
            continue;
        }
        auto const count = std::min(wanted_ - message_.size(), bytes.size());
        message_.insert(message_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
        bytes = bytes.subspan(count);
        if (message_.size() < wanted_) break;
        SHOAL_TRY(on_header());
        if (message_.empty() || message_.size() < wanted_) continue;
        SHOAL_TRY(on_message(now));
        message_.clear();
        wanted_ = 4;
    }
    return success();
}

/// Decides, from what is known of a message so far, how much of it is kept. `message_` is empty afterwards when none
/// is.
result<void> metadata_exchange::on_header() {
    auto const length = load_be<std::uint32_t>(byte_view{message_});
    auto const skip = [&](std::size_t rest) -> result<void> {
        skipped_ += message_.size() + rest;
        if (skipped_ > metadata_skipped_max) return errc::flood;
        to_skip_ = rest;
        message_.clear();
        wanted_ = 4;
        return success();
    };
    if (length > limits{}.unknown_max) return errc::too_long;
    if (message_.size() == 4) {
        if (length < 2) return skip(length);
        wanted_ = prefix_length;
        return success();
    }
    if (message_.size() > prefix_length) return success();
    auto const rest = length - 2;
    if (message_[4] != static_cast<std::byte>(message::extended)) return skip(rest);
    auto const id = std::to_integer<std::uint8_t>(message_[5]);
    if (id != 0 && id != own_metadata_id) return skip(rest);
    if (rest > (id == 0 ? extension_handshake_length_max : message_length_max)) return errc::too_long;
    wanted_ = prefix_length + rest;
    return success();
}

result<void> metadata_exchange::on_message(time_point now) {
    auto const payload = byte_view{message_}.subspan(prefix_length);
    return message_[5] == std::byte{} ? on_handshake(payload, now) : on_metadata(payload, now);
}

result<void> metadata_exchange::on_handshake(byte_view payload, time_point now) {
    SHOAL_TRY(auto const theirs, parse_extension_handshake(payload));
    if (size_) {  // what it said first counts; a different size later is a lie
        if (theirs.metadata_size && theirs.metadata_size != size_) return errc::bad_metadata;
        return success();
    }
    auto const at = theirs.m.find(std::string{metadata_extension});
    if (at == theirs.m.end() || at->second == 0 || !theirs.metadata_size) return errc::no_metadata;
    if (*theirs.metadata_size == 0 || *theirs.metadata_size > settings_.size_max) return errc::bad_metadata;
    peer_id_ = at->second;
    size_ = theirs.metadata_size;
    deadline_ = now + metadata_patience;
    finish_by_ = deadline_ + std::chrono::seconds{*size_ / metadata_rate_min};
    ask();
    return success();
}

void metadata_exchange::ask() {
    while (in_flight_ < metadata_requests_max && pieces_.size() < piece_count()) {
        send(peer_id_,
             encode(metadata_message{metadata_message::kind::request, static_cast<std::uint32_t>(pieces_.size())}));
        pieces_.push_back({{}, true});
        ++in_flight_;
    }
}

result<void> metadata_exchange::on_metadata(byte_view payload, time_point now) {
    auto const said = parse_metadata_message(payload);
    if (!said) return errc::bad_metadata;
    if (said->what == metadata_message::kind::request) {  // it may ask; we have nothing
        skipped_ += prefix_length + payload.size();
        if (skipped_ > metadata_skipped_max || unsent().size() > 64 * metadata_requests_max) return errc::flood;
        if (peer_id_ != 0) send(peer_id_, encode(metadata_message{metadata_message::kind::reject, said->piece}));
        return success();
    }
    if (!size_ || said->piece >= pieces_.size() || !pieces_[said->piece].is_asked_for) return errc::bad_metadata;
    if (said->what == metadata_message::kind::reject) return errc::no_metadata;
    if (said->total_size && said->total_size != size_) return errc::bad_metadata;
    if (said->data.size() != metadata_piece_size(*size_, said->piece)) return errc::bad_metadata;
    auto& piece = pieces_[said->piece];
    piece.bytes.assign(said->data.begin(), said->data.end());
    piece.is_asked_for = false;
    ++pieces_had_;
    --in_flight_;
    deadline_ = now + metadata_patience;
    ask();
    return success();
}

byte_vector metadata_exchange::take() {
    byte_vector whole;
    whole.reserve(*size_);
    for (auto const& each : pieces_) whole.insert(whole.end(), each.bytes.begin(), each.bytes.end());
    pieces_.clear();
    return whole;
}
}  // namespace shoal::wire
