#include <benchmark/benchmark.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

import shoal.choker;
import shoal.core;
import shoal.picker;

// Which rules bring a file to all peers of a swarm soonest? Time until the last one is complete, divided by the fluid
// bound max(F / u_seed, N F / (u_seed + sum u_i)). A swarm in values: real pickers and chokers, uplinks that send one
// block after another, messages that take a fixed time, no sockets. What it taught is in docs/scheduling.md.

namespace {
using namespace shoal;
using picker::peer_slot;

constexpr double mib = 1024.0 * 1024.0;

/// The order in which an uplink serves the blocks that its unchoked peers asked for; without either, in turn.
struct serving {
    bool whole_runs = true;
    bool least_first = true;
};

struct rules {
    std::size_t seed_slots = 0;     // 0: the choker's own number
    std::size_t leecher_slots = 0;  // likewise
    serving seed_serves{};
    serving leecher_serves{};
    std::size_t depth_min = 4;   // requests outstanding to one peer, at least
    double depth_seconds = 0.5;  // and at least what comes in this time

    bool fast = true;
    bool seeding_order = false;  // leechers too give to those that were given least
};

struct scene {
    std::uint32_t leechers = 12;
    double seed_up = 2 * mib;
    std::function<double(std::uint32_t)> leecher_up = [](std::uint32_t) { return mib; };
    std::function<double(std::uint32_t)> joins_at = [](std::uint32_t) { return 0.0; };
    std::function<bool(std::uint32_t)> leaves = [](std::uint32_t) { return true; };
    std::uint64_t size = 24 * 1024 * 1024;
    std::uint32_t piece_length = 256 * 1024;
    double latency = 0.002;
};

struct outcome {
    double last = 0, median = 0, first = 0;  // relative to the bound
    double seed_sent = 0;                    // copies of the file
    double wasted = 0;                       // blocks that came too late, of all blocks needed
};

class swarm {
public:
    swarm(scene const& where, rules const& how, std::uint64_t seed) : scene_(where), rules_(how), random_(seed) {
        for (std::uint32_t i = 0; i <= scene_.leechers; ++i) {
            auto const slots = i == 0 ? how.seed_slots : how.leecher_slots;
            nodes_.emplace_back(picker::picker_settings{where.piece_length, where.size, random_.next(), {}},
                                choker::choker_settings{slots, random_.next()});
            nodes_[i].up = i == 0 ? where.seed_up : where.leecher_up(i);
            nodes_[i].links.resize(scene_.leechers + 1);
        }
        auto& first = nodes_[0].blocks;
        for (std::uint32_t piece = 0; piece < first.piece_count(); ++piece) first.set_have(piece_index{piece});
    }

    outcome run() {
        for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
            at(i == 0 ? 0 : scene_.joins_at(i), [this, i] { join(i); });
        }
        while (!events_.empty() && done_.size() < scene_.leechers && now_ < 10'000) {
            auto const next = events_.top();
            events_.pop();
            now_ = next.at;
            next.run();
        }
        return summary();
    }

private:
    struct link {
        std::deque<block_ref> asked_of_me;  // by the other side, not yet sent
        block_ref sent_last{};
        bool is_unchoked = false;  // I serve it
        bool serves_me = false;    // it has said so
        time_point last_unchoked{};
        std::uint64_t given = 0, got = 0;
        double rate_out = 0, rate_in = 0;  // bytes a second, fading
        double rated_at = 0;
    };
    struct node {
        node(picker::picker_settings const& p, choker::choker_settings const& c) : blocks(p), choice(c) {}
        picker::picker blocks;
        choker::choker choice;
        std::vector<link> links;
        double up = 0;
        bool is_here = false, is_sending = false;
        choker::uplink line;
        std::uint64_t sent = 0;
    };
    struct event {
        double at;
        std::uint64_t order;
        std::function<void()> run;
        bool operator<(event const& other) const { return at != other.at ? at > other.at : order > other.order; }
    };

    void at(double when, std::function<void()> run) { events_.push({when, order_++, std::move(run)}); }
    void later(std::function<void()> run) { at(now_ + scene_.latency, std::move(run)); }
    time_point clock() const {
        return time_point{} + std::chrono::hours{1} +
               std::chrono::duration_cast<duration>(std::chrono::duration<double>{now_});
    }
    bool is_gone(std::uint32_t i) const { return !nodes_[i].is_here; }

    void join(std::uint32_t i) {
        nodes_[i].is_here = true;
        for (std::uint32_t j = 0; j < nodes_.size(); ++j) {
            if (j == i || is_gone(j)) continue;
            for (auto const [me, other] : {std::pair{i, j}, std::pair{j, i}}) {
                nodes_[me].blocks.add_peer(peer_slot{other});
                nodes_[me].blocks.peer_has(peer_slot{other}, nodes_[other].blocks.have());
                nodes_[me].links[other] = {};
                interest_changed(other);
            }
        }
        hold_round(i);
    }

    void leave(std::uint32_t i) {
        nodes_[i].is_here = false;
        for (std::uint32_t j = 0; j < nodes_.size(); ++j) {
            if (j == i || is_gone(j)) continue;
            nodes_[j].blocks.remove_peer(peer_slot{i});
            nodes_[j].links[i] = {};
            interest_changed(j);
        }
        for (std::uint32_t j = 0; j < nodes_.size(); ++j) refill_all(j);
    }

    // Choking.

    void interest_changed(std::uint32_t i) {
        auto const before = nodes_[i].choice.deadline();
        nodes_[i].choice.changed(clock());
        if (nodes_[i].choice.deadline() < before) wake_choker(i);
    }

    void wake_choker(std::uint32_t i) {
        auto const wait = std::chrono::duration<double>{nodes_[i].choice.deadline() - clock()}.count();
        at(now_ + std::max(0.0, wait) + 1e-6, [this, i] {
            if (!is_gone(i) && nodes_[i].choice.deadline() <= clock()) hold_round(i);
        });
    }

    void hold_round(std::uint32_t i) {
        auto& me = nodes_[i];
        std::vector<choker::candidate> candidates;
        for (std::uint32_t j = 0; j < nodes_.size(); ++j) {
            if (j == i || is_gone(j)) continue;
            fade(me.links[j]);
            auto const& l = me.links[j];
            candidates.push_back({.id = j,
                                  .is_interested = nodes_[j].blocks.is_interesting(peer_slot{i}),
                                  .is_unchoked = l.is_unchoked,
                                  .download_rate = static_cast<std::uint64_t>(l.rate_in),
                                  .upload_rate = static_cast<std::uint64_t>(l.rate_out),
                                  .uploaded_total = l.given,
                                  .have_count = nodes_[j].blocks.have().count(),
                                  .last_unchoked = l.last_unchoked});
        }
        auto const served = me.choice.round(candidates, me.blocks.complete() || rules_.seeding_order,
                                            static_cast<std::uint64_t>(me.up), clock());
        for (auto const& peer : candidates) {
            auto const is_served = std::ranges::find(served, peer.id) != served.end();
            auto& l = me.links[peer.id];
            if (is_served == l.is_unchoked) continue;
            l.is_unchoked = is_served;
            if (is_served) l.last_unchoked = clock();
            if (!is_served) l.asked_of_me.clear();
            later([this, i, other = peer.id, is_served] { choke_told(other, i, is_served); });
        }
        wake_choker(i);
    }

    void choke_told(std::uint32_t me, std::uint32_t by, bool is_served) {
        if (is_gone(me) || is_gone(by)) return;
        nodes_[me].links[by].serves_me = is_served;
        if (!is_served) {
            give_back_all(me, by);
        }
        refill(me, by);
    }

    void give_back_all(std::uint32_t me, std::uint32_t by) {
        auto& mine = asked_[key(me, by)];
        for (auto const& block : mine) nodes_[me].blocks.returned(peer_slot{by}, block);
        mine.clear();
        refill_all(me);
    }

    // Asking.

    std::size_t key(std::uint32_t me, std::uint32_t of) const { return me * nodes_.size() + of; }

    void refill_all(std::uint32_t me) {
        if (is_gone(me)) return;
        for (std::uint32_t j = 0; j < nodes_.size(); ++j) {
            if (j != me && !is_gone(j)) refill(me, j);
        }
    }

    void refill(std::uint32_t me, std::uint32_t of) {
        auto& l = nodes_[me].links[of];
        if (!l.serves_me) return;
        fade(l);
        auto depth =
            std::max(rules_.depth_min, static_cast<std::size_t>(l.rate_in * rules_.depth_seconds / block_length));
        auto const outstanding = nodes_[me].blocks.outstanding(peer_slot{of});
        if (outstanding >= depth) return;
        std::vector<block_ref> blocks;
        nodes_[me].blocks.pick(peer_slot{of}, depth - outstanding, rules_.fast, blocks);
        for (auto const& block : blocks) {
            asked_[key(me, of)].push_back(block);
            later([this, me, of, block] {
                if (is_gone(me) || is_gone(of) || !nodes_[of].links[me].is_unchoked) return;
                nodes_[of].links[me].asked_of_me.push_back(block);
                send_next(of);
            });
        }
    }

    // Serving.

    void send_next(std::uint32_t i) {
        auto& me = nodes_[i];
        if (me.is_sending || is_gone(i)) return;
        auto const to = choose_receiver(i);
        if (!to) return;
        auto const block = me.links[*to].asked_of_me.front();
        me.links[*to].asked_of_me.pop_front();
        me.links[*to].sent_last = block;
        me.line.sent(block.length);
        me.is_sending = true;
        me.sent += block.length;
        (i == 0 ? util_seed : util_leech)[static_cast<int>(now_)] += block.length;
        count(me.links[*to].rate_out, me.links[*to].given, me.links[*to], block.length);
        at(now_ + block.length / me.up, [this, i, to = *to, block] {
            nodes_[i].is_sending = false;
            later([this, i, to, block] { arrived(to, i, block); });
            send_next(i);
        });
    }

    std::optional<std::uint32_t> choose_receiver(std::uint32_t i) {
        auto& me = nodes_[i];
        auto const how = i == 0 ? rules_.seed_serves : rules_.leecher_serves;
        std::vector<choker::waiting_peer> waiting;
        for (std::uint32_t j = 0; j < nodes_.size(); ++j) {
            auto const& l = me.links[j];
            if (j == i || is_gone(j) || l.asked_of_me.empty()) continue;
            auto const& next = l.asked_of_me.front();
            auto const follows =
                next.piece == l.sent_last.piece && next.begin == l.sent_last.begin + l.sent_last.length;
            waiting.push_back(
                {.id = j, .progress = how.least_first ? progress(i, j) : 0, .is_in_run = how.whole_runs && follows});
        }
        return me.line.next(waiting);
    }

    std::uint64_t progress(std::uint32_t i, std::uint32_t of) const {
        return std::max(std::uint64_t{nodes_[of].blocks.have().count()} * scene_.piece_length,
                        nodes_[i].links[of].given);
    }

    void arrived(std::uint32_t me, std::uint32_t from, block_ref block) {
        if (is_gone(me)) return;
        auto& blocks = nodes_[me].blocks;
        if (!is_gone(from)) {
            auto& l = nodes_[me].links[from];
            count(l.rate_in, l.got, l, block.length);
        }
        std::erase(asked_[key(me, from)], block);
        std::vector<peer_slot> also;
        auto const arrival = blocks.received(peer_slot{from}, block, also);
        if (!arrival.wanted) ++wasted_;
        for (auto const slot : also) {
            auto const other = to_number(slot);
            std::erase(asked_[key(me, other)], block);
            later([this, me, other, block] {
                if (!is_gone(other)) std::erase(nodes_[other].links[me].asked_of_me, block);
            });
        }
        if (arrival.piece_complete) have(me, block.piece);
        if (is_gone(me)) return;
        if (!is_gone(from)) refill(me, from);
        for (auto const slot : also) refill(me, to_number(slot));
    }

    void have(std::uint32_t me, piece_index piece) {
        nodes_[me].blocks.set_have(piece);
        for (std::uint32_t j = 0; j < nodes_.size(); ++j) {
            if (j == me || is_gone(j)) continue;
            later([this, me, j, piece] {
                if (is_gone(j) || is_gone(me)) return;
                auto const was_interesting = nodes_[j].blocks.is_interesting(peer_slot{me});
                nodes_[j].blocks.peer_has(peer_slot{me}, piece);
                if (!was_interesting && nodes_[j].blocks.is_interesting(peer_slot{me})) interest_changed(me);
                refill(j, me);
            });
        }
        if (!nodes_[me].blocks.complete()) return;
        done_.push_back(now_);
        if (scene_.leaves(me)) leave(me);
    }

    // Rates fade with a time constant of three seconds.
    void fade(link& l) const {
        auto const keep = std::exp(-(now_ - l.rated_at) / 3);
        l.rate_in *= keep;
        l.rate_out *= keep;
        l.rated_at = now_;
    }
    void count(double& rate, std::uint64_t& total, link& l, std::uint32_t bytes) const {
        fade(l);
        rate += bytes / 3.0;
        total += bytes;
    }

    /// When the uplinks could have sent so many bytes at the earliest, each from the time it joined.
    double until_sent(double bytes) const {
        double until = 0;
        for (double step = 1000; step > 1e-6; step /= 2) {
            auto sum = scene_.seed_up * (until + step);
            for (std::uint32_t i = 1; i < nodes_.size(); ++i) {
                sum += nodes_[i].up * std::max(0.0, until + step - scene_.joins_at(i));
            }
            if (sum < bytes) until += step;
        }
        return until;
    }

    outcome summary() {
        if (std::getenv("UTIL")) {
            for (auto& [t, b] : util_leech)
                std::printf("%d:%.2f/%.2f ", t, util_seed[t] / scene_.seed_up, b / (scene_.leechers * mib));
            std::puts("");
        }

        auto const size = static_cast<double>(scene_.size);
        auto const bound = std::max(size / scene_.seed_up, until_sent(scene_.leechers * size));
        done_.resize(scene_.leechers, 1e9);
        auto const needed = scene_.leechers * size / block_length;
        return {done_.back() / bound, done_[done_.size() / 2] / bound, done_.front() / bound,
                static_cast<double>(nodes_[0].sent) / size, static_cast<double>(wasted_) / needed};
    }

    scene scene_;
    rules rules_;
    picker::random_sequence random_;
    std::vector<node> nodes_;
    std::vector<double> done_;
    std::map<std::size_t, std::vector<block_ref>> asked_;  // what `me` waits for of `of`
    std::priority_queue<event> events_;
    double now_ = 0;
    std::map<int, double> util_seed, util_leech;
    std::uint64_t order_ = 0;
    std::uint64_t wasted_ = 0;
};

void measure(benchmark::State& state, scene const& where, rules const& how) {
    auto const* const asked = std::getenv("SHOAL_SWARM_SEEDS");
    std::uint64_t const seeds = asked == nullptr ? 2 : std::strtoull(asked, nullptr, 10);
    std::vector<double> last;
    outcome sum;
    for (auto _ : state) {
        for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
            auto const got = swarm{where, how, seed}.run();
            last.push_back(got.last);
            sum.median += got.median / static_cast<double>(seeds);
            sum.first += got.first / static_cast<double>(seeds);
            sum.seed_sent += got.seed_sent / static_cast<double>(seeds);
            sum.wasted += got.wasted / static_cast<double>(seeds);
        }
    }
    std::ranges::sort(last);
    state.counters["last"] = last[last.size() / 2];
    state.counters["worst"] = last.back();
    state.counters["mid"] = sum.median;
    state.counters["first"] = sum.first;
    state.counters["seed_F"] = sum.seed_sent;
    state.counters["waste"] = sum.wasted;
}

void add(std::string const& name, scene const& where, rules const& how) {
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { measure(state, where, how); })
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}

int const registered = [] {
    scene const twelve;
    scene thirty{.leechers = 30};
    thirty.leecher_up = [](std::uint32_t i) { return std::array{0.25, 1.0, 3.0}[i % 3] * mib; };
    scene arriving{.leechers = 30};
    arriving.joins_at = [](std::uint32_t i) { return 0.5 * i; };
    scene staying{.leechers = 30};
    staying.leaves = [](std::uint32_t i) { return i % 3 == 0; };
    for (auto const& [name, where] : {std::pair{"12", twelve},
                                      {"30 in 3 classes", thirty},
                                      {"30 arriving, 2 a second", arriving},
                                      {"30, a third leaves", staying}}) {
        auto const variant = [&](std::string const& what, rules const& how) { add(name + (": " + what), where, how); };
        variant("defaults", {});
        for (std::size_t const slots : {4, 8, 32}) {
            variant("slots " + std::to_string(slots), {.seed_slots = slots, .leecher_slots = slots});
        }
        variant("blocks in turn", {.seed_serves = {false, false}, .leecher_serves = {false, false}});
        variant("blocks, least first", {.seed_serves = {false, true}, .leecher_serves = {false, true}});
        variant("runs in turn", {.seed_serves = {true, false}, .leecher_serves = {true, false}});
        for (std::size_t const depth : {1, 2, 8, 16}) {
            variant("depth " + std::to_string(depth), {.depth_min = depth, .depth_seconds = 0});
        }
        variant("depth 1 s", {.depth_seconds = 1});
        variant("slow peers' rule for all", {.fast = false});
        variant("seeding order for all", {.seeding_order = true});
    }
    for (std::uint32_t const kib : {32, 64, 128, 512, 1024, 2048}) {
        scene other;
        other.piece_length = kib * 1024;
        add("12, pieces of " + std::to_string(kib) + " KiB", other, {});
    }
    scene large{.size = 256 * 1024 * 1024, .piece_length = 4 * 1024 * 1024};
    add("12, 256 MiB, pieces of 4 MiB", large, {});
    scene hundred = thirty;
    hundred.leechers = 100;
    add("100 in 3 classes", hundred, {});
    add("100 in 3 classes: slots 32", hundred, {.seed_slots = 32, .leecher_slots = 32});
    return 0;
}();
}  // namespace
