#include <catch2/catch.hpp>

#include "fixture.hpp"
using namespace fixture;

TEST_CASE("a folder passes from one node to another, byte for byte", "[engine]") {
    auto const format = GENERATE(metainfo::format::v1, metainfo::format::hybrid);
    auto const content = some_content(format);
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto& seeder = here.start();
        auto& leecher = here.start();
        auto const given = co_await here.give(seeder, content, from.path());
        auto options = fetching(to.path(), {seeder.at});
        options.on_event = events.keep();
        auto const fetched = leecher.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
        auto const status = fetched->status();
        CHECK(status.state == engine::transfer_state::seeding);
        CHECK(status.bytes_left == 0);
        CHECK(status.failed_pieces == 0);
        CHECK(status.pieces_have == content.torrent->pieces().piece_count());
        CHECK(events.all<engine::event::completed>().size() == 1);
        CHECK(events.all<engine::event::piece_verified>().size() == status.pieces_have);
        CHECK(given->status().uploaded >= content.torrent->content().content_size() - 100);
        CHECK(content.is_in(from.path()));
    });
}

TEST_CASE("a hybrid whose hashes are of different bytes is given up, and blamed on nobody", "[engine]") {
    // Files of one piece each, whose hash stands in the info dictionary.
    auto const content = testing::make_content({{"a", 32 * 1024}, {"b", 32 * 1024}}, {.piece_length = 32 * 1024});
    auto const other =
        testing::make_content({{"a", 32 * 1024}, {"b", 32 * 1024}}, {.piece_length = 32 * 1024, .seed = 2});
    // The v1 hashes of one content stand in the torrent of the other.
    auto const pieces_of = [](testing::content const& of) {
        std::string const info{as_text(of.torrent->info_bytes())};
        return info.substr(info.find("6:pieces") + 8, 20 * std::size_t{of.torrent->pieces().piece_count()} + 4);
    };
    std::string info{as_text(content.torrent->info_bytes())};
    info.replace(info.find(pieces_of(content)), pieces_of(content).size(), pieces_of(other));
    std::string const whole = "d4:info" + info + "e";
    testing::content lie = content;
    auto const parsed = metainfo::parse_info(as_bytes(info));
    REQUIRE(parsed);
    lie.torrent = std::make_shared<metainfo::torrent const>(parsed.value());
    testing::temporary_folder from, to;
    lie.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto& leecher = here.start();
        auto options = giving(from.path());
        options.is_hashed = true;  // as one who looks at the v2 hashes alone
        (void)seeder.node->add(lie.torrent, std::move(options)).value();
        happenings seen;
        auto fetch = fetching(to.path(), {seeder.at});
        fetch.on_event = seen.keep();
        auto const fetched = leecher.node->add(lie.torrent, std::move(fetch)).value();
        co_await ends_as_contradiction(here, fetched, seen);
        CHECK(fetched->have().none());
    });
}

TEST_CASE("a node moves several torrents at once, both ways", "[engine]") {
    auto const first = some_content(metainfo::format::hybrid, 1);
    auto const second = some_content(metainfo::format::v1, 2);
    testing::temporary_folder a, b;
    first.place(a.path());
    second.place(b.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& one = here.start();
        auto& other = here.start();
        auto options = fetching(b.path(), {one.at});
        options.storage.journal = b.path() / ".journal1";
        (void)co_await here.give(one, first, a.path());
        (void)co_await here.give(other, second, b.path());
        auto const to_other = other.node->add(first.torrent, std::move(options)).value();
        auto const to_one = one.node->add(second.torrent, fetching(a.path(), {other.at})).value();
        CHECK(co_await here.completed(to_other));
        CHECK(co_await here.completed(to_one));
        CHECK(first.is_in(b.path()));
        CHECK(second.is_in(a.path()));
    });
}

TEST_CASE("only the files that are wanted are fetched", "[engine]") {
    auto const content = some_content();  // hybrid: every file starts on a piece of its own
    testing::temporary_folder from, to;
    content.place(from.path());
    auto const& files = content.torrent->content().files();
    std::size_t wanted = 0;
    while (files[wanted].joined() != "deep/er/b") ++wanted;
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto& leecher = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto options = fetching(to.path(), {seeder.at});
        options.wanted_files.assign(files.size(), false);
        options.wanted_files[wanted] = true;
        auto const fetched = leecher.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.completed(fetched));
        CHECK(fetched->status().pieces_have ==
              content.torrent->content().pieces_of(static_cast<std::uint32_t>(wanted)).count);
    });
    CHECK(fs::file_size(content.path_of(to.path(), wanted)) == content.files[wanted].size());
    for (std::size_t i = 0; i < files.size(); ++i)
        if (!files[i].pad && i != wanted && files[i].size > 0) CHECK_FALSE(fs::exists(content.path_of(to.path(), i)));
}

TEST_CASE("a folder that lacks something and may not be written to seeds the rest and asks for nothing", "[engine]") {
    auto const content = testing::make_content({{"a", 300'000}, {"b", 300'000}}, {});
    testing::temporary_folder whole, partial, to;
    content.place(whole.path());
    content.place(partial.path());
    fs::remove(content.path_of(partial.path(), 1));
    on_machine([&](machine& here) -> net::task<void> {
        auto& giver = here.start();
        auto& half = here.start();
        auto& leecher = here.start();
        (void)co_await here.give(giver, content, whole.path());
        auto options = giving(partial.path());
        options.connect = {giver.at};
        auto const part = half.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.checked(part));
        CHECK(part->status().state == engine::transfer_state::seeding);
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {half.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().pieces_have == part->status().pieces_have; }));
        CHECK(fetched->status().pieces_have > 0);
        co_await here.outside.clock.sleep(300ms);
        CHECK(part->status().state == engine::transfer_state::seeding);
        CHECK(part->status().downloaded == 0);
    });
}

TEST_CASE("a transfer can be looked at when its node is gone", "[engine]") {
    auto const content = testing::make_content({{"one", 4'000'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start({.upload_limit = 1'000'000});
        (void)co_await here.give(seeder, content, from.path());
        auto node = std::make_unique<engine::node>(here.outside, here.home, engine::node_settings{});
        auto const fetched = node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().pieces_have > 0; }));
        co_await node->stop();
        node.reset();
        CHECK(fetched->status().state == engine::transfer_state::stopped);
        CHECK(fetched->status().pieces_have > 0);
        CHECK(fetched->peers().empty());
    });
}

TEST_CASE("a torrent of v2 alone is refused in plain words", "[engine]") {
    auto const content = some_content(metainfo::format::v2);
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto const added = here.start().node->add(content.torrent, fetching(to.path()));
        REQUIRE_FALSE(added);
        CHECK(added.error() == engine::errc::v2_only);
        CHECK(added.error().message().size() > 10);
        co_return;
    });
}

TEST_CASE("a torrent is added once", "[engine]") {
    auto const content = some_content();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& node = *here.start().node;
        CHECK(node.add(content.torrent, fetching(to.path())));
        auto const again = node.add(content.torrent, fetching(to.path()));
        REQUIRE_FALSE(again);
        CHECK(again.error() == engine::errc::already_added);
        co_return;
    });
}

TEST_CASE("a node keeps no transfer that has stopped, and takes none when it stops itself", "[engine]") {
    auto const content = some_content();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto& node = *here.start().node;
        auto added = node.add(content.torrent, fetching(to.path())).value();
        std::weak_ptr<engine::transfer> const known = added;
        co_await added->stop();
        added.reset();
        CHECK(known.expired());
        added = node.add(content.torrent, fetching(to.path())).value();
        co_await node.stop();
        CHECK(added->status().state == engine::transfer_state::stopped);
        CHECK(node.add(content.torrent, fetching(to.path())).error() == engine::errc::stopped);
    });
}

TEST_CASE("peers that both have everything part", "[engine]") {
    auto const content = some_content();
    testing::temporary_folder from;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto& one = here.start();
        auto& other = here.start();
        auto const at_one = one.node->add(content.torrent, giving(from.path())).value();
        auto options = giving(from.path());
        options.connect = {one.at};
        options.on_event = events.keep();
        auto const at_other = other.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.comes_true([&] { return !events.all<engine::event::peer_left>().empty(); }));
        CHECK(co_await here.comes_true([&] { return at_one->status().peers + at_other->status().peers == 0; }));
        CHECK(at_other->status().downloaded + at_other->status().uploaded == 0);
    });
}

TEST_CASE("of a shared folder that nobody asks for nothing is open but the folder itself", "[engine]") {
    auto const content = testing::make_content({{"a", 300'000}, {"b", 300'000}, {"c", 300'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    auto const open_in = [](fs::path const& folder) {
        std::ptrdiff_t count = 0;
        std::error_code gone;
        for (auto const& each : fs::directory_iterator("/proc/self/fd"))
            if (fs::read_symlink(each.path(), gone).string().starts_with(folder.string() + "/")) ++count;
        return count;
    };
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto const given = co_await here.give(seeder, content, from.path());
        CHECK(co_await here.comes_true([&] { return open_in(from.path()) == 1; }));
        auto& leecher = here.start();
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
        co_await leecher.node->stop();
        CHECK(co_await here.comes_true([&] { return open_in(from.path()) == 1; }));
    });
}
