#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "support/failing_heap.hpp"

#include "swarm.hpp"

namespace simulated_swarm {
namespace {
constexpr auto time_to_finish = 2h;  // simulated
constexpr auto time_to_stop = 1min;
constexpr auto time_to_thaw = 10min;
constexpr auto hear_of_peers_every = 60s;  // what a tracker would do
constexpr auto scrub_interval = 5min;      // where disks lose bits
constexpr auto router = "router.test";

bool is_out_of_memory(std::exception_ptr const& why) {
    try {
        std::rethrow_exception(why);
    } catch (std::bad_alloc const&) {
        return true;
    } catch (...) {
        return false;
    }
}
}  // namespace

outcome swarm::run() {
    auto const began = sim_.now();
    sim_.name(router, sim_.address_of(0));
    sim_.spawn("tracker", keep_introducing());
    if (hub_) sim_.spawn("watcher", watch_hub());
    bool const done = sim_.run_until([this] { return !wrong_.empty() || is_done(); }, time_to_finish);
    outcome result;
    result.seconds = std::chrono::duration<double>(sim_.now() - began).count();
    failing_heap::fail(0);
    if (!done) complain("not done in time: " + progress());
    for (auto const& each : peers_) check_content(each);
    for (auto const& each : peers_) check_bans(each, result);
    is_over_ = true;
    bool stopped = false;
    sim_.spawn("stop", stop_all(stopped));
    bool const may_be_frozen = is_drawn(fault::freeze) || is_drawn(fault::latency_spike);
    if (!sim_.run_until([&] { return stopped; }, may_be_frozen ? time_to_thaw : time_to_stop))
        complain("not stopped in time");
    result.wrong = wrong_;
    result.trace = sim_.trace();
    result.peers = peers_.size();
    result.drawn = drawn_;
    result.rejected_pieces = rejected_pieces_;
    result.memory = memory_;
    can_end_ = stopped;
    return result;
}

endpoint swarm::at(std::size_t host) {
    sim_.host(host);
    return {sim_.address_of(host), port};
}

void swarm::start(peer& who) {
    failing_heap::sheltered const own;
    engine::node_settings settings;
    settings.upload_limit = who.upload_limit;
    settings.dht = way_ == way::dht;
    settings.local_discovery = way_ == way::local;
    settings.utp = has_utp_;
    if (who.has_rot) settings.scrub_interval = scrub_interval;
    if (settings.dht) settings.dht_routers = {{router, port}};
    settings.on_failure = [this](std::string_view task, std::exception_ptr const& why) { task_failed(task, why); };
    auto& outside = sim_.host(who.host);
    who.banned.clear();
    who.gone_at.reset();
    ++who.process;
    who.node = std::make_unique<engine::node>(outside, sim_.executor(), settings);
    if (!who.node->listen(at(who.host))) complain(name(who) + " cannot listen");
    if (hub_)
        join_hub(who);
    else
        add(who, content_.torrent);
}

void swarm::task_failed(std::string_view task, std::exception_ptr const& why) {
    failing_heap::sheltered const shelter;
    if (is_drawn(fault::allocation) && is_out_of_memory(why)) return;
    complain("a task failed: " + std::string{task});
}

void swarm::add(peer& who, std::shared_ptr<metainfo::torrent const> torrent) {
    failing_heap::sheltered const own;
    engine::transfer_options options;
    options.storage.writable = !who.is_seeder;
    who.troubles->tell = [this, &who](std::string const& what) { sim_.remark("disk of " + name(who) + ' ' + what); };
    who.files = std::make_shared<troubled_files>(
        who.disk, who.troubles, [this, &who](store::file_number file, std::uint64_t offset, byte_view bytes) {
            look_at_bytes(who, file, offset, bytes);
        });
    options.files = who.files;
    options.connect = who.knows;
    options.is_public = !is_private_;
    if (is_announced_) options.trackers = {hub_url("http") + "/announce"};
    options.on_event = [this, &who, process = who.process](engine::transfer_event const& what) {
        failing_heap::sheltered const shelter;
        if (process == who.process) happened(who, what);
    };
    who.transfer = who.node->add(std::move(torrent), std::move(options)).value();
}

net::task<void> swarm::keep_introducing() {
    auto& clock = sim_.host(hosts_).clock;
    while (!is_over_) {
        try {
            co_await clock.sleep(hear_of_peers_every);
            for (auto& each : peers_)
                if (!each.is_complete && each.transfer) each.transfer->connect(each.knows);
        } catch (std::bad_alloc const&) {}  // next time
    }
}

net::task<void> swarm::restart(peer& who, ending how) {
    if (std::exchange(who.is_changing, true)) co_return;
    sim_.remark(name(who) + (how == ending::clean ? " restarts" : how == ending::crash ? " crashes" : " loses power"));
    if (how != ending::clean) {
        // What is left of the process is only for us to clean up.
        ++who.process;
        if (who.files) who.files->end_process();
        sim_.reset_connections(who.host);
        if (how == ending::power_cut) who.disk->crash();
    }
    if (who.own && !who.own->is_shared) who.own->is_forgotten = true;
    co_await leave_hub(who);
    who.gone_at = sim_.now();
    co_await who.node->stop();
    who.transfer.reset();
    who.node.reset();
    who.is_complete = false;  // told again by the new one, at once where it was
    co_await sim_.host(hosts_).clock.sleep(who.down_for);
    who.is_changing = false;
    start(who);
}

net::task<void> swarm::stop_all(bool& stopped) {
    auto& clock = sim_.host(hosts_).clock;
    for (auto& each : peers_) {
        while (each.is_changing) co_await clock.sleep(1s);
        co_await leave_hub(each);
        co_await each.node->stop();
        each.transfer.reset();
        each.node.reset();
    }
    while (hub_is_changing_) co_await clock.sleep(1s);
    if (hub_) co_await hub_->end(true);
    stopped = true;
}

std::string swarm::progress() const {
    std::string text;
    if (hub_ && !hub_is_right_) text = " the hub lacks " + std::string{hub_lacks_};
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

outcome run(std::uint64_t seed, troubles with) {
    auto const before = heap_in_use();
    auto world = std::make_unique<swarm>(seed, with);
    auto result = world->run();
    if (!world->can_end()) {
        (void)world.release();  // tasks that do not end would end the program in its destructor
        return result;
    }
    world.reset();
    auto const after = heap_in_use();
    result.leaked = after > before ? after - before : 0;
    return result;
}
}  // namespace simulated_swarm
