#include <catch2/catch.hpp>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// As a magnet link gives a torrent: its info dictionary, and so no piece layers.
sample by_link(sample of, std::string const& info) {
    of.torrent = std::make_shared<metainfo::torrent const>(metainfo::parse_info(as_bytes(info)).value());
    return of;
}
sample by_link(sample of) {
    std::string const info{as_text(of.torrent->info_bytes())};
    return by_link(std::move(of), info);
}

constexpr std::uint32_t piece_length = 32 * 1024;
/// Three files, one of them of a single piece, whose root stands in the info dictionary.
sample honest() {
    return by_link(make_sample({{"a", 2 * piece_length + 1}, {"b", 100}, {"c", 3 * piece_length + 7}},
                               metainfo::format::hybrid, piece_length));
}
/// A hybrid whose v1 half describes one content, and whose v2 half, in its file `a` alone, another.
sample lie() {
    auto of = honest();
    auto info = std::string{as_text(of.torrent->info_bytes())};
    auto const root = of.torrent->content().files()[of.number_of("a")].pieces_root->view();
    auto const at = info.find(as_text(root));
    info[at] = static_cast<char>(info[at] + 1);
    return by_link(std::move(of), info);
}
}  // namespace

TEST_CASE("without piece layers a hybrid is complete when its files have their merkle roots", "[store]") {
    auto const content = honest();
    REQUIRE_FALSE(content.torrent->has_piece_roots());
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    download(content, settings);
    CHECK(content.is_in(settings.directory));
    auto const disk = open_store(content, settings);
    CHECK(disk->load().value().all());  // without reading it again
}

TEST_CASE("without piece layers the last piece of a file is refused where its merkle root is another", "[store]") {
    auto const kind = GENERATE(store::back_end::mapped, store::back_end::plain);
    auto const content = lie();
    auto const pieces = content.torrent->content().pieces_of(content.number_of("a"));
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path(), kind));
    // In any order: which piece comes last shows it, however often.
    std::uint32_t const last = pieces.first + 1;
    for (std::uint32_t piece = 0; piece < content.count(); ++piece)
        if (piece != last) CHECK(receive(*disk, content, piece).value());
    CHECK(receive(*disk, content, last).error() == store::errc::hashes_disagree);
    CHECK(receive(*disk, content, last).error() == store::errc::hashes_disagree);
    CHECK(disk->check_piece(piece_index{last}).error() == store::errc::hashes_disagree);
    CHECK_FALSE(disk->is_held(piece_index{last}));
    REQUIRE(disk->complete_files());
    CHECK_FALSE(disk->is_complete(content.number_of("a")));
    CHECK(disk->is_complete(content.number_of("b")));
    CHECK(disk->is_complete(content.number_of("c")));
}

TEST_CASE("content that is there already is compared with its merkle roots too", "[store]") {
    auto const content = lie();
    temporary_folder folder;
    auto settings = settings_in(folder.path());
    settings.writable = false;
    content.place(settings.directory);
    auto const pieces = content.torrent->content().pieces_of(content.number_of("a"));
    auto const last = piece_index{pieces.first + pieces.count - 1};
    for (auto const is_trusted : {false, true}) {
        auto const disk = open_store(content, settings);
        auto const check = [&](piece_index piece) {
            return is_trusted ? disk->trust_piece(piece) : disk->check_piece(piece);
        };
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            if (piece_index{piece} != last) CHECK(check(piece_index{piece}).value());
        CHECK(check(last).error() == store::errc::hashes_disagree);
        CHECK_FALSE(disk->is_held(last));
        CHECK(disk->recheck(piece_index{pieces.first}).value());  // which it held before stays
    }
}

TEST_CASE("after a start the pieces of an incomplete file without its layer are read again", "[store]") {
    auto const content = GENERATE(lie(), honest());
    bool const is_lie = content.torrent->info_hash_v1() != honest().torrent->info_hash_v1();
    auto const pieces = content.torrent->content().pieces_of(content.number_of("a"));
    auto const last = pieces.first + pieces.count - 1;
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    {
        auto const disk = open_store(content, settings);
        for (std::uint32_t piece = 0; piece < content.count(); ++piece)
            if (piece != last) REQUIRE(receive(*disk, content, piece).value());
        REQUIRE(disk->complete_files());
        REQUIRE(disk->close());
    }
    auto const disk = open_store(content, settings);
    auto const claimed = disk->load().value();
    for (std::uint32_t piece = 0; piece < content.count(); ++piece) {
        bool const is_of_a = piece >= pieces.first && piece <= last;
        CHECK(claimed.test(piece_index{piece}) == !is_of_a);
        if (is_of_a && piece != last) CHECK(disk->check_piece(piece_index{piece}).value());
    }
    auto const finished = receive(*disk, content, last);
    REQUIRE(finished.has_value() == !is_lie);
    if (is_lie) CHECK(finished.error() == store::errc::hashes_disagree);
    REQUIRE(disk->complete_files());
    CHECK(disk->is_complete(content.number_of("a")) == !is_lie);
}

TEST_CASE("a piece is judged by both halves of a hybrid, and by the one that a torrent has", "[store]") {
    auto const changed = [](sample of, std::size_t at, std::byte by = std::byte{1}) {
        of.linear[at] ^= by;
        return of;
    };
    auto const layered = [](metainfo::format format) {
        return make_sample({{"a", 2 * piece_length}, {"b", 100}, {"c", 3 * piece_length + 7}}, format, piece_length);
    };
    for (auto const format : {metainfo::format::v1, metainfo::format::v2, metainfo::format::hybrid}) {
        auto const content = layered(format);
        temporary_folder folder;
        auto const disk = open_store(content, settings_in(folder.path()));
        for (std::uint32_t piece = 0; piece < content.count(); ++piece) {
            auto const& pieces = content.torrent->pieces();
            auto const begin = pieces.offset_of(piece_index{piece});
            INFO("format " << static_cast<int>(format) << ", piece " << piece);
            CHECK_FALSE(receive(*disk, changed(content, begin), piece).value());
            CHECK_FALSE(disk->is_held(piece_index{piece}));
            CHECK(receive(*disk, content, piece).value());
        }
    }
    // Pad bytes are of the v1 half alone: who spoils them is a liar, and the torrent is none.
    auto const content = layered(metainfo::format::hybrid);
    auto const number = content.number_of("b");
    auto const piece = content.torrent->content().pieces_of(number).first;
    temporary_folder folder;
    auto const disk = open_store(content, settings_in(folder.path()));
    auto const pad = content.torrent->content().files()[number].offset + 200;
    CHECK_FALSE(receive(*disk, changed(content, pad), piece).value());
    CHECK(receive(*disk, content, piece).value());
}

TEST_CASE("a piece that only one half of a hybrid calls right shows that the torrent contradicts itself", "[store]") {
    auto const content = honest();
    std::string const info{as_text(content.torrent->info_bytes())};
    auto const number = content.number_of("b");  // whose root stands in the info dictionary
    auto const piece = content.torrent->content().pieces_of(number).first;
    // The v2 half is another's: of `b`; the v1 half is another's: of a whole piece, the only one of a file.
    auto v2_wrong = info, v1_wrong = info;
    v2_wrong[info.find(as_text(content.torrent->content().files()[number].pieces_root->view()))] ^= 1;
    temporary_folder one, other;
    {
        auto const disk = open_store(by_link(content, v2_wrong), settings_in(one.path()));
        CHECK(receive(*disk, content, piece).error() == store::errc::hashes_disagree);
        CHECK_FALSE(disk->is_held(piece_index{piece}));
    }
    {  // nor is it when it is there already
        auto settings = settings_in(one.path());
        settings.writable = false;
        content.place(settings.directory);
        auto const disk = open_store(by_link(content, v2_wrong), settings);
        CHECK_FALSE(disk->check_piece(piece_index{piece}).value());
        CHECK_FALSE(disk->is_held(piece_index{piece}));
    }
    auto const whole = by_link(make_sample({{"a", piece_length}, {"b", 1}}, metainfo::format::hybrid, piece_length));
    v1_wrong = std::string{as_text(whole.torrent->info_bytes())};
    v1_wrong[v1_wrong.find(as_text(whole.torrent->piece_hash(piece_index{0}).view()))] ^= 1;
    auto const disk = open_store(by_link(whole, v1_wrong), settings_in(other.path()));
    CHECK(receive(*disk, whole, 0).error() == store::errc::hashes_disagree);
    CHECK_FALSE(disk->is_held(piece_index{0}));
}

TEST_CASE("what has no hash is neither right nor wrong", "[store]") {
    auto const content = by_link(make_sample({{"a", 3 * piece_length}}, metainfo::format::v2, piece_length));
    temporary_folder folder;
    auto const settings = settings_in(folder.path());
    content.place(settings.directory);
    auto const disk = open_store(content, settings);
    CHECK(disk->check_piece(piece_index{0}).error() == store::errc::no_hash);
    CHECK_FALSE(disk->is_held(piece_index{0}));

    temporary_folder elsewhere;
    auto const empty = open_store(content, settings_in(elsewhere.path()));
    CHECK(receive(*empty, content, 0).error() == store::errc::no_hash);
    CHECK_FALSE(empty->is_held(piece_index{0}));
}
