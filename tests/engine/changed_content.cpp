#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>

#include "fixture.hpp"
using namespace fixture;

namespace {
constexpr std::uint32_t piece_length = 32 * 1024;

void write_file(fs::path const& path, byte_view bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<char const*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}
byte_vector read_file(fs::path const& path) {
    std::ifstream in(path, std::ios::binary);
    std::string const text((std::istreambuf_iterator<char>(in)), {});
    auto const bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}
/// Other bytes in the place of one piece of the file.
void overwrite_piece(fs::path const& path, std::uint32_t piece) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(piece * piece_length);
    std::string const other(piece_length, 'x');
    file.write(other.data(), static_cast<std::streamsize>(other.size()));
}
/// Twenty pieces in each of two files.
testing::content two_files(std::uint64_t seed = 1) {
    return testing::make_content({{"a", 20 * piece_length}, {"b", 20 * piece_length}},
                                 {.piece_length = piece_length, .seed = seed, .name = "c" + std::to_string(seed)});
}
}  // namespace

TEST_CASE("a seeder that only checked its content notices a change, and hashes nothing at its next start", "[engine]") {
    testing::temporary_folder from, state, to;
    auto const content = two_files();
    content.place(from.path());
    auto const a = content.path_of(from.path(), 0);
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto options = giving(from.path());
        options.storage.journal = state.path() / "journal";
        options.on_event = events.keep();
        auto& seeder = here.start();
        auto const given = seeder.node->add(content.torrent, options).value();
        CHECK(co_await here.checked(given));
        CHECK(given->status().pieces_hashed == 40);
        CHECK(co_await here.comes_true([&] { return fs::exists(options.storage.journal); }));
        co_await here.outside.clock.sleep(200ms);

        overwrite_piece(a, 3);
        CHECK(co_await here.comes_true([&] { return given->status().state == engine::transfer_state::failed; }));
        CHECK(given->status().error == store::errc::changed_file);
        CHECK(given->status().pieces_have < 40);
        CHECK(co_await here.comes_true([&] { return given->status().pieces_have == 39; }));  // the others are right

        auto& leecher = here.start();
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().pieces_have == 39; }));
        CHECK(events.all<engine::event::recovered>().empty());

        write_file(a, content.files[0]);
        CHECK(co_await here.completed(fetched));
        CHECK(fetched->status().failed_pieces == 0);
        CHECK(content.is_in(to.path()));
        CHECK(given->status().state == engine::transfer_state::seeding);
        CHECK(given->status().pieces_have == 40);
        CHECK(events.all<engine::event::failed>().size() == 1);
        CHECK(events.all<engine::event::recovered>().size() == 1);
        co_await seeder.node->stop();

        auto& second = here.start();
        auto const again = second.node->add(content.torrent, options).value();
        CHECK(co_await here.checked(again));
        CHECK(again->status().pieces_have == 40);
        CHECK(again->status().pieces_hashed == 0);
    });
}

TEST_CASE("who fetches watches what was there before it began, and hashes nothing at its next start", "[engine]") {
    testing::temporary_folder place, state;
    auto const content = two_files();
    content.place(place.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto options = fetching(place.path(), {});
        options.storage.journal = state.path() / "journal";
        auto& first = here.start();
        auto const found = first.node->add(content.torrent, options).value();
        CHECK(co_await here.completed(found));
        CHECK(co_await here.comes_true([&] { return fs::exists(options.storage.journal); }));
        co_await first.node->stop();

        auto& second = here.start();
        auto const again = second.node->add(content.torrent, options).value();
        CHECK(co_await here.completed(again));
        CHECK(again->status().pieces_hashed == 0);
        fs::remove(content.path_of(place.path(), 0));
        CHECK(co_await here.comes_true([&] { return again->status().pieces_have == 20; }));
    });
}

TEST_CASE("a seeder survives whatever is done to its files, and gives them again when they are back", "[engine]") {
    struct damage {
        int what;
        store::back_end kind;
        testing::content content;
        std::unique_ptr<testing::temporary_folder> from = std::make_unique<testing::temporary_folder>();
        std::unique_ptr<testing::temporary_folder> to = std::make_unique<testing::temporary_folder>();
        std::shared_ptr<engine::transfer> given = {}, first = {}, second = {};
        fs::path file() const { return content.path_of(from->path(), 0); }
    };
    std::vector<damage> all;
    for (auto const kind : {store::back_end::mapped, store::back_end::plain})
        for (int what = 0; what < 4; ++what) all.push_back({what, kind, two_files(all.size() + 1)});
    auto const other = two_files(99);
    testing::temporary_folder other_from, other_to, partial;
    other.place(other_from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();
        auto& slow = here.start({.download_limit = 1'000'000});
        auto& fast = here.start();
        for (auto& each : all) {
            each.content.place(each.from->path());
            auto options = giving(each.from->path());
            options.storage.kind = each.kind;
            each.given = seeder.node->add(each.content.torrent, options).value();
            CHECK(co_await here.checked(each.given));
            each.first =
                slow.node
                    ->add(each.content.torrent, fetching(partial.path() / each.content.torrent->name(), {seeder.at}))
                    .value();
        }
        co_await here.outside.clock.sleep(500ms);
        for (auto& each : all) {
            switch (each.what) {
                case 0:
                    fs::resize_file(each.file(), 5 * piece_length + 100);
                    break;
                case 1:
                    fs::remove(each.file());
                    break;
                case 2:
                    write_file(each.file().string() + ".new", byte_vector(20 * piece_length, std::byte{'n'}));
                    fs::rename(each.file().string() + ".new", each.file());
                    break;
                case 3:
                    overwrite_piece(each.file(), 19);
                    break;
            }
        }
        (void)co_await here.give(seeder, other, other_from.path());
        auto const meanwhile = fast.node->add(other.torrent, fetching(other_to.path(), {seeder.at})).value();
        CHECK(co_await here.completed(meanwhile));
        CHECK(other.is_in(other_to.path()));
        for (auto& each : all) {
            INFO("damage " << each.what << (each.kind == store::back_end::mapped ? ", mapped" : ", plain"));
            CHECK(
                co_await here.comes_true([&] { return each.given->status().state == engine::transfer_state::failed; }));
            CHECK(each.first->status().failed_pieces <= 1);
        }
        CHECK(co_await here.comes_true([&] {  // the second file is whole, and the start of a truncated one
            return std::ranges::all_of(all, [](auto const& each) {
                auto const have = each.given->status().pieces_have;
                return have == (each.what == 0 ? 25 : each.what == 3 ? 39 : 20);
            });
        }));
        for (auto& each : all) write_file(each.file(), each.content.files[0]);
        for (auto& each : all) {
            INFO("damage " << each.what << (each.kind == store::back_end::mapped ? ", mapped" : ", plain"));
            CHECK(co_await here.comes_true(
                [&] { return each.given->status().state == engine::transfer_state::seeding; }));
            CHECK(each.given->status().pieces_have == 40);
            each.second = fast.node->add(each.content.torrent, fetching(each.to->path(), {seeder.at})).value();
            CHECK(co_await here.completed(each.second));
            CHECK(each.content.is_in(each.to->path()));
            CHECK(each.second->status().failed_pieces == 0);
        }
        for (auto& each : all) each.given = each.first = each.second = nullptr;  // not longer than the event loop
    });
}

TEST_CASE("a finished file that somebody changes is not fetched again over it", "[engine]") {
    testing::temporary_folder from, to, third;
    auto const content = two_files();
    content.place(from.path());
    auto const a = content.path_of(to.path(), 0);
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto& seeder = here.start();
        (void)co_await here.give(seeder, content, from.path());
        auto& leecher = here.start();
        auto options = fetching(to.path(), {seeder.at});
        options.on_event = events.keep();
        auto const fetched = leecher.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.completed(fetched));
        co_await here.outside.clock.sleep(6s);  // it is recorded as it is

        overwrite_piece(a, 3);
        auto const edited = read_file(a);
        CHECK(co_await here.comes_true([&] { return !events.all<engine::event::failed>().empty(); }));
        CHECK(events.all<engine::event::failed>().front().why == store::errc::changed_file);
        CHECK(co_await here.comes_true([&] { return fetched->status().pieces_have == 39; }));
        auto& another = here.start();
        auto const rest = another.node->add(content.torrent, fetching(third.path(), {leecher.at})).value();
        CHECK(co_await here.comes_true([&] { return rest->status().pieces_have == 39; }));
        co_await here.outside.clock.sleep(6s);
        CHECK(read_file(a) == edited);
        CHECK_FALSE(fs::exists(a.string() + ".part"));
        CHECK(fetched->status().downloaded == 40 * piece_length);

        write_file(a, content.files[0]);
        CHECK(co_await here.completed(rest));
        CHECK(co_await here.comes_true([&] { return fetched->status().state == engine::transfer_state::seeding; }));
        CHECK(events.all<engine::event::failed>().size() == 1);
        CHECK(events.all<engine::event::recovered>().size() == 1);
        CHECK(events.all<engine::event::completed>().size() == 1);
        CHECK(content.is_in(to.path()));
    });
}

TEST_CASE("what cannot be recorded is told once, and given all the same", "[engine]") {
    testing::temporary_folder from, state, to;
    auto const content = two_files();
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        happenings events;
        auto options = giving(from.path());
        options.storage.journal = state.path() / "journal";
        options.on_event = events.keep();
        fs::create_directory(state.path() / "journal.new");  // where the journal would be written
        auto& seeder = here.start();
        auto const given = seeder.node->add(content.torrent, options).value();
        CHECK(co_await here.checked(given));
        CHECK(co_await here.comes_true([&] { return !events.all<engine::event::failed>().empty(); }));
        CHECK(given->status().state == engine::transfer_state::seeding);
        auto& leecher = here.start();
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.completed(fetched));
        co_await here.outside.clock.sleep(6s);
        CHECK(events.all<engine::event::failed>().size() == 1);
        CHECK(events.all<engine::event::recovered>().empty());
        fs::remove(state.path() / "journal.new");
        CHECK(co_await here.comes_true([&] { return !events.all<engine::event::recovered>().empty(); }));
        CHECK(fs::exists(options.storage.journal));
    });
}
