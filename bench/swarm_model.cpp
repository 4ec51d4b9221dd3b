#include "swarm_model.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

import shoal.choker;
import shoal.core;
import shoal.picker;
import shoal.wire;

namespace swarm_model {
namespace {
using namespace shoal;
using picker::peer_slot;
constexpr std::size_t requests_max = 500;  // that a peer queues

class swarm {
public:
    swarm(scene const& where, rules const& how, std::uint64_t seed) : scene_(where), rules_(how), random_(seed) {
        for (std::uint32_t i = 0; i <= scene_.leechers; ++i) {
            auto const slots = i == 0 ? how.seed_slots : how.leecher_slots;
            nodes_.emplace_back(picker::picker_settings{where.piece_length, where.size, random_.next(), {}},
                                choker::choker_settings{slots, random_.next()});
            nodes_[i].up = i == 0 ? where.seed_up : where.leecher_up(i);
        }
        auto& first = nodes_[0].blocks;
        for (std::uint32_t piece = 0; piece < first.piece_count(); ++piece) first.set_have(piece_index{piece});
    }

    outcome run() {
        for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
            at(i == 0 ? 0 : scene_.joins_at(i), [this, i] { join(i); });
        }
        while (!events_.empty() && done_.size() < scene_.leechers - scene_.thieves && now_ < 10'000) {
            auto const next = events_.top();
            events_.pop();
            now_ = next.at;
            next.run();
        }
        return summary();
    }

private:
    struct request {
        block_ref block;
        time_point at;
        std::uint64_t delivered_then;
    };
    struct link {
        peer_slot slot{};                   // the other side, at my picker
        std::vector<request> asked;         // of the other side, not yet here
        wire::pipeline pipeline;            // from the other side
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
        std::map<std::uint32_t, link> links;  // by the other's number
        std::vector<std::uint32_t> by_slot;   // numbers
        std::vector<peer_slot> free_slots;
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
    bool is_thief(std::uint32_t i) const { return i != 0 && i <= scene_.thieves; }
    bool is_gone(std::uint32_t i) const { return !nodes_[i].is_here; }

    void join(std::uint32_t i) {
        nodes_[i].is_here = true;
        here_.push_back(i);
        meet_others(i);
        hold_round(i);
    }

    /// Everybody where there is room for all, else half as many as one may have, drawn as a tracker would.
    void meet_others(std::uint32_t i) {
        auto& mine = nodes_[i].links;
        if (nodes_.size() <= scene_.connections_max) {
            for (auto const j : here_)
                if (j != i) connect(i, j);
            return;
        }
        for (auto tries = 4 * scene_.connections_max; tries > 0 && mine.size() < scene_.connections_max / 2; --tries) {
            auto const j = here_[random_.next() % here_.size()];
            if (j == i || mine.contains(j) || nodes_[j].links.size() >= scene_.connections_max) continue;
            connect(i, j);
        }
    }

    void connect(std::uint32_t i, std::uint32_t j) {
        for (auto const [me, other] : {std::pair{i, j}, std::pair{j, i}}) {
            auto& mine = nodes_[me];
            if (mine.free_slots.empty()) {
                mine.free_slots.push_back(peer_slot{static_cast<std::uint32_t>(mine.by_slot.size())});
                mine.by_slot.push_back(0);
            }
            auto const slot = mine.free_slots.back();
            mine.free_slots.pop_back();
            mine.by_slot[to_number(slot)] = other;
            mine.links[other].slot = slot;
            mine.blocks.add_peer(slot);
            if (!is_thief(other)) mine.blocks.peer_has(slot, nodes_[other].blocks.have());
        }
        interest_changed(i);
        interest_changed(j);
    }

    void leave(std::uint32_t i) {
        auto const left = std::exchange(nodes_[i].links, {});
        nodes_[i].is_here = false;
        std::erase(here_, i);
        for (auto const& [j, none] : left) {
            auto& theirs = nodes_[j];
            auto const at = theirs.links.find(i);
            theirs.blocks.remove_peer(at->second.slot);
            theirs.free_slots.push_back(at->second.slot);
            theirs.links.erase(at);
            interest_changed(j);
        }
        for (auto const& [j, none] : left) {
            if (nodes_.size() > scene_.connections_max) meet_others(j);
            refill_all(j);
        }
    }

    link* between(std::uint32_t me, std::uint32_t other) {
        auto const at = nodes_[me].links.find(other);
        return at == nodes_[me].links.end() ? nullptr : &at->second;
    }
    bool is_interested(std::uint32_t who, std::uint32_t in) {
        auto* const l = between(who, in);
        return l != nullptr && nodes_[who].blocks.is_interesting(l->slot);
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
        for (auto& [j, l] : me.links) {
            fade(l);
            candidates.push_back({.id = j,
                                  .is_interested = is_interested(j, i),
                                  .is_unchoked = l.is_unchoked,
                                  .download_rate = static_cast<std::uint64_t>(l.rate_in),
                                  .upload_rate = static_cast<std::uint64_t>(l.rate_out),
                                  .uploaded_total = l.given,
                                  .have_count = announced(j),
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
        auto* const l = between(me, by);
        if (l == nullptr) return;
        l->serves_me = is_served;
        if (!is_served) {
            for (auto const& each : std::exchange(l->asked, {})) nodes_[me].blocks.returned(l->slot, each.block);
            refill_all(me);
        }
        refill(me, by);
    }

    // Asking.

    void refill_all(std::uint32_t me) {
        for (auto const& [j, none] : nodes_[me].links) refill(me, j);
    }

    void refill(std::uint32_t me, std::uint32_t of) {
        auto* const found = between(me, of);
        if (found == nullptr || !found->serves_me) return;
        auto& l = *found;
        auto const depth = rules_.depth != 0 ? rules_.depth : l.pipeline.depth(requests_max, clock());
        bool const is_fast = depth * std::uint64_t{block_length} >= scene_.piece_length;
        auto const outstanding = nodes_[me].blocks.outstanding(l.slot);
        if (outstanding >= depth) return;
        std::vector<block_ref> blocks;
        nodes_[me].blocks.pick(l.slot, depth - outstanding, is_fast, blocks);
        for (auto const& block : blocks) {
            l.asked.push_back({block, clock(), l.pipeline.total()});
            later([this, me, of, block] {
                auto* const theirs = between(of, me);
                if (theirs == nullptr || !theirs->is_unchoked) return;
                theirs->asked_of_me.push_back(block);
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
        count(me.links[*to].rate_out, me.links[*to].given, me.links[*to], block.length);
        at(now_ + block.length / me.up, [this, i, to = *to, block] {
            nodes_[i].is_sending = false;
            later([this, i, to, block] { arrived(to, i, block); });
            send_next(i);
        });
    }

    std::optional<std::uint32_t> choose_receiver(std::uint32_t i) {
        auto& me = nodes_[i];
        auto const how = rules_.serves;
        std::vector<choker::waiting_peer> waiting;
        for (auto const& [j, l] : me.links) {
            if (l.asked_of_me.empty()) continue;
            auto const& next = l.asked_of_me.front();
            auto const follows =
                next.piece == l.sent_last.piece && next.begin == l.sent_last.begin + l.sent_last.length;
            waiting.push_back({.id = j,
                               .progress = progress(j, l),
                               .is_in_run = how.whole_runs && follows,
                               .copies = how.rarest_second ? me.blocks.availability(next.piece) : 0});
        }
        return me.line.next(waiting, how.by_role ? me.blocks.complete() : !how.least_first);
    }

    std::uint32_t announced(std::uint32_t i) const { return is_thief(i) ? 0 : nodes_[i].blocks.have().count(); }

    std::uint64_t progress(std::uint32_t of, link const& l) const {
        return std::max(std::uint64_t{announced(of)} * scene_.piece_length, l.given);
    }

    void arrived(std::uint32_t me, std::uint32_t from, block_ref block) {
        auto* const l = between(me, from);
        if (l == nullptr) return;  // one of the two has left: it counts as lost
        auto& blocks = nodes_[me].blocks;
        count(l->rate_in, l->got, *l, block.length);
        if (auto const asked = std::ranges::find(l->asked, block, &request::block); asked != l->asked.end()) {
            l->pipeline.delivered(block.length, asked->at, asked->delivered_then, clock());
            l->asked.erase(asked);
        }
        std::vector<peer_slot> also;
        auto const arrival = blocks.received(l->slot, block, also);
        if (!arrival.wanted) ++wasted_;
        std::vector<std::uint32_t> asked_too;
        for (auto const slot : also) {
            auto const other = asked_too.emplace_back(nodes_[me].by_slot[to_number(slot)]);
            std::erase_if(between(me, other)->asked, [&](request const& each) { return each.block == block; });
            later([this, me, other, block] {
                if (auto* const theirs = between(other, me)) std::erase(theirs->asked_of_me, block);
            });
        }
        if (arrival.piece_complete) have(me, block.piece);
        refill(me, from);
        for (auto const other : asked_too) refill(me, other);
    }

    void have(std::uint32_t me, piece_index piece) {
        nodes_[me].blocks.set_have(piece);
        if (!is_thief(me)) later([this, me, piece] { told_of(me, piece); });
        if (!nodes_[me].blocks.complete()) return;
        (is_thief(me) ? thieves_done_ : done_).push_back(now_);
        if (scene_.leaves(me)) leave(me);
    }

    void told_of(std::uint32_t who, piece_index piece) {
        for (auto const& [j, none] : nodes_[who].links) {
            auto const slot = between(j, who)->slot;
            auto const was_interesting = nodes_[j].blocks.is_interesting(slot);
            nodes_[j].blocks.peer_has(slot, piece);
            if (!was_interesting && nodes_[j].blocks.is_interesting(slot)) interest_changed(who);
            refill(j, who);
        }
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
        auto const size = static_cast<double>(scene_.size);
        auto const bound = std::max(size / scene_.seed_up, until_sent(scene_.leechers * size));
        done_.resize(scene_.leechers - scene_.thieves, 1e9);
        auto const needed = scene_.leechers * size / block_length;
        return {done_.back() / bound, done_[done_.size() / 2] / bound, done_.front() / bound,
                static_cast<double>(nodes_[0].sent) / size, static_cast<double>(wasted_) / needed};
    }

    scene scene_;
    rules rules_;
    picker::random_sequence random_;
    std::vector<node> nodes_;
    std::vector<std::uint32_t> here_;  // numbers
    std::vector<double> done_, thieves_done_;
    std::priority_queue<event> events_;
    double now_ = 0;
    std::uint64_t order_ = 0;
    std::uint64_t wasted_ = 0;
};
}  // namespace

outcome play(scene const& where, rules const& how, std::uint64_t seed) {
    return swarm{where, how, seed}.run();
}
}  // namespace swarm_model
