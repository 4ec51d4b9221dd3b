#include <benchmark/benchmark.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
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

/// The order in which an uplink serves the blocks that its unchoked peers asked for.
enum class serving { round_robin, first_asked, least_complete, run_by_run };

struct rules {
    std::size_t seed_slots = 0;     // 0: the choker's own number
    std::size_t leecher_slots = 0;  // likewise
    serving seed_serves = serving::run_by_run;
    serving leecher_serves = serving::round_robin;
    std::size_t depth_min = 4;    // requests outstanding to one peer, at least
    double depth_seconds = 0.5;   // and at least what comes in this time
    std::size_t depth_seed = 16;  // to the seed; 0: as for others
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
        bool is_unchoked = false;           // I serve it
        bool serves_me = false;             // it has said so
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
        std::uint32_t turn = 0;  // whom the uplink served last
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
        if (of == 0 && rules_.depth_seed != 0) depth = rules_.depth_seed;
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
        me.turn = *to;
        me.is_sending = true;
        me.sent += block.length;
        count(me.links[*to].rate_out, me.links[*to].given, me.links[*to], block.length);
        at(now_ + block.length / me.up, [this, i, to = *to, block] {
            nodes_[i].is_sending = false;
            later([this, i, to, block] { arrived(to, i, block); });
            send_next(i);
        });
    }

    std::optional<std::uint32_t> choose_receiver(std::uint32_t i) {
        auto const& me = nodes_[i];
        auto const how = i == 0 ? rules_.seed_serves : rules_.leecher_serves;
        if (how == serving::run_by_run && !is_gone(me.turn) && !me.links[me.turn].asked_of_me.empty() &&
            me.links[me.turn].asked_of_me.front().begin != 0) {
            return me.turn;
        }
        std::optional<std::uint32_t> best;
        auto const count = static_cast<std::uint32_t>(nodes_.size());
        for (std::uint32_t step = 1; step <= count; ++step) {
            auto const j = (me.turn + step) % count;
            if (j == i || is_gone(j) || me.links[j].asked_of_me.empty()) continue;
            if (how != serving::least_complete) return j;
            if (!best || nodes_[j].blocks.have().count() < nodes_[*best].blocks.have().count()) best = j;
        }
        return best;
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

    outcome summary() {
        double sum = scene_.seed_up;
        for (std::uint32_t i = 1; i < nodes_.size(); ++i) sum += nodes_[i].up;
        auto const size = static_cast<double>(scene_.size);
        auto const bound = std::max(size / scene_.seed_up, scene_.leechers * size / sum);
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
    add("12: defaults", twelve, {});
    for (std::size_t const slots : {3, 4, 6, 8, 11}) {
        add("12: leecher slots " + std::to_string(slots), twelve, {.leecher_slots = slots});
    }
    for (std::size_t const slots : {1, 2, 4, 6, 8, 12}) {
        add("12: seed slots " + std::to_string(slots), twelve, {.seed_slots = slots});
    }
    for (std::size_t const depth : {1, 4, 16, 32}) {
        add("12: depth " + std::to_string(depth), twelve, {.depth_min = depth, .depth_seconds = 0});
    }
    add("12: slow peers' rule for all", twelve, {.fast = false});
    add("12: least complete first", twelve, {.leecher_serves = serving::least_complete});
    add("12: seed block by block", twelve, {.seed_serves = serving::round_robin});
    add("12: seed run by run, depth 8", twelve, {.seed_serves = serving::run_by_run, .depth_seed = 8});
    add("12: seed run by run, depth 32", twelve, {.seed_serves = serving::run_by_run, .depth_seed = 32});
    add("12: all run by run", twelve, {.leecher_serves = serving::run_by_run, .depth_min = 16});

    scene thirty{.leechers = 30};
    thirty.leecher_up = [](std::uint32_t i) { return std::array{0.25, 1.0, 3.0}[i % 3] * mib; };
    scene arriving{.leechers = 30};
    arriving.joins_at = [](std::uint32_t i) { return 0.5 * i; };
    scene staying{.leechers = 30};
    staying.leaves = [](std::uint32_t i) { return i % 3 == 0; };
    scene hundred{.leechers = 100};
    hundred.leecher_up = [](std::uint32_t i) { return std::array{0.25, 1.0, 3.0}[i % 3] * mib; };
    for (auto const& [name, where] : {std::pair{"30 in 3 classes", thirty},
                                      {"30 arriving, 2 a second", arriving},
                                      {"30, a third leaves", staying},
                                      {"100 in 3 classes", hundred}}) {
        for (std::size_t const slots : {0, 4, 8, 16, 32, 64}) {
            auto const suffix = slots == 0 ? std::string{": defaults"} : ": slots " + std::to_string(slots);
            add(name + suffix, where, {.seed_slots = slots, .leecher_slots = slots});
        }
    }
    return 0;
}();
}  // namespace
