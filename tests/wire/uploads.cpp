#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;

namespace {
byte_vector request(std::uint32_t number) {
    return range_of(6, block_at(number));
}
std::vector<block_ref> all_uploads(connection& of) {
    std::vector<block_ref> out;
    while (auto const ref = of.next_upload()) out.push_back(*ref);
    return out;
}
struct seeder {
    explicit seeder(settings const& with = defaults()) : core(with, start) {
        core.unchoke();
        drain(core);
    }
    connection core;
};
}  // namespace

TEST_CASE("requests are handed out in the order in which they came", "[wire]") {
    seeder from;
    REQUIRE(from.core.receive(joined({request(3), request(1), request(2), request(1)}), start));
    CHECK(events(from.core) == lines{"requested"});
    CHECK(from.core.uploads_queued() == 4);
    CHECK(all_uploads(from.core) == std::vector{block_at(3), block_at(1), block_at(2), block_at(1)});
    CHECK(from.core.uploads_queued() == 0);
    REQUIRE(from.core.receive(request(5), start));
    CHECK(events(from.core) == lines{"requested"});
}

TEST_CASE("a cancelled request is not served, and rejected with the fast extension", "[wire]") {
    auto const fast = GENERATE(true, false);
    seeder from{fast ? defaults() : without_fast()};
    REQUIRE(from.core.receive(joined({request(0), request(1), request(2), range_of(8, block_at(1))}), start));
    CHECK(from.core.uploads_queued() == 2);
    CHECK(all_uploads(from.core) == std::vector{block_at(0), block_at(2)});
    CHECK(drain(from.core) == (fast ? range_of(16, block_at(1)) : byte_vector{}));
    CHECK(events(from.core) == lines{"requested"});
    REQUIRE(from.core.receive(range_of(8, block_at(0)), start));  // handed out already: the driver decides
    CHECK(events(from.core) == lines{"cancelled " + text(block_at(0))});
}

TEST_CASE("a request while choking is rejected, or dropped without the fast extension", "[wire]") {
    auto const fast = GENERATE(true, false);
    connection from{fast ? defaults() : without_fast(), start};
    REQUIRE(from.receive(request(0), start));
    CHECK(events(from).empty());
    CHECK_FALSE(from.next_upload());
    CHECK(drain(from) == (fast ? range_of(16, block_at(0)) : byte_vector{}));
}

TEST_CASE("choking empties the queue: choke first, then the rejects", "[wire]") {
    auto const fast = GENERATE(true, false);
    seeder from{fast ? defaults() : without_fast()};
    REQUIRE(from.core.receive(joined({request(0), request(1)}), start));
    from.core.choke();
    CHECK(drain(from.core) ==
          (fast ? joined({message_of(0), range_of(16, block_at(0)), range_of(16, block_at(1))}) : message_of(0)));
    CHECK(from.core.uploads_queued() == 0);
    CHECK_FALSE(from.core.next_upload());
    from.core.choke();
    CHECK(drain(from.core).empty());
}

TEST_CASE("a request that no client sends is rejected, and one too long ends the conversation", "[wire]") {
    struct row {
        std::uint32_t begin, length;
        bool served;
    };
    auto with = defaults();
    with.piece_length = 1024 * 1024;
    with.total_size = 10 * 1024 * 1024;
    for (auto const& [begin, length, served] : std::vector<row>{{0, 0, false},
                                                                {0, 1, true},
                                                                {0, block_length - 1, true},
                                                                {0, block_length, true},
                                                                {0, block_length + 1, false},
                                                                {0, 128 * 1024 - 1, false},
                                                                {0, 128 * 1024, false},
                                                                {1, 100, false},
                                                                {block_length, block_length, true}}) {
        CAPTURE(begin, length);
        seeder from{with};
        block_ref const ref{piece_index{1}, begin, length};
        REQUIRE(from.core.receive(range_of(6, ref), start));
        CHECK(from.core.next_upload().has_value() == served);
        CHECK(drain(from.core) == (served ? byte_vector{} : range_of(16, ref)));
    }
    seeder from{with};
    CHECK(error_of(from.core.receive(range_of(6, {piece_index{1}, 0, 128 * 1024 + 1}), start)) ==
          errc::request_too_long);
}

TEST_CASE("the queue holds what we announced and no more", "[wire]") {
    auto with = defaults();
    with.reqq_own = 5;
    seeder from{with};
    for (std::uint32_t i = 0; i < 4; ++i) REQUIRE(from.core.receive(request(i), start));
    CHECK(drain(from.core).empty());
    REQUIRE(from.core.receive(request(4), start));
    CHECK(drain(from.core).empty());
    REQUIRE(from.core.receive(request(5), start));
    CHECK(drain(from.core) == range_of(16, block_at(5)));
    CHECK(from.core.uploads_queued() == 5);
    from.core.next_upload();
    REQUIRE(from.core.receive(request(6), start));
    CHECK(from.core.uploads_queued() == 5);
}

TEST_CASE("a million requests, choked or not, end the conversation with little memory", "[wire]") {
    auto const choking = GENERATE(true, false);
    auto const fast = GENERATE(true, false);
    connection from{fast ? defaults() : without_fast(), start};
    if (!choking) from.unchoke();
    byte_vector thousand;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        auto const one = request(i % block_count);
        thousand.insert(thousand.end(), one.begin(), one.end());
    }
    int rounds = 0;
    result<void> answer = success();
    while ((answer = from.receive(thousand, start))) {
        REQUIRE(++rounds < 1000);
        CHECK(from.uploads_queued() <= 2000);
        CHECK(from.unsent_bytes() < 512 * 1024);
    }
    CHECK(error_of(answer) == errc::flood);
    CHECK(rounds >= 10);
}

TEST_CASE("answers that nobody reads are bounded", "[wire]") {
    auto with = defaults();
    with.limits.unsent_max = 17 * 10;
    connection from{with, start};
    for (std::uint32_t i = 0; i < 10; ++i) REQUIRE(from.receive(request(i), start));
    CHECK(error_of(from.receive(request(10), start)) == errc::never_reads);
    CHECK(error_of(from.wake(start)) == errc::never_reads);
}
