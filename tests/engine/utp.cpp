#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// Counts what is sent, and takes no more than so many datagrams at once.
class watched_datagrams final : public net::datagram_socket {
public:
    watched_datagrams(std::unique_ptr<net::datagram_socket> below, std::size_t at_once, std::size_t& sent)
        : below_(std::move(below)), at_once_(at_once), sent_(sent) {}
    net::task<result<std::size_t>> receive(std::span<net::datagram> out) override { return below_->receive(out); }
    result<std::size_t> send(std::span<net::datagram const> out) override {
        auto const taken = below_->send(out.first(std::min(out.size(), at_once_)));
        if (taken) sent_ += taken.value();
        return taken;
    }
    endpoint local() const override { return below_->local(); }
    void close() override { below_->close(); }

private:
    std::unique_ptr<net::datagram_socket> below_;
    std::size_t at_once_;
    std::size_t& sent_;
};

/// The machine's network, on which TCP gets through or not, and whose datagrams are watched.
class obstructed_network final : public testing::passing_network {
public:
    using passing_network::passing_network;
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint to, std::optional<ip_address> from) override {
        ++tried;
        if (!has_tcp) co_return make_error_code(std::errc::connection_refused);
        co_return co_await below_.connect(to, from);
    }
    result<std::unique_ptr<net::datagram_socket>> open_datagram(endpoint at) override {
        auto opened = below_.open_datagram(at);
        if (!opened) return opened.error();
        return std::make_unique<watched_datagrams>(std::move(opened.value()), datagrams_at_once, sent);
    }
    bool has_tcp = false;
    std::size_t datagrams_at_once = 1000;
    std::size_t tried = 0, sent = 0;
};

engine::node_settings with_utp() {
    engine::node_settings settings;
    settings.utp = true;
    return settings;
}
}  // namespace

/// A node on a watched network, stopped in the end.
struct watched_node {
    watched_node(machine& here, engine::node_settings settings = with_utp())
        : network(here.outside.network),
          outside{here.outside.clock, network, here.outside.random, here.outside.workers},
          node(outside, here.home, std::move(settings)) {}
    obstructed_network network;
    net::environment outside;
    engine::node node;
};

TEST_CASE("where TCP does not get through, a torrent is fetched by uTP", "[engine][utp]") {
    auto const at_once = GENERATE(std::size_t{1000}, std::size_t{7});  // a socket that is full again and again
    auto const content = testing::make_content({{"one", 8'000'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        watched_node seeder{here}, leecher{here};
        seeder.network.datagrams_at_once = at_once;
        auto const at = seeder.node.listen(loopback()).value();
        auto const own = leecher.node.listen(loopback()).value();
        auto const given = seeder.node.add(content.torrent, giving(from.path())).value();
        CHECK(co_await here.checked(given));
        auto const fetched = leecher.node.add(content.torrent, fetching(to.path(), {at})).value();
        CHECK(co_await here.completed(fetched));
        CHECK(content.is_in(to.path()));
        CHECK(leecher.network.tried > 0);
        co_await leecher.node.stop();
        // The port is free although somebody still holds the transfer.
        CHECK(here.outside.network.open_datagram(own));
        CHECK(co_await here.comes_true([&] { return given->status().peers == 0; }));
        co_await seeder.node.stop();
    });
}

TEST_CASE("where TCP gets through it is taken", "[engine][utp]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start(with_utp());
        (void)co_await here.give(seeder, content, from.path());
        watched_node leecher{here};
        leecher.network.has_tcp = true;
        CHECK(leecher.node.listen(loopback()));
        auto const fetched = leecher.node.add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.completed(fetched));
        CHECK(leecher.network.sent == 0);
        co_await leecher.node.stop();
    });
}

TEST_CASE("a file that is cut while it goes out by uTP ends nothing but what cannot be read", "[engine][utp]") {
    auto const content = testing::make_content({{"one", 24'000'000}}, {.piece_length = 1u << 20});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start(with_utp());
        auto const given = co_await here.give(seeder, content, from.path());
        watched_node leecher{here};
        CHECK(leecher.node.listen(loopback()));
        auto const fetched = leecher.node.add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.comes_true([&] { return fetched->status().pieces_have > 4; }));
        fs::resize_file(content.path_of(from.path(), 0), 100'000);
        CHECK(co_await here.comes_true([&] { return given->status().state == engine::transfer_state::failed; }));
        content.place(from.path());
        CHECK(co_await net::with_deadline(here.outside.clock, here.outside.clock.now() + 40s, fetched->completed()));
        CHECK(content.is_in(to.path()));
        co_await leecher.node.stop();
    });
}

TEST_CASE("a peer that is nowhere is given up by TCP and by uTP", "[engine][utp]") {
    auto const content = some_content();
    testing::temporary_folder to;
    on_machine([&](machine& here) -> net::task<void> {
        auto const nobody = here.outside.network.open_datagram(loopback()).value();
        auto& leecher = here.start(with_utp());
        auto options = fetching(to.path());
        options.by_hand = true;
        auto const fetched = leecher.node->add(content.torrent, std::move(options)).value();
        CHECK(co_await here.checked(fetched));
        auto const began = here.outside.clock.now();
        CHECK_FALSE(co_await fetched->connect_to(nobody->local()));
        CHECK(here.outside.clock.now() - began < engine::utp_patience + 2s);
    });
}
