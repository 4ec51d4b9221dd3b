module;
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

module shoal.session;
import shoal.bencode;
import shoal.core;

namespace shoal::session {
namespace {
using bencode::encoder;

std::int64_t number(std::uint64_t value) {
    return static_cast<std::int64_t>(value);
}

byte_vector compact(endpoint const& at) {
    byte_vector bytes;
    byte_writer{bytes}.bytes(at.address.bytes()).be(at.port);
    return bytes;
}

/// Pieces as ranges, `first, count, first, count ...`: what arrives in order costs little.
void pieces(encoder& out, std::string_view key, std::vector<piece_index> const& all) {
    if (all.empty()) return;
    out.key(key).list();
    for (std::size_t i = 0; i < all.size();) {
        auto const first = to_number(all[i]);
        std::uint32_t count = 1;
        while (i + count < all.size() && to_number(all[i + count]) == first + count) ++count;
        out.integer(first).integer(count);
        i += count;
    }
    out.end();
}

struct writer {
    encoder out;

    encoder& begin(kind what) { return out.dictionary().entry(key::kind, name_of(what)); }
    encoder& about(kind what, info_hash const& torrent) { return begin(what).entry(key::torrent, torrent.view()); }
    void totals(std::uint64_t uploaded, std::uint64_t downloaded) {
        out.entry(key::uploaded, number(uploaded)).entry(key::downloaded, number(downloaded));
    }
    void have(bitfield const& pieces) {
        out.entry(key::have, byte_view{pieces.wire_bytes()}).entry(key::piece_count, std::int64_t{pieces.size()});
    }

    void operator()(hello const& from) {
        begin(kind::hello).entry(key::version, std::int64_t{from.version}).entry(key::id, from.id.view());
        out.entry(key::port, std::int64_t{from.port}).entry(key::client, from.client);
        if (from.resume) out.entry(key::resume, byte_view{*from.resume});
    }
    void operator()(join const& from) {
        about(kind::join, from.torrent).entry(key::size, number(from.size));
        have(from.have);
        totals(from.uploaded, from.downloaded);
    }
    void operator()(status const& from) {
        about(kind::status, from.torrent).entry(key::number, number(from.number));
        pieces(out, key::gained, from.gained);
        pieces(out, key::lost, from.lost);
        totals(from.uploaded, from.downloaded);
        out.entry(key::up_rate, number(from.up_rate)).entry(key::down_rate, number(from.down_rate));
        if (from.is_asked) out.entry(key::asked, 1);
        if (!from.serving) return;
        out.key(key::serving).list();
        for (auto const& each : *from.serving)
            out.list().bytes(compact(each.to)).integer(number(each.bytes)).integer(number(each.rate)).end();
        out.end();
    }
    void operator()(leave const& from) {
        about(kind::leave, from.torrent);
        if (from.quits) out.entry(key::quits, 1);
    }
    void operator()(ask_peers const& from) { about(kind::ask_peers, from.torrent); }
    void operator()(publish const& from) {
        about(kind::publish, from.torrent).entry(key::metainfo, byte_view{from.metainfo});
    }
    void operator()(unpublish const& from) { about(kind::unpublish, from.torrent); }

    void operator()(welcome const& from) {
        begin(kind::welcome).entry(key::version, std::int64_t{from.version});
        out.entry(key::resume, byte_view{from.resume}).entry(key::seen_as, from.seen_as.bytes());
        out.entry(key::every, std::int64_t{from.every.count()});
        out.key(key::torrents).list();
        for (auto const& each : from.torrents) out.list().bytes(each.torrent.view()).integer(number(each.number)).end();
        out.end();
    }
    void operator()(wait const& from) {
        begin(kind::wait)
            .entry(key::length, std::int64_t{from.length.count()})
            .entry(key::place, std::int64_t{from.place});
    }
    void operator()(set_member const& from) {
        out.dictionary().entry(key::at, byte_view{compact(from.at)}).entry(key::client, from.client);
        if (from.is_session) out.entry(key::session, 1);
        if (from.is_complete) out.entry(key::complete, 1);
        totals(from.uploaded, from.downloaded);
        if (from.have) have(*from.have);
        pieces(out, key::gained, from.gained);
        out.end();
    }
    void operator()(peer_set const& from) {
        about(kind::peer_set, from.torrent);
        if (from.is_whole) out.entry(key::whole, 1);
        out.key(key::peers).list();
        for (auto const& each : from.peers) (*this)(each);
        out.end().key(key::gone).list();
        for (auto const& each : from.gone) out.bytes(compact(each));
        out.end();
    }
    void operator()(done const& from) { about(kind::done, from.torrent).entry(key::what, name_of(from.what)); }
    void operator()(refused const& from) {
        about(kind::refused, from.torrent).entry(key::what, name_of(from.what)).entry(key::reason, from.reason);
    }
};

template <class Message>
byte_vector encode_any(Message const& message) {
    writer to;
    std::visit(to, message);
    return to.out.end().take();
}
}  // namespace

byte_vector encode(peer_message const& message) {
    return encode_any(message);
}
byte_vector encode(hub_message const& message) {
    return encode_any(message);
}
}  // namespace shoal::session
