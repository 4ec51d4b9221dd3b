#pragma once
// Runs of a store on a simulated disk. Include it last: it imports.
#include "fixture.hpp"

namespace fixture {
inline std::unique_ptr<store::chunk_store> open_on(std::shared_ptr<store::simulated_disk> const& disk,
                                                   sample const& content, bool preallocate = false) {
    store::store_settings settings;
    settings.preallocate = preallocate;
    auto opened = store::chunk_store::open(content.torrent, settings, std::make_shared<store::simulated_files>(disk));
    return opened ? std::move(opened.value()) : nullptr;
}

/// Once through the pieces: what is missing is received, until something fails. Syncs every other piece.
inline bool go_through(store::chunk_store& into, sample const& content) {
    for (std::uint32_t piece = 0; piece < content.count(); ++piece) {
        if (into.is_held(piece_index{piece})) continue;
        auto const there = into.check_piece(piece_index{piece});
        if (!there) return false;
        if (!there.value()) {
            auto const right = receive(into, content, piece);
            if (!right || !right.value()) return false;
        }
        if (piece % 2 == 1 && !into.sync()) return false;
        if (!into.complete_files()) return false;
    }
    return into.complete_files().has_value();
}

/// One run of a peer, until all is there or something fails. What is lost on the way is received again.
inline bool run(store::chunk_store& into, sample const& content) {
    if (!into.load()) return false;
    do {
        if (!go_through(into, content)) return false;
    } while (!into.take_lost().empty());
    return into.close().has_value();
}

inline bool is_on(store::simulated_disk const& disk, sample const& content) {
    auto const& files = content.torrent->content().files();
    for (std::uint32_t i = 0; i < files.size(); ++i)
        if (!files[i].pad && disk.content(std::to_string(i)) != content.files.at(files[i].joined())) return false;
    return true;
}

inline sample small_sample() {
    return make_sample({{"a", 40'000}, {"b", 0}, {"c", 90'000}}, metainfo::format::v1, 16384);
}
}  // namespace fixture
