#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "support/failing_heap.hpp"

#include "swarm.hpp"

// The faults of a run: when they strike and how hard. All is calm again after `calm_after`, and then everybody has to
// complete.
namespace simulated_swarm {
namespace {
constexpr auto calm_after = 2min;
}  // namespace

duration swarm::some_time() {
    return std::chrono::milliseconds(draw_.between(1, draw_.one_in(2) ? 2'000 : 30'000));
}

duration swarm::for_a_while(duration most) {
    return std::chrono::milliseconds(draw_.between(1, static_cast<std::uint64_t>(most / 1ms)));
}

void swarm::later(duration when, std::function<void()> what) {
    sim_.after(when, [this, what = std::move(what)] {
        if (!is_over_) what();
    });
}

void swarm::later(std::function<void()> what) {
    later(some_time(), std::move(what));
}

void swarm::draw_weather() {
    draw_network_faults();
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        draw_host_faults(i);
        draw_process_faults(peers_[i]);
        if (!peers_[i].is_seeder && draw_.one_in(2)) draw_disk_faults(peers_[i]);
    }
    if (hub_) draw_hub_faults();
    if (is_drawn(fault::allocation)) later([n = draw_.between(1, 3'000)] { failing_heap::fail(n); });
}

void swarm::draw_network_faults() {
    testing::fault_rates rates;
    rates.short_transfers = draw_.one_in(8);
    rates.only_datagrams = with_.only_datagrams;
    auto const percent = [this](std::uint64_t most) { return static_cast<double>(draw_.between(1, most)) / 100; };
    if (is_drawn(fault::loss)) rates.datagram_loss = percent(20);
    if (is_drawn(fault::jitter)) rates.jitter = for_a_while(200ms);
    if (is_drawn(fault::reorder)) rates.overtaking = for_a_while(300ms);
    if (is_drawn(fault::duplicate)) rates.datagram_copies = percent(5);
    if (is_drawn(fault::mtu_drop)) rates.datagram_bytes = draw_.between(620, 1371);
    if (is_drawn(fault::reset)) rates.reset_after_mean = draw_.between(50, 1000) * 1024;
    if (is_drawn(fault::bit_corruption)) {
        rates.datagram_damage = percent(3);
        has_utp_ = has_utp_ && with_.only_datagrams;  // it has no checksum: an honest peer would pass for a liar
        if (has_utp_) rates.datagram_damage = 0;
    }
    testing::fault_rates calm;
    calm.short_transfers = rates.short_transfers;
    calm.only_datagrams = rates.only_datagrams;
    if (with_.only_datagrams) calm.datagram_loss = rates.datagram_loss;  // what uTP is for
    sim_.set_faults(rates);
    sim_.after(calm_after, [this, calm] { sim_.set_faults(calm); });

    for (auto const [which, is_one_way] :
         {std::pair{fault::partition, false}, std::pair{fault::one_way_partition, true}}) {
        if (!is_drawn(which)) continue;
        for (auto n = draw_.between(1, 3); n > 0; --n) {
            auto const a = draw_.between(0, hosts_ - 1), b = draw_.between(0, hosts_ - 1);
            if (a == b) continue;
            auto const from = some_time();
            later(from, [this, a, b, one_way = is_one_way] {
                if (one_way)
                    sim_.separate_one_way(a, b);
                else
                    sim_.separate(a, b);
            });
            sim_.after(from + for_a_while(400s), [this, a, b] { sim_.rejoin(a, b); });
        }
    }
    // Without names nobody finds the hub, and all others strike nobody.
    if (!is_drawn(fault::names) || (hub_ && draw_.one_in(2))) return;
    using testing::name_fault;
    sim_.spoil_names(std::array{name_fault::fails, name_fault::is_slow, name_fault::is_wrong}[draw_.between(0, 2)]);
    sim_.after(for_a_while(hub_ ? 15s : calm_after), [this] { sim_.spoil_names(name_fault::none); });
}

/// Of its connection, and of its machine.
void swarm::draw_host_faults(std::size_t host) {
    auto const strikes = [this](fault which) { return is_drawn(which) && draw_.one_in(3); };
    if (strikes(fault::reset)) later([this, host] { sim_.reset_connections(host); });
    if (strikes(fault::half_close)) later([this, host] { sim_.end_half(host); });
    auto const notices_nobody_for = [this, host](duration length) {
        if (host == hub_host_) hub_troubled_until_ = std::max(hub_troubled_until_, sim_.now() + length);
    };
    if (strikes(fault::clog))
        later([this, host, notices_nobody_for, length = for_a_while(40s)] {
            sim_.clog(host, length);
            notices_nobody_for(length);
        });
    if (strikes(fault::nat_loss)) later([this, host, closed = for_a_while(60s)] { sim_.move_ports(host, closed); });
    if (strikes(fault::port_change)) later([this, host] { sim_.move_ports(host, {}); });
    if (strikes(fault::freeze))
        later([this, host, notices_nobody_for, length = for_a_while(draw_.one_in(4) ? 400s : 20s)] {
            sim_.freeze(host, length);
            notices_nobody_for(length);
        });
    if (strikes(fault::clock_jump))
        later([this, host, ahead = for_a_while(draw_.one_in(4) ? 7200s : 60s)] { sim_.jump_clock(host, ahead); });
    if (strikes(fault::descriptors)) {
        auto const from = some_time();
        later(from, [this, host] { sim_.take_descriptors(host, true); });
        sim_.after(from + for_a_while(60s), [this, host] { sim_.take_descriptors(host, false); });
    }
    if (strikes(fault::latency_spike)) {
        auto const from = some_time();
        later(from, [this, host, most = for_a_while(3s)] { sim_.slow_down_work(host, most); });
        sim_.after(from + for_a_while(60s), [this, host] { sim_.slow_down_work(host, {}); });
    }
}

void swarm::draw_disk_faults(peer& who) {
    auto& disk = *who.troubles;
    auto const strikes = [this](fault which) { return is_drawn(which) && draw_.one_in(2); };
    auto const some_calls = [this](fault which, unsigned& counter) {
        if (!is_drawn(which) || !draw_.one_in(2)) return;
        later([&counter, count = static_cast<unsigned>(draw_.between(1, 4))] { counter = count; });
    };
    some_calls(fault::read_error, disk.failing_reads);
    some_calls(fault::write_error, disk.failing_writes);
    some_calls(fault::short_write, disk.short_writes);
    some_calls(fault::sync_error, disk.failing_syncs);
    disk.chance = draw_.between(1, 1'000'000);
    if (strikes(fault::misdirected_write)) {
        who.has_rot = true;
        later([&disk] { disk.misdirected_writes = 1; });
    }
    if (strikes(fault::bit_rot)) {
        who.has_rot = true;
        later([this, &who] { rot(who); });
    }
    // Any call, also those of the journal.
    if (strikes(fault::write_error)) who.disk->fail(draw_.between(10, 200), EIO, draw_.between(1, 4));
    if (strikes(fault::no_space)) {
        auto const from = some_time();
        auto const most = draw_.between(1, 100) * content_.linear.size() / 100;
        later(from, [&who, most] { who.disk->set_capacity(most); });
        sim_.after(from + for_a_while(60s), [&who] { who.disk->set_capacity(UINT64_MAX); });
    }
}

/// A bit of what is verified is not what it was any more.
void swarm::rot(peer& who) {
    if (!who.transfer || who.is_changing) return;
    auto const& have = who.transfer->have();
    if (have.none()) return;
    auto piece = have.next_set(static_cast<std::uint32_t>(who.troubles->chance % have.size()));
    if (!piece) piece = have.next_set(0);
    auto const& pieces = content_.torrent->pieces();
    for (auto const& range : content_.torrent->content().ranges(pieces.offset_of(*piece), pieces.piece_size(*piece)))
        if (!content_.torrent->content().files()[range.file].pad) {
            who.troubles->rotten.emplace(range.file, range.offset + who.troubles->chance % range.length);
            return;
        }
}

void swarm::draw_process_faults(peer& who) {
    for (auto const [which, how] : {std::pair{fault::crash, draw_.one_in(2) ? ending::clean : ending::crash},
                                    std::pair{fault::power_cut, ending::power_cut}})
        if (is_drawn(which) && draw_.one_in(3))
            later([this, &who, ends = how] { sim_.spawn("restart", restart(who, ends)); });
    if (hub_ && draw_.one_in(3)) who.down_for = for_a_while(5min);
}

void swarm::draw_hub_faults() {
    draw_host_faults(hub_host_);
    if (!is_drawn(fault::crash) || !draw_.one_in(2)) return;
    auto const how = draw_.one_in(2) ? ending::clean : ending::crash;
    auto const when = for_a_while(calm_after), down = for_a_while(draw_.one_in(2) ? 4min : 5s);
    hub_will_restart_ = true;
    later(when, [this, how, down] { sim_.spawn("restart the hub", restart_hub(how, down)); });
}
}  // namespace simulated_swarm
