#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "swarm_run.hpp"

import shoal.asio;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import shoal.testing;

using namespace shoal;
using namespace std::chrono_literals;

namespace simulated_swarm {
namespace {
constexpr std::uint16_t port = 6881;
constexpr auto time_to_finish = 2h;  // simulated
constexpr auto time_to_stop = 1min;
constexpr auto hear_of_peers_every = 60s;  // what a tracker would do

/// Chance from the seed alone, the same on every standard library.
class chance {
public:
    explicit chance(std::uint64_t seed) : random_(seed) {}
    std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + random_() % (high - low + 1); }
    bool one_in(std::uint64_t n) { return random_() % n == 0; }

private:
    std::mt19937_64 random_;
};

testing::content draw_content(chance& draw, std::uint64_t seed, troubles with) {
    testing::content_settings settings;
    // One who sent only a part of a wrong piece is to be found out: such pieces have several blocks.
    settings.piece_length = (with.poison ? 4u : 1u) * (draw.one_in(2) ? 16 * 1024 : 32 * 1024);
    settings.format = draw.one_in(with.poison ? 2 : 3) ? metainfo::format::v1 : metainfo::format::hybrid;
    settings.seed = seed;
    std::vector<std::pair<std::string, std::size_t>> files{{"empty", 0}};
    auto left = draw.between(20, with.poison ? 30 : 60) * settings.piece_length - draw.between(0, 5000);
    for (int i = 0; left > 0; ++i) {
        auto const size = i == 5 ? left : std::min(left, draw.between(1, left));
        files.emplace_back("folder/" + std::to_string(i), size);
        left -= size;
    }
    return testing::make_content(files, settings);
}

struct peer {
    std::size_t host = 0;
    bool is_seeder = false;
    std::uint64_t upload_limit = 0;
    std::shared_ptr<store::simulated_disk> disk;
    std::unique_ptr<engine::node> node;
    std::shared_ptr<engine::transfer> transfer;
    std::vector<endpoint> knows;
    bool is_complete = false;
    bool is_changing = false;  // it is stopping, to start again
    std::set<ip_address> took_wrong_of, banned;
};

/// Files that tell of all that is written to them.
class watched_files final : public store::simulated_files {
public:
    using observer = std::function<void(store::file_number, std::uint64_t offset, byte_view bytes)>;
    watched_files(std::shared_ptr<store::simulated_disk> disk, observer on_write)
        : simulated_files(std::move(disk)), on_write_(std::move(on_write)) {}
    result<void> write(store::file_number file, std::uint64_t offset, std::span<byte_view const> buffers) override {
        for (auto at = offset; auto const& each : buffers) {
            on_write_(file, at, each);
            at += each.size();
        }
        return simulated_files::write(file, offset, buffers);
    }

private:
    observer on_write_;
};

class swarm {
public:
    swarm(std::uint64_t seed, troubles with)
        : draw_(seed), with_(with), content_(draw_content(draw_, seed, with)), sim_(seed) {
        draw_peers(seed);
        draw_links();
        draw_faults();
        for (auto& each : peers_) start(each);
    }

    outcome run() {
        auto const began = sim_.now();
        sim_.spawn("tracker", keep_introducing());
        bool const done = sim_.run_until([this] { return !wrong_.empty() || is_done(); }, time_to_finish);
        outcome result;
        result.seconds = std::chrono::duration<double>(sim_.now() - began).count();
        if (!done) complain("not done in time: " + progress());
        for (auto const& each : peers_) check_content(each);
        for (auto const& each : peers_) check_bans(each, result);
        is_over_ = true;
        bool stopped = false;
        sim_.spawn("stop", stop_all(stopped));
        if (!sim_.run_until([&] { return stopped; }, time_to_stop)) complain("not stopped in time");
        result.wrong = wrong_;
        result.trace = sim_.trace();
        result.peers = peers_.size();
        result.rejected_pieces = rejected_pieces_;
        result.resets = resets_;
        can_end_ = stopped;
        return result;
    }

    /// Its tasks have ended; otherwise the world has to be left as it is.
    bool can_end() const noexcept { return can_end_; }

private:
    void draw_peers(std::uint64_t seed) {
        auto const count =
            with_.poison ? draw_.between(4, 9) : 2 + std::min(draw_.between(0, 18), draw_.between(0, 18));
        auto const liars = with_.poison ? (3 * count + 3) / 7 : with_.corrupt_blocks ? draw_.between(1, 2) : 0;
        bool const all_lie_seldom = draw_.one_in(2);
        auto const silent = with_.slow_peers ? draw_.between(0, 1) : 0;
        peers_.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            auto& each = peers_[i];
            each.host = i;
            each.is_seeder = i == 0;
            each.disk = std::make_shared<store::simulated_disk>(seed + i);
            // Everybody knows one who came before, and perhaps some more: the graph is connected.
            if (i > 0) each.knows.push_back(at(draw_.between(0, i - 1)));
            for (std::size_t k = 0; k < count; ++k)
                if (k != i && draw_.one_in(4)) each.knows.push_back(at(k));
        }
        auto const& files = content_.torrent->content().files();
        for (std::size_t i = 0; i < files.size(); ++i)
            if (!files[i].pad) peers_[0].disk->put(std::to_string(i), content_.files[i]);
        for (std::size_t i = 0; i < liars + silent; ++i) {
            auto const host = count + i;
            dishonest_.insert(at(host).address);
            testing::lie how;
            how.seed = seed * 10 + i;
            how.one_in = i < liars ? static_cast<std::uint32_t>(draw_.between(1, 10)) : 0;
            if (with_.poison && i < liars) draw_lie(how, all_lie_seldom);
            how.difference = static_cast<std::byte>(i + 1);
            how.on_lie = [this, liar = at(host).address](endpoint const& to) { lied_to_.emplace(liar, to.address); };
            liars_.push_back(at(host).address);
            auto listener = sim_.host(host).network.listen(at(host)).value();
            sim_.spawn("liar", testing::serve_lies(sim_.host(host), std::move(listener), content_, how));
            for (std::size_t k = 1; k < count; ++k)
                if (draw_.one_in(2)) peers_[k].knows.push_back(at(host));
        }
        hosts_ = count + liars + silent;
        // In some runs nobody is told of anybody honest: they find each other by themselves.
        way_ = draw_.one_in(3) ? draw_.one_in(2) ? way::dht : way::local : way::told;
        has_utp_ = draw_.one_in(2);
        if (way_ == way::told) return;
        for (auto& each : peers_)
            std::erase_if(each.knows, [this](endpoint const& who) { return !dishonest_.contains(who.address); });
    }

    /// One block in a hundred, or about the same block of each piece, or much after a blameless beginning.
    void draw_lie(testing::lie& how, bool seldom) {
        how.one_in = 100;
        how.leaves = draw_.one_in(4);
        if (seldom) return;
        using target = testing::lie::target;
        how.about = std::array{target::any, target::one_of_each_piece, target::last_of_each_piece}[draw_.between(0, 2)];
        how.one_in = how.about == target::any ? 2 : 1;
        how.right_first = static_cast<std::uint32_t>(draw_.between(0, 30));
    }

    void draw_links() {
        for (std::size_t i = 0; i < hosts_; ++i) {
            testing::host_link link;
            link.latency = std::chrono::milliseconds(draw_.between(1, with_.slow_peers ? 300 : 40));
            if (with_.slow_peers && draw_.one_in(2)) link.upload = draw_.between(10, 300) * 1024;
            if (with_.slow_peers && draw_.one_in(3)) link.download = draw_.between(20, 500) * 1024;
            sim_.connect_by(i, link);
        }
        for (auto& each : peers_)
            if (with_.slow_peers && draw_.one_in(3)) each.upload_limit = draw_.between(20, 400) * 1024;
    }

    void draw_faults() {
        testing::fault_rates rates;
        rates.short_transfers = draw_.one_in(8);
        rates.datagram_loss = static_cast<double>(draw_.between(0, 20)) / 100;
        if (with_.lost_connections) {
            rates.reset_after_mean = draw_.between(50, 1000) * 1024;
            for (auto n = draw_.between(0, 4); n > 0; --n)
                sim_.after(some_time(), [this, host = draw_.between(0, peers_.size() - 1)] {
                    ++resets_;
                    sim_.reset_connections(host);
                });
            for (auto n = draw_.between(0, 2); n > 0; --n) {
                auto const a = draw_.between(0, hosts_ - 1), b = draw_.between(0, hosts_ - 1);
                if (a == b) continue;
                auto const from = some_time();
                sim_.after(from, [this, a, b] { sim_.separate(a, b); });
                sim_.after(from + draw_.between(1, 400) * 1s, [this, a, b] { sim_.rejoin(a, b); });
            }
        }
        sim_.set_faults(rates);
        if (!with_.failing_disks) return;
        for (std::size_t i = 1; i < peers_.size(); ++i) {
            if (draw_.one_in(2))
                peers_[i].disk->fail(draw_.between(10, 200), draw_.one_in(2) ? ENOSPC : EIO, draw_.between(1, 4));
            if (draw_.one_in(3))
                sim_.after(some_time(), [this, i] {
                    if (!is_over_) sim_.spawn("restart", restart(peers_[i]));
                });
        }
    }

    duration some_time() { return std::chrono::milliseconds(draw_.between(1, draw_.one_in(2) ? 2'000 : 30'000)); }

    endpoint at(std::size_t host) {
        sim_.host(host);
        return {sim_.address_of(host), port};
    }

    void start(peer& who) {
        engine::node_settings settings;
        settings.upload_limit = who.upload_limit;
        settings.dht = way_ == way::dht;
        settings.local_discovery = way_ == way::local;
        settings.utp = has_utp_;
        if (settings.dht) settings.dht_routers = {{sim_.address_of(0).to_string(), port}};
        settings.on_failure = [this](std::string_view task, std::exception_ptr const&) {
            complain("a task failed: " + std::string{task});
        };
        auto& outside = sim_.host(who.host);
        who.banned.clear();
        who.node = std::make_unique<engine::node>(outside, sim_.executor(), settings);
        if (!who.node->listen(at(who.host))) complain(name(who) + " cannot listen");
        engine::transfer_options options;
        options.storage.writable = !who.is_seeder;
        options.files = std::make_shared<watched_files>(
            who.disk, [this, &who](store::file_number file, std::uint64_t offset, byte_view bytes) {
                look_for_lies(who, file, offset, bytes);
            });
        options.connect = who.knows;
        options.on_event = [this, &who](engine::transfer_event const& what) { happened(who, what); };
        who.transfer = who.node->add(content_.torrent, std::move(options)).value();
    }

    void happened(peer& who, engine::transfer_event const& what) {
        namespace event = engine::event;
        if (auto const* verified = std::get_if<event::piece_verified>(&what)) {
            who.is_complete = false;  // a disk that failed can cost pieces of a complete content
            check_piece(who, verified->piece);
        }
        if (std::holds_alternative<event::piece_rejected>(what)) {
            ++rejected_pieces_;
            if (!with_.corrupt_blocks && !with_.poison) complain(name(who) + " rejected a piece although nobody lies");
        }
        if (std::holds_alternative<event::completed>(what)) {
            who.is_complete = true;
            check_content(who);
        }
        if (auto const* banned = std::get_if<event::peer_banned>(&what)) {
            who.banned.insert(banned->address);
            if (!lied_to_.contains({banned->address, at(who.host).address}))
                complain(name(who) + " banned " + banned->address.to_string() + ", who has not lied to it");
        }
        if (auto const* joined = std::get_if<event::peer_joined>(&what))
            if (who.banned.contains(joined->remote.address))
                complain(name(who) + " talks to one whom it has banned: " + joined->remote.to_string());
    }

    /// Each liar's blocks differ in its own way from what is right.
    void look_for_lies(peer& who, store::file_number file, std::uint64_t offset, byte_view bytes) {
        auto const right = byte_view{content_.files[file]}.subspan(offset, bytes.size());
        if (equal(bytes, right)) return;
        auto const [is, should_be] = std::ranges::mismatch(bytes, right);
        who.took_wrong_of.insert(liars_.at(std::to_integer<std::size_t>(*is ^ *should_be) - 1));
    }

    void check_bans(peer const& who, outcome& result) {
        result.bans += who.banned.size();
        result.liars_taken_in_by += who.took_wrong_of.size();
        if (!with_.poison) return;
        for (auto const& liar : who.took_wrong_of)
            if (!who.banned.contains(liar)) complain(name(who) + " has not banned the liar " + liar.to_string());
    }

    /// What the disk gives for a file, under either name.
    std::optional<byte_vector> file_of(peer const& who, std::size_t file) const {
        auto part = who.disk->content(std::to_string(file) + ".part");
        return part ? part : who.disk->content(std::to_string(file));
    }

    void check_piece(peer const& who, piece_index piece) {
        auto const& pieces = content_.torrent->pieces();
        auto const& layout = content_.torrent->content();
        for (auto const& range : layout.ranges(pieces.offset_of(piece), pieces.piece_size(piece))) {
            if (layout.files()[range.file].pad) continue;
            auto const there = file_of(who, range.file);
            if (!there || there->size() < range.offset + range.length ||
                !equal(byte_view{*there}.subspan(range.offset, range.length),
                       byte_view{content_.files[range.file]}.subspan(range.offset, range.length)))
                complain(name(who) + " holds a wrong piece " + std::to_string(to_number(piece)));
        }
    }

    void check_content(peer const& who) {
        if (!has_all(who)) return;
        auto const& files = content_.torrent->content().files();
        for (std::size_t i = 0; i < files.size(); ++i)
            if (!files[i].pad && who.disk->content(std::to_string(i)) != content_.files[i])
                complain(name(who) + " is complete with a wrong file " + std::to_string(i));
    }

    bool has_all(peer const& who) const {
        return who.is_seeder || (who.is_complete && !who.is_changing && who.transfer->status().bytes_left == 0);
    }
    bool is_done() const {
        if (std::ranges::any_of(peers_, [](auto const& each) { return !each.is_seeder && !each.is_complete; }))
            return false;  // asked after every event: what costs little comes first
        return std::ranges::all_of(peers_, [this](auto const& each) { return has_all(each); });
    }

    net::task<void> keep_introducing() {
        auto& clock = sim_.host(0).clock;
        while (!is_over_) {
            co_await clock.sleep(hear_of_peers_every);
            for (auto& each : peers_)
                if (!each.is_complete && each.transfer) each.transfer->connect(each.knows);
        }
    }

    net::task<void> restart(peer& who) {
        if (std::exchange(who.is_changing, true)) co_return;
        co_await who.node->stop();
        who.transfer.reset();
        who.node.reset();
        who.is_complete = false;  // told again by the new one, at once where it was
        co_await sim_.host(who.host).clock.sleep(3s);
        who.is_changing = false;
        start(who);
    }

    net::task<void> stop_all(bool& stopped) {
        auto& clock = sim_.host(0).clock;
        for (auto& each : peers_) {
            while (each.is_changing) co_await clock.sleep(1s);
            co_await each.node->stop();
            each.transfer.reset();
            each.node.reset();
        }
        stopped = true;
    }

    std::string name(peer const& who) const { return "peer " + std::to_string(who.host); }
    std::string progress() const {
        std::string text;
        for (auto const& each : peers_) {
            text += ' ' + std::to_string(each.host) + ':';
            if (!each.transfer) continue;
            auto const now = each.transfer->status();
            text += std::to_string(now.pieces_have) + '/' + std::to_string(now.pieces_total) + " state " +
                    std::to_string(static_cast<int>(now.state)) + " peers " + std::to_string(now.peers);
            if (now.error) text += " (" + now.error.message() + ')';
        }
        return text;
    }
    void complain(std::string what) {
        if (wrong_.empty()) wrong_ = std::move(what);
    }

    /// How the honest hear of each other.
    enum class way { told, dht, local };

    chance draw_;
    troubles with_;
    testing::content content_;
    way way_ = way::told;
    bool has_utp_ = false;
    std::vector<peer> peers_;
    std::set<ip_address> dishonest_;
    std::vector<ip_address> liars_;                        // in the order of how their blocks differ
    std::set<std::pair<ip_address, ip_address>> lied_to_;  // by whom, and who
    std::size_t hosts_ = 0;
    std::string wrong_;
    std::uint64_t rejected_pieces_ = 0, resets_ = 0;
    bool is_over_ = false;
    bool can_end_ = false;
    testing::simulation sim_;  // ends first: its tasks use all the above
};
}  // namespace

outcome run(std::uint64_t seed, troubles with) {
    auto world = std::make_unique<swarm>(seed, with);
    auto const result = world->run();
    if (!world->can_end()) (void)world.release();  // tasks that do not end would end the program in its destructor
    return result;
}
}  // namespace simulated_swarm
