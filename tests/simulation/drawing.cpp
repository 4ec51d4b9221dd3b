#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "outsiders.hpp"
#include "swarm.hpp"

// What a swarm is made of.
namespace simulated_swarm {
namespace {
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
}  // namespace

swarm::swarm(std::uint64_t seed, troubles with)
    : draw_(seed), with_(with), memory_before_(heap_in_use()), content_(draw_content(draw_, seed, with)), sim_(seed) {
    for (std::size_t i = 0; i < fault_kinds; ++i)
        if (with.faults.test(i) && draw_.one_in(2)) drawn_.set(i);
    if (is_drawn(fault::allocation))  // those would strike what is no part of the program, too
        drawn_ &= ~some({fault::crash, fault::power_cut});
    if (std::getenv("SHOAL_TRACE") != nullptr) {
        sim_.tell_events([](std::string const& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
        sim_.remark("faults " + drawn_.to_string());
    }
    draw_peers(seed);
    if (with_.has_hub) draw_hub(seed);
    draw_links();
    draw_outsiders();
    draw_weather();
    for (auto& each : peers_) start(each);
}

void swarm::draw_peers(std::uint64_t seed) {
    auto const count = with_.poison ? draw_.between(4, 9) : 2 + std::min(draw_.between(0, 18), draw_.between(0, 18));
    bool const is_alone = is_drawn(fault::allocation) || with_.only_datagrams;
    auto const liars = is_alone               ? 0
                       : with_.poison         ? (3 * count + 3) / 7
                       : with_.corrupt_blocks ? draw_.between(1, 2)
                                              : 0;
    auto const silent = !is_alone && with_.slow_peers && draw_.one_in(2) ? draw_.between(1, 5) : 0;
    peers_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
        auto& each = peers_[i];
        each.host = i;
        each.address = at(i).address;
        each.is_seeder = i == 0;
        each.disk = std::make_shared<store::simulated_disk>(seed + i);
        each.troubles->mark = std::byte{0x80} | static_cast<std::byte>(i);
        // Everybody knows one who came before, and perhaps some more: the graph is connected.
        if (i > 0) each.knows.push_back(at(draw_.between(0, i - 1)));
        for (std::size_t k = 0; k < count; ++k)
            if (k != i && draw_.one_in(4)) each.knows.push_back(at(k));
    }
    auto const& files = content_.torrent->content().files();
    for (std::size_t i = 0; i < files.size(); ++i)
        if (!files[i].pad) peers_[0].disk->put(std::to_string(i), content_.files[i]);
    draw_dishonest(seed, liars, silent);
    hosts_ = count + liars + silent;
    // In some runs nobody is told of anybody honest: they find each other by themselves.
    way_ = draw_.one_in(3) ? draw_.one_in(2) ? way::dht : way::local : way::told;
    if (with_.has_hub) way_ = way::hub;
    has_utp_ = with_.only_datagrams || draw_.one_in(2);
    is_private_ = way_ == way::told && draw_.one_in(3);
    is_star_ = is_private_ && with_.slow_peers && draw_.one_in(2);
    if (is_star_)  // nobody but the seeder can be connected to, and it has not much to give
        for (std::size_t i = 1; i < count; ++i) peers_[i].knows = {at(0)};
    if (way_ == way::told) return;
    for (auto& each : peers_)
        std::erase_if(each.knows, [this](endpoint const& who) { return !dishonest_.contains(who.address); });
}

void swarm::draw_dishonest(std::uint64_t seed, std::size_t liars, std::size_t silent) {
    auto const count = peers_.size();
    bool const all_lie_seldom = draw_.one_in(2);
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
}

/// One block in a hundred, or about the same block of each piece, or much after a blameless beginning.
void swarm::draw_lie(testing::lie& how, bool seldom) {
    how.one_in = 100;
    how.leaves = draw_.one_in(4);
    if (seldom) return;
    using target = testing::lie::target;
    how.about = std::array{target::any, target::one_of_each_piece, target::last_of_each_piece}[draw_.between(0, 2)];
    how.one_in = how.about == target::any ? 2 : 1;
    how.right_first = static_cast<std::uint32_t>(draw_.between(0, 30));
}

/// Who wants what nobody has told of, and who announces others.
void swarm::draw_outsiders() {
    bool const is_alone = is_drawn(fault::allocation) || with_.only_datagrams;
    if (is_alone) return;
    if (draw_.one_in(3)) {
        auto const of = draw_.between(0, peers_.size() - 1);
        auto& outside = sim_.host(hosts_++);
        sim_.spawn("asks for anything",
                   ask_for_anything(outside, at(of), content_, draw_.between(1, 1'000'000),
                                    [this, from = at(of).address](block_ref block, byte_view bytes) {
                                        look_at_block(from, block, bytes);
                                    }));
    }
    if (way_ != way::dht) return;
    std::vector<endpoint> nodes;
    for (auto const& each : peers_) nodes.push_back(at(each.host));
    auto const host = hosts_++;
    sim_.spawn("announces itself",
               announce_without_token(sim_.host(host), at(host), std::move(nodes), content_.torrent->swarm_hash(),
                                      [this] { complain("somebody believed a forged announce"); }));
}

/// Beside the content that all want, some share one of their own, and some of those not for long.
void swarm::draw_hub(std::uint64_t seed) {
    hub_host_ = hosts_++;
    sim_.name(std::string{hub_name}, at(hub_host_).address);
    sim_.trace_no_bytes();
    hub_ = std::make_unique<hub_machine>(sim_.host(hub_host_), sim_.executor(),
                                         endpoint{at(hub_host_).address, hub_port}, draw_.one_in(3));
    hub_->on_failure = [this](std::string const& task) { complain("a task of the hub failed: " + task); };
    hub_->on_line = [this](std::string_view line) { sim_.remark("hub: " + std::string{line}); };
    hub_->start();
    is_private_ = draw_.one_in(2);
    is_announced_ = draw_.one_in(3);
    for (auto& each : peers_) {
        each.ever_had = bitfield{content_.torrent->pieces().piece_count(), each.is_seeder};
        if (!draw_.one_in(3)) continue;
        testing::content_settings settings;
        settings.seed = seed + each.host;
        each.own.emplace(
            testing::make_content({{"own-" + std::to_string(each.host), draw_.between(1, 5000)}}, settings));
        if (draw_.one_in(2)) later([this, &each] { withdraw_own(each); });
    }
}

void swarm::draw_links() {
    bool const is_slow = is_drawn(fault::delay);
    for (std::size_t i = 0; i < hosts_; ++i) {
        testing::host_link link;
        link.latency = std::chrono::milliseconds(draw_.between(1, is_slow ? 300 : 40));
        if (is_slow && draw_.one_in(2)) link.upload = draw_.between(10, 300) * 1024;
        if (is_slow && draw_.one_in(3)) link.download = draw_.between(20, 500) * 1024;
        sim_.connect_by(i, link);
    }
    if (is_star_) peers_[0].upload_limit = draw_.between(20, 100) * 1024;
    for (auto& each : peers_)
        if (with_.slow_peers && draw_.one_in(3)) each.upload_limit = draw_.between(20, 400) * 1024;
}
}  // namespace simulated_swarm
