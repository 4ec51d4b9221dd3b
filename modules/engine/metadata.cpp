module;
#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>

#include "core/try.hpp"

module shoal.engine;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.wire;
import :transfer;
import :swarm;

/// What a magnet link names, fetched from its peers. Source: BEP 9.
namespace shoal::engine {
namespace {
/// Bytes read at once: one message with a piece.
constexpr std::size_t read_length = 32 * 1024;
/// What trackers are told is left while nobody knows: more than nothing, so that they do not take us for a seeder.
constexpr std::uint64_t left_unknown = 1;

/// Each peer sends the whole of it into memory of its own: a liar spoils nobody's work but his own.
class metadata_search final : public announced {
public:
    metadata_search(node_state& node, metainfo::magnet const& link, magnet_options options)
        : node_(node), link_(link), options_(std::move(options)), news_(node.home) {
        std::vector<std::vector<std::string>> tiers;
        for (auto const& url : link.trackers) tiers.push_back({url});
        for (auto& tier : tiers_with(std::move(tiers), options_.trackers))
            announcers_.push_back(std::make_unique<announcer>(*this, std::move(tier), options_.trackers));
        dht_announcer_.emplace(*this, false);
        add_peers(options_.connect);
    }

    net::task<result<found_torrent>> run() {
        co_await net::in_task_group([this](net::task_group& tasks) -> net::task<void> {
            tasks.on_failure = node_.settings.on_failure;
            auto& clock = node_.outside.clock;
            for (auto& each : announcers_) tasks.spawn_lasting("announce", clock, [&who = *each] { return who.run(); });
            if (is_public()) {
                tasks.spawn_lasting("ask the DHT", clock, [this] { return dht_announcer_->run(); });
                // Others answer an announce.
                tasks.spawn_lasting("ask on the local network", clock,
                                    [this] { return node_.announce_locally(*this); });
            }
            for (auto const& each : link_.peers) tasks.spawn("resolve", resolve(each));
            while (!found_) {
                connect_more(tasks);
                co_await node_.outside.clock.wait(news_, node_.now() + tick_interval);
            }
        });
        if (!*found_) co_return found_->error();
        found_torrent found{std::make_shared<metainfo::torrent const>(std::move(*found_).value()), {}, {}};
        for (auto const& [at, known] : known_)
            if (!known.is_banned) (known.is_hearsay ? found.hearsay : found.peers).push_back(at);
        co_return found;
    }

    node_state& at_node() noexcept override { return node_; }
    announce::announce_request numbers() const override {
        announce::announce_request numbers;
        numbers.torrent = link_.swarm_hash();
        numbers.left = left_unknown;
        return numbers;
    }
    bool is_hungry() const override { return !found_; }
    void add_peers(std::vector<endpoint> const& peers) override {
        for (auto const& each : peers)
            if (!name(known_, each)) break;
        news_.notify();
    }
    void hear_of(std::vector<endpoint> const& peers) override {
        if (engine::hear_of(known_, peers, node_.now())) news_.notify();
    }
    bool is_public() const noexcept override { return options_.is_public; }
    void tell(transfer_event const& happened) override {
        if (options_.on_event) options_.on_event(happened);
    }

private:
    net::task<void> resolve(metainfo::host_port peer) { add_peers(co_await node_.addresses_of(std::move(peer))); }

    void connect_more(net::task_group& tasks) {
        try_more(known_, busy_, node_.now(), [&](endpoint const& at) {
            tasks.spawn("metadata from " + at.to_string(), ask(at));  // counts itself out; it has not begun yet
            ++busy_;
            return tried::begun;
        });
    }

    net::task<void> ask(endpoint at) {
        auto& known = known_.at(at);
        struct counted {
            std::size_t& all;
            known_peer& known;
            ~counted() {
                --all;
                known.is_busy = false;
            }
        } const while_here{busy_, known};
        auto const why = co_await converse_with(at);
        known.is_banned = why == errc::own_connection || why == errc::banned;
        if (why == errc::too_many_peers)
            known.try_at = node_.now() + back_off(0);  // no fault of its own
        else
            failed(known, node_.now());
        news_.notify();
    }

    net::task<std::error_code> converse_with(endpoint at) {
        auto ours = node_.handshake_for(link_.swarm_hash());
        ours.fast = false;  // it would have us say what we have
        auto met = co_await node_.meet(at, ours, known_.at(at).tries_utp_first());
        if (!met) co_return met.error();
        auto& [stream, theirs] = met.value();
        if (theirs.id == node_.id) co_return make_error_code(errc::own_connection);
        if (!theirs.extensions) co_return make_error_code(wire::errc::no_metadata);
        tell(event::peer_joined{at, true});
        auto const why = co_await fetch(*stream);
        tell(event::peer_left{at, why, at});
        co_return why;
    }

    net::task<std::error_code> fetch(net::stream& from) {
        auto& clock = node_.outside.clock;
        struct long_one {
            std::size_t& all;
            bool is_counted = false;
            ~long_one() { all -= is_counted; }
        } counted{long_ones_};
        byte_vector place(read_length);
        wire::metadata_exchange core{{node_.settings.client, node_.port, from.remote().address}, clock.now()};
        while (!core.complete()) {
            while (!core.unsent().empty()) {
                std::array<byte_view, 1> const out{core.unsent()};
                auto const wrote = co_await net::with_deadline(clock, core.deadline(), from.write_some(out));
                if (!wrote) co_return wrote.error();
                core.sent(wrote.value());
            }
            auto const got =
                co_await net::with_deadline(clock, core.deadline(), from.read_some(mutable_byte_view{place}));
            if (!got) co_return got.error();
            if (auto const sound = core.receive(byte_view{place}.first(got.value()), clock.now()); !sound)
                co_return sound.error();
            if (core.size() && *core.size() > metadata_long && !counted.is_counted) {
                if (long_ones_ >= metadata_long_max) co_return make_error_code(errc::too_many_peers);
                ++long_ones_;
                counted.is_counted = true;
            }
        }
        auto const info = core.take();
        std::optional<result<metainfo::torrent>> made;
        co_await net::on_pool(node_.outside.workers, [&] { made.emplace(metainfo::torrent_of(link_, info)); });
        if (!*made && made->error() == metainfo::errc::other_torrent) co_return make_error_code(errc::banned);
        if (!found_) found_ = std::move(made);
        news_.notify();
        co_return std::error_code{};
    }

    node_state& node_;
    metainfo::magnet const& link_;
    magnet_options options_;
    net::signal news_;
    peer_book known_;
    std::vector<std::unique_ptr<announcer>> announcers_;
    std::optional<dht_announcer> dht_announcer_;
    std::size_t busy_ = 0;
    std::size_t long_ones_ = 0;  // conversations about long info dictionaries
    std::optional<result<metainfo::torrent>> found_;
};
}  // namespace

net::task<result<found_torrent>> node::find(metainfo::magnet link, magnet_options options) {
    if (!link.info_hash_v1) co_return make_error_code(errc::v2_only);
    if (state_->is_stopping) co_return make_error_code(errc::stopped);
    auto const keep = state_;
    metadata_search search{*keep, link, std::move(options)};
    co_return co_await search.run();
}
}  // namespace shoal::engine
