#include "scenario.hpp"

namespace fault {
namespace {
/// A torrent is read, and the content that lies there checked.
class loading final : public scenario {
public:
    loading() { hold(0); }
    net::task<void> act() override {
        co_await with_node(0, {}, [this](engine::node& node) -> net::task<void> {
            auto read = metainfo::parse_info(content().torrent->info_bytes());
            must(read);
            auto const what = std::make_shared<metainfo::torrent const>(std::move(read).value());
            auto const added = node.add(what, options(0, false));
            must(added);
            must(co_await added.value()->checked());
            has_all_ = added.value()->status().pieces_have == what->pieces().piece_count();
        });
    }
    bool is_right() const override { return has_all_; }

private:
    bool has_all_ = false;
};

/// What several scenarios do: one has the content and another fetches it.
class transferring : public scenario {
protected:
    deed giving(std::size_t host, std::vector<std::string> trackers = {}) {
        return [this, host, trackers](engine::node& node) -> net::task<void> {
            auto how = options(host, false);
            how.trackers = trackers;
            must(node.add(content().torrent, std::move(how)));
            co_await for_ever();
        };
    }
    deed fetching(std::size_t host, std::vector<endpoint> from, std::vector<std::string> trackers = {}) {
        return [this, host, from, trackers](engine::node& node) -> net::task<void> {
            auto how = options(host, true);
            how.connect = from;
            how.trackers = trackers;
            auto const added = node.add(content().torrent, std::move(how));
            must(added);
            must(co_await added.value()->completed());
            has_all_ = holds(host);
        };
    }
    bool is_right() const override { return has_all_; }
    bool has_all_ = false;
};

/// A torrent is fetched from two seeders.
class downloading final : public transferring {
public:
    downloading() { hold(1), hold(2); }
    void begin() override { beside(1, {}, giving(1)), beside(2, {}, giving(2)); }
    net::task<void> act() override { return with_node(0, {}, fetching(0, {at(1), at(2)})); }
};

/// A torrent is given to a leecher.
class seeding final : public transferring {
public:
    seeding() { hold(0); }
    void begin() override { beside(1, {}, fetching(1, {at(0)})); }
    net::task<void> act() override {
        return with_node(0, {}, [this](engine::node& node) -> net::task<void> {
            must(node.add(content().torrent, options(0, false)));
            while (!has_all_) co_await outside(0).clock.sleep(100ms);
        });
    }
};

/// What a magnet link names is fetched from a peer.
class magnet final : public transferring {
public:
    magnet() { hold(1); }
    void begin() override { beside(1, {}, giving(1)); }
    net::task<void> act() override {
        return with_node(0, {}, [this](engine::node& node) -> net::task<void> {
            metainfo::magnet link;
            link.info_hash_v1 = content().torrent->info_hash_v1();
            engine::magnet_options how;
            how.connect = {at(1)};
            auto const found = co_await node.find(std::move(link), std::move(how));
            must(found);
            has_all_ = found.value().torrent->swarm_hash() == content().torrent->swarm_hash();
        });
    }
};

/// A torrent is fetched by uTP.
class by_utp final : public transferring {
public:
    by_utp() {
        hold(1);
        has_tcp = false;
    }
    void begin() override { beside(1, {.utp = true}, giving(1)); }
    net::task<void> act() override { return with_node(0, {.utp = true}, fetching(0, {at(1)})); }
};

/// A torrent is fetched from a peer that the DHT names.
class by_dht final : public transferring {
public:
    by_dht() { hold(2); }
    void begin() override {
        beside(1, {.dht = true}, [this](engine::node&) { return for_ever(); });
        beside(2, settings(), giving(2));
    }
    net::task<void> act() override { return with_node(0, settings(), fetching(0, {})); }

private:
    engine::node_settings settings() {
        engine::node_settings how;
        how.dht = true;
        how.dht_routers = {{world().address_of(1).to_string(), 6881}};
        return how;
    }
};

/// A torrent is fetched from a peer that a tracker, our hub, names.
class by_tracker : public transferring {
public:
    explicit by_tracker(std::string const& scheme) {
        hold(1), url_ = scheme + "://" + at(2, 6969).to_string() + "/announce";
    }
    void begin() override { hub_beside(2), beside(1, {}, giving(1, {url_})); }
    net::task<void> act() override {
        co_await outside(0).clock.sleep(2s);  // the seeder has announced
        co_await with_node(0, {}, fetching(0, {}, {url_}));
    }

private:
    std::string url_;
};
class by_http_tracker final : public by_tracker {
public:
    by_http_tracker() : by_tracker("http") {}
};
class by_udp_tracker final : public by_tracker {
public:
    by_udp_tracker() : by_tracker("udp") {}
};

/// A hub is asked for what its page shows.
class web_request final : public scenario {
public:
    void begin() override { hub_beside(1); }
    net::task<void> act() override {
        co_await outside(0).clock.sleep(2s);
        for (auto const path : {"/healthz", "/metrics", "/api/v1/status", "/api/v1/torrents"}) {
            auto const got = co_await net::http_get(outside(0), "http://" + at(1, 6969).to_string() + path, {});
            must(got);
            if (got.value().status != 200) throw std::system_error(make_error_code(std::errc::not_enough_memory));
        }
        is_answered_ = true;
    }
    bool is_right() const override { return is_answered_; }

private:
    bool is_answered_ = false;
};

/// A peer holds a session with a hub, and publishes there.
class in_session final : public scenario {
public:
    in_session() { hold(0); }
    void begin() override { hub_beside(1); }
    net::task<void> act() override {
        co_await outside(0).clock.sleep(2s);
        co_await with_node(0, {}, [this](engine::node& node) -> net::task<void> {
            auto const added = node.add(content().torrent, options(0, false));
            must(added);
            must(co_await added.value()->checked());
            engine::hub_session session{outside(0), world().executor(),
                                        node.id(),  6881,
                                        "test",     "ws://" + at(1, 6969).to_string() + "/session"};
            co_await net::in_task_group([&](net::task_group& tasks) -> net::task<void> {
                tasks.spawn("session", session.run());
                must(co_await session.opened());
                session.join(added.value());
                must(co_await session.ask_peers(content().torrent->swarm_hash()));
                is_answered_ = session.is_open();
            });
        });
    }
    bool is_right() const override { return is_answered_; }

private:
    bool is_answered_ = false;
};

/// A hub serves a client by HTTP, and peers that announce.
class serving final : public transferring {
public:
    serving() { hold(1); }
    void begin() override {
        beside(1, {}, giving(1, {"udp://" + at(0, 6969).to_string() + "/announce"}));
        beside(2, {}, fetching(2, {}, {"http://" + at(0, 6969).to_string() + "/announce"}));
    }
    net::task<void> act() override {
        return net::in_task_group([this](net::task_group& tasks) -> net::task<void> {
            tasks.spawn("hub", serve_hub(0));
            while (!has_all_) {
                co_await outside(0).clock.sleep(100ms);
                if (tasks.size() == 0) throw std::system_error(make_error_code(std::errc::not_enough_memory));
            }
        });
    }
};

template <class Scenario>
std::unique_ptr<scenario> made() {
    return std::make_unique<Scenario>();
}
}  // namespace

std::vector<named_scenario> const& scenarios() {
    static std::vector<named_scenario> const all{
        {"load", made<loading>},
        {"download", made<downloading>},
        {"seed", made<seeding>},
        {"magnet", made<magnet>},
        {"uTP", made<by_utp>},
        {"DHT", made<by_dht>},
        {"announce by HTTP", made<by_http_tracker>},
        {"announce by UDP", made<by_udp_tracker>},
        {"web request", made<web_request>},
        {"hub session", made<in_session>},
        {"hub", made<serving>},
    };
    return all;
}
}  // namespace fault
