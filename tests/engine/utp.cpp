#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// A network on which no TCP connection gets through.
class without_tcp final : public net::network {
public:
    explicit without_tcp(net::network& below) : below_(below) {}
    net::task<result<std::unique_ptr<net::stream>>> connect(endpoint, std::optional<ip_address>) override {
        ++tried;
        co_return make_error_code(std::errc::connection_refused);
    }
    result<std::unique_ptr<net::listener>> listen(endpoint at) override { return below_.listen(at); }
    result<std::unique_ptr<net::datagram_socket>> open_datagram(endpoint at) override {
        return below_.open_datagram(at);
    }
    result<std::unique_ptr<net::datagram_socket>> open_multicast(endpoint group,
                                                                 std::optional<ip_address> from) override {
        return below_.open_multicast(group, from);
    }
    net::task<result<std::vector<ip_address>>> resolve(std::string host) override {
        co_return co_await below_.resolve(std::move(host));
    }
    std::size_t tried = 0;

private:
    net::network& below_;
};

engine::node_settings with_utp() {
    engine::node_settings settings;
    settings.utp = true;
    return settings;
}
}  // namespace

TEST_CASE("where TCP does not get through, a torrent is fetched by uTP", "[engine][utp]") {
    auto const content = testing::make_content({{"one", 20'000'000}}, {});
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start(with_utp());
        (void)co_await here.give(seeder, content, from.path());
        without_tcp narrow{here.outside.network};
        net::environment outside{here.outside.clock, narrow, here.outside.random, here.outside.workers};
        {
            engine::node leecher{outside, here.home, with_utp()};
            REQUIRE(leecher.listen(loopback()));
            auto const fetched = leecher.add(content.torrent, fetching(to.path(), {seeder.at})).value();
            CHECK(co_await here.completed(fetched));
            CHECK(content.is_in(to.path()));
            CHECK(narrow.tried > 0);
            co_await leecher.stop();
        }
    });
}

TEST_CASE("where TCP gets through it is taken", "[engine][utp]") {
    auto const content = some_content();
    testing::temporary_folder from, to;
    content.place(from.path());
    on_machine([&](machine& here) -> net::task<void> {
        auto& seeder = here.start();  // no uTP there
        auto& leecher = here.start(with_utp());
        (void)co_await here.give(seeder, content, from.path());
        auto const fetched = leecher.node->add(content.torrent, fetching(to.path(), {seeder.at})).value();
        CHECK(co_await here.completed(fetched));
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
