#include <catch2/catch.hpp>
#include <cstdlib>

#include <cerrno>
#include <functional>
#include <random>
#include <utility>

#include "simulated_run.hpp"
using namespace fixture;

namespace {
/// Some of what a peer does, in any order; where it fails it goes on.
void live(store::chunk_store& with, sample const& content, std::mt19937_64& random) {
    for (auto left = random() % (4 * content.count()); left > 0; --left) {
        auto const piece = static_cast<std::uint32_t>(random() % content.count());
        switch (random() % 8) {
            case 0:
                (void)with.sync();
                break;
            case 1:
                (void)with.complete_files();
                break;
            case 2:
                (void)with.recheck(piece_index{piece});
                break;
            default:
                if (with.is_held(piece_index{piece})) break;
                if (auto const there = with.check_piece(piece_index{piece}); there && !there.value())
                    (void)receive(with, content, piece);
        }
    }
}
}  // namespace

TEST_CASE("after a power cut at any moment no piece is claimed that the disk lacks", "[store]") {
    auto const content = small_sample();
    auto const measured = std::make_shared<store::simulated_disk>(0);
    REQUIRE(run(*open_on(measured, content), content));
    REQUIRE(is_on(*measured, content));
    // SHOAL_CRASHES: how many power cuts (T-POWER wants 200 000), for each moment several.
    auto const* const asked = std::getenv("SHOAL_CRASHES");
    auto const seeds = asked ? std::stoull(asked) / measured->calls() + 1 : 3;
    for (std::uint64_t seed = 0; seed < seeds; ++seed)
        for (std::uint64_t call = 1; call <= measured->calls(); ++call) {
            INFO("seed " << seed << " call " << call);
            auto const disk = std::make_shared<store::simulated_disk>(seed);
            auto const preallocate = call % 2 == 0;
            disk->fail(call, EIO, UINT64_MAX / 2);
            if (auto const into = open_on(disk, content, preallocate)) run(*into, content);
            disk->fail(0, 0, 0);
            disk->crash();

            auto const again = open_on(disk, content, preallocate);
            REQUIRE(again);
            auto const claimed = again->load();
            REQUIRE(claimed);
            for (std::uint32_t piece = 0; piece < content.count(); ++piece)
                if (claimed.value().test(piece_index{piece})) REQUIRE(again->check_piece(piece_index{piece}).value());
            REQUIRE(again->close());
            REQUIRE(run(*open_on(disk, content, preallocate), content));
            REQUIRE(is_on(*disk, content));
        }
}

TEST_CASE("a file that a power cut emptied under its final name is received again", "[store]") {
    auto const content = small_sample();
    auto const is_synced_midway = GENERATE(false, true);
    auto const preallocate = GENERATE(false, true);
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        INFO("seed " << seed);
        auto const disk = std::make_shared<store::simulated_disk>(seed);
        {
            auto const into = open_on(disk, content, preallocate);
            REQUIRE(into->load());
            for (std::uint32_t piece = 0; piece < content.count(); ++piece) {
                REQUIRE(receive(*into, content, piece).value());
                if (piece == 1 && is_synced_midway) REQUIRE(into->sync());
                REQUIRE(into->complete_files());
            }
            if (seed % 2 == 1) REQUIRE(into->close(store::closing::quick));
            disk->crash();
        }
        REQUIRE(run(*open_on(disk, content, preallocate), content));
        CHECK(is_on(*disk, content));
        disk->crash();
        CHECK(open_on(disk, content)->load().value().all());
    }
}

TEST_CASE("a file that got its name after a call had failed is received again when a power cut has emptied it",
          "[store]") {
    auto const content = small_sample();
    bool has_failed = true;
    for (std::uint64_t n = 1; has_failed; ++n) {
        CAPTURE(n);
        auto const disk = std::make_shared<store::simulated_disk>(n);
        {
            auto const into = open_on(disk, content);
            REQUIRE(into->load());
            for (std::uint32_t piece = 0; piece < content.count(); ++piece)
                REQUIRE(receive(*into, content, piece).value());
            auto const before = disk->calls();
            disk->fail(n, EIO);
            (void)into->complete_files();
            has_failed = disk->calls() - before >= n;
            disk->fail(1, EIO, 0);
            REQUIRE(into->complete_files());
            disk->crash();
        }
        REQUIRE(run(*open_on(disk, content), content));
        CHECK(is_on(*disk, content));
    }
}

TEST_CASE("whatever earlier runs did and however they ended, the next one completes", "[store]") {
    auto const content = small_sample();
    auto const* const asked = std::getenv("SHOAL_CRASHES");
    auto const seeds = asked ? std::stoull(asked) : 2000;
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
        INFO("seed " << seed);
        std::mt19937_64 random(seed);
        auto const one_in = [&](std::uint64_t n) { return random() % n == 0; };
        auto const disk = std::make_shared<store::simulated_disk>(seed);
        auto const preallocate = one_in(2);
        for (auto runs = 1 + random() % 4; runs > 0; --runs) {
            {
                auto const into = open_on(disk, content, preallocate);
                REQUIRE(into);
                if (one_in(2)) disk->fail(1 + random() % 40, EIO, 1 + random() % 3);
                if (into->load()) live(*into, content, random);
                if (!one_in(3)) (void)into->close(one_in(2) ? store::closing::durable : store::closing::quick);
            }
            disk->fail(0, 0, 0);
            if (one_in(2)) disk->crash();
        }
        auto const last = open_on(disk, content, preallocate);
        REQUIRE(run(*last, content));
        REQUIRE(is_on(*disk, content));
    }
}

TEST_CASE("a file of which a piece turns out to be lost while it is to get its name is received again", "[store]") {
    auto const content = small_sample();
    auto const disk = std::make_shared<store::simulated_disk>(1);
    (void)receive(*open_on(disk, content), content, 0);  // by a process that ended at once
    auto const into = open_on(disk, content);
    for (std::uint32_t piece = 0; piece < content.count(); ++piece) {
        if (into->check_piece(piece_index{piece}).value()) continue;
        REQUIRE(receive(*into, content, piece).value());
    }
    disk->fail(1, EIO);
    REQUIRE_FALSE(into->sync());
    REQUIRE(into->complete_files());
    auto const lost = into->take_lost();
    REQUIRE_FALSE(lost.empty());
    for (auto const piece : lost) REQUIRE(receive(*into, content, to_number(piece)).value());
    REQUIRE(into->complete_files());
    CHECK(is_on(*disk, content));
}

TEST_CASE("a file whose last write failed in the next one is still ours after a power cut", "[store]") {
    auto const content = small_sample();
    auto const over_two_files = std::uint32_t{2};
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        INFO("seed " << seed);
        auto const disk = std::make_shared<store::simulated_disk>(seed);
        {
            auto const into = open_on(disk, content);
            REQUIRE(into->load());
            for (auto const piece : {1U, 3U}) REQUIRE(receive(*into, content, piece).value());
            REQUIRE(into->sync());
            disk->fail(2, EIO);
            REQUIRE_FALSE(receive(*into, content, over_two_files));
            REQUIRE(into->close(store::closing::quick));
            disk->crash();
        }
        REQUIRE(run(*open_on(disk, content), content));
        CHECK(is_on(*disk, content));
    }
}

TEST_CASE("what a sync takes to the disk while it is written to stays ours after a power cut", "[store]") {
    /// Lets something happen once a sync is over, and before anybody looks at the files.
    struct busy_files : store::simulated_files {
        using simulated_files::simulated_files;
        result<void> sync(std::span<store::file_number const> files) override {
            auto done = simulated_files::sync(files);
            if (meanwhile) std::exchange(meanwhile, nullptr)();
            return done;
        }
        std::function<void()> meanwhile;
    };
    auto const content = small_sample();
    auto const is_finished = GENERATE(false, true);
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        INFO("seed " << seed);
        auto const disk = std::make_shared<store::simulated_disk>(seed);
        {
            auto const files = std::make_shared<busy_files>(disk);
            store::store_settings settings;
            settings.preallocate = false;
            auto const into = store::chunk_store::open(content.torrent, settings, files).value();
            REQUIRE(into->load());
            REQUIRE(receive(*into, content, 0).value());
            files->meanwhile = [&] {
                for (std::uint32_t piece = 1; piece < (is_finished ? content.count() : 2); ++piece)
                    REQUIRE(receive(*into, content, piece).value());
                REQUIRE(into->complete_files());
            };
            REQUIRE(into->sync());
            disk->crash();
        }
        REQUIRE(run(*open_on(disk, content), content));
        CHECK(is_on(*disk, content));
    }
}

TEST_CASE("the same seed gives the same disk after a crash", "[store]") {
    auto const content = small_sample();
    std::vector<byte_vector> seen;
    for (int i = 0; i < 2; ++i) {
        auto const disk = std::make_shared<store::simulated_disk>(42);
        auto const into = open_on(disk, content);
        for (std::uint32_t piece = 0; piece < content.count(); ++piece) REQUIRE(receive(*into, content, piece).value());
        disk->crash();
        byte_vector all;
        for (auto const& name : disk->names()) {
            auto const bytes = *disk->content(name);
            all.insert(all.end(), bytes.begin(), bytes.end());
        }
        seen.push_back(all);
    }
    CHECK(seen[0] == seen[1]);
    CHECK(seen[0] != content.linear);
}
