module;
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "failing_heap.hpp"

module shoal.testing;
import shoal.asio;
import shoal.core;
import shoal.net;
import :world;

namespace shoal::testing {
std::uint64_t repeatable_random::number() {  // splitmix64
    auto z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

double repeatable_random::fraction() {
    return static_cast<double>(number() >> 11) * 0x1p-53;
}

void repeatable_random::fill(mutable_byte_view out) {
    for (std::size_t i = 0; i < out.size(); i += 8) {
        auto bits = number();
        for (auto& byte : out.subspan(i, std::min<std::size_t>(8, out.size() - i))) {
            byte = static_cast<std::byte>(bits);
            bits >>= 8;
        }
    }
}

void inline_workers::run(std::function<void()> work) {
    auto const when = std::max(world_.now + world_.some_of(slow_by), held_until);
    if (when <= world_.now) return asio::post(world_.io, std::move(work));
    world_.at(when, [&w = world_, what = std::move(work)]() mutable { asio::post(w.io, std::move(what)); });
}

time_point simulated_clock::now() const {
    return world_.now + ahead_;
}

net::task<bool> simulated_clock::wait(net::signal& notice, time_point until) {
    class entry {
    public:
        entry(world& owner, std::list<net::signal*>& among, net::signal& who) : owner_(owner), among_(among) {
            failing_heap::sheltered const own;
            at_ = among.insert(among.end(), &who);
        }
        entry(entry const&) = delete;
        ~entry() {
            set_off();
            among_.erase(at_);
        }
        void set_off() {
            if (key) owner_.events.erase(*key);
            key.reset();
        }
        std::optional<world::event_key> key;

    private:
        world& owner_;
        std::list<net::signal*>& among_;
        std::list<net::signal*>::iterator at_;
    };
    if (world_.now >= held_until) {
        if (notice.take()) co_return true;
        if (now() >= until) co_return false;
    }
    entry alarm{world_, sleeping_, notice};
    for (;;) {
        bool const is_held = world_.now < held_until;
        if (!is_held && notice.take()) co_return true;
        if (!is_held && now() >= until) co_return false;
        auto const due = is_held ? held_until : until == time_point::max() ? until : until - ahead_;
        if (alarm.key && alarm.key->first != due) alarm.set_off();
        if (!alarm.key && due != time_point::max()) {
            alarm.key = world_.at(due, [&notice, this] {
                world_.note("wake");
                notice.wake();
            });
        }
        co_await notice.park();
        if (alarm.key && alarm.key->first <= world_.now) alarm.set_off();
    }
}

void simulated_clock::jump(duration ahead) {
    ahead_ += ahead;
    for (auto* each : sleeping_) each->wake();
}

simulated_host::simulated_host(world& world, std::size_t n, std::uint64_t seed)
    : index(n),
      address(ip_address::v4({10, 0, static_cast<std::uint8_t>((n + 1) >> 8), static_cast<std::uint8_t>(n + 1)})),
      network(world, n),
      random(seed),
      clock(world),
      workers(world),
      outside{clock, network, random, workers} {}

std::uint16_t simulated_host::free_port() {
    do last_port = last_port == 65535 ? 49152 : static_cast<std::uint16_t>(last_port + 1);
    while (listeners.contains(last_port) || datagrams.contains(last_port));
    return last_port;
}

world::world(std::uint64_t s) : seed(s), random(s), clock(*this), tasks(io.get_executor()) {
    tasks.on_failure = [this](std::string_view, std::exception_ptr const& why) {
        if (!failure) failure = why;
    };
}

world::event_key world::at(time_point when, std::function<void()> what) {
    failing_heap::sheltered const own;
    event_key const key{std::max(when, now), ++event_count};
    events.emplace(key, std::move(what));
    return key;
}

void world::note(std::string_view kind, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    auto const mix = [this](std::uint64_t value) { trace = (trace ^ value) * 0x100000001b3; };
    mix(static_cast<std::uint64_t>(now.time_since_epoch().count()));
    for (char const letter : kind) mix(static_cast<unsigned char>(letter));
    for (auto const value : {a, b, c}) mix(value);
    if (on_event) tell(std::string{kind} + ' ' + std::to_string(a) + ' ' + std::to_string(b) + ' ' + std::to_string(c));
}

void world::note_bytes(byte_view bytes) {
    note("bytes", bytes.size(), are_bytes_traced ? std::hash<std::string_view>{}(as_text(bytes)) : 0);
}

void world::tell(std::string const& what) {
    if (!on_event) return;
    failing_heap::sheltered const own;
    auto const since =
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch() - std::chrono::hours{1000});
    on_event(std::to_string(since.count() / 1'000'000) + '.' +
             std::to_string(1'000'000 + since.count() % 1'000'000).substr(1) + ' ' + what);
}

duration world::some_of(duration most) {
    if (most <= duration::zero()) return {};
    return duration{static_cast<std::int64_t>(random.fraction() * static_cast<double>(most.count()))};
}

simulated_host& world::host(std::size_t n) {
    while (hosts.size() <= n) {
        hosts.push_back(std::make_unique<simulated_host>(*this, hosts.size(), seed * 1009 + hosts.size()));
        index_of.emplace(hosts.back()->address, hosts.size() - 1);
    }
    return *hosts[n];
}

simulated_host* world::host_at(ip_address const& address) {
    auto const found = index_of.find(address);
    return found == index_of.end() ? nullptr : hosts[found->second].get();
}

bool world::is_cut(std::size_t from, std::size_t to) const {
    return !cut.empty() && cut.contains({from, to});
}

bool world::holds_back(std::size_t from, std::size_t to) {
    return is_cut(from, to) || host(to).frozen_until > now;
}

duration world::latency(std::size_t a, std::size_t b) const {
    return a == b ? duration{} : hosts[a]->link.latency + hosts[b]->link.latency;
}

void world::settle() {
    for (;;) {
        io.restart();
        failing_heap::armed const tasks_run;
        if ((on_handler ? io.poll_one() : io.poll()) == 0) return;
        failing_heap::sheltered const tests_look;
        if (on_handler) on_handler();
    }
}

bool world::run(std::function<bool()> const& done, time_point limit) {
    for (;;) {
        settle();
        if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
        if (done && done()) return true;
        if (events.empty() || events.begin()->first.first > limit) break;
        auto next = events.extract(events.begin());
        now = next.key().first;
        next.mapped()();
    }
    now = limit;
    return false;
}

simulation::simulation(std::uint64_t seed) : world_(std::make_unique<world>(seed)) {}

simulation::~simulation() {
    asio::post(world_->io, [this] { world_->tasks.cancel(); });
    try {
        world_->run([this] { return world_->tasks.size() == 0; }, world_->now + std::chrono::hours{1});
    } catch (...) {  // a failure that no run has thrown any more
        world_->run([this] { return world_->tasks.size() == 0; }, world_->now + std::chrono::hours{1});
    }
}

net::environment& simulation::host(std::size_t n) {
    return world_->host(n).outside;
}
ip_address simulation::address_of(std::size_t n) {
    return world_->host(n).address;
}
void simulation::place(std::size_t n, ip_address address) {
    auto& host = world_->host(n);
    world_->index_of.erase(host.address);
    host.address = address;
    world_->index_of.emplace(address, n);
}
void simulation::connect_by(std::size_t n, host_link link) {
    world_->host(n).link = link;
}
void simulation::set_faults(fault_rates rates) {
    world_->faults = rates;
}
void simulation::name(std::string name, ip_address address) {
    world_->names[std::move(name)].push_back(address);
}

void simulation::separate(std::size_t a, std::size_t b) {
    world_->note("separate", a, b);
    world_->cut.insert({a, b});
    world_->cut.insert({b, a});
}
void simulation::separate_one_way(std::size_t from, std::size_t to) {
    world_->note("separate one way", from, to);
    world_->cut.insert({from, to});
}
void simulation::rejoin(std::size_t a, std::size_t b) {
    world_->note("rejoin", a, b);
    world_->cut.erase({a, b});
    world_->cut.erase({b, a});
    deliver_held(*world_);
}
void simulation::reset_connections(std::size_t n) {
    world_->note("reset all", n);
    reset_all(*world_, n);
}
void simulation::end_half(std::size_t n) {
    world_->note("end half", n);
    testing::end_half(*world_, n);
}
void simulation::clog(std::size_t n, duration length) {
    world_->note("clog", n);
    testing::clog(*world_, n, length);
}
void simulation::move_ports(std::size_t n, duration closed) {
    world_->note("move ports", n);
    auto& host = world_->host(n);
    host.hidden_ports.clear();
    host.spoken_to.clear();
    host.own_ports_closed_until = world_->now + closed;
    // Those of a process that is down, too: it comes back to them.
    for (auto const& [port, socket] : host.datagrams) host.shown_ports.try_emplace(port);
    for (auto& [port, shown] : host.shown_ports) {
        shown = host.free_port();
        host.hidden_ports[shown] = port;
    }
}
void simulation::spoil_names(name_fault how) {
    world_->note("spoil names", static_cast<std::uint64_t>(how));
    world_->names_are = how;
}
void simulation::freeze(std::size_t n, duration length) {
    world_->note("freeze", n);
    auto& host = world_->host(n);
    auto const until = world_->now + length;
    host.frozen_until = host.clock.held_until = host.workers.held_until = std::max(host.frozen_until, until);
    world_->at(until, [this] { deliver_held(*world_); });
}
void simulation::jump_clock(std::size_t n, duration ahead) {
    world_->note("jump clock", n);
    world_->host(n).clock.jump(ahead);
}
void simulation::slow_down_work(std::size_t n, duration most) {
    world_->note("slow down work", n);
    world_->host(n).workers.slow_by = most;
}
void simulation::take_descriptors(std::size_t n, bool are_taken) {
    world_->note("take descriptors", n, are_taken);
    auto& host = world_->host(n);
    host.has_no_descriptors = are_taken;
    if (!are_taken) let_in(host);
}
void simulation::after_each_handler(std::function<void()> what) {
    world_->on_handler = std::move(what);
}
void simulation::after(duration delay, std::function<void()> what) {
    world_->at(world_->now + delay, std::move(what));
}

asio::any_io_executor simulation::executor() {
    return world_->io.get_executor();
}
void simulation::spawn(std::string name, net::task<void> work) {
    world_->tasks.spawn(std::move(name), std::move(work));
}
bool simulation::run_until(std::function<bool()> done, duration limit) {
    return world_->run(done, world_->now + limit);
}
namespace {
net::task<void> note_end(net::task<void> work, std::shared_ptr<bool> has_ended) {
    co_await std::move(work);
    *has_ended = true;
}
}  // namespace

bool simulation::run_to_end(net::task<void> work, duration limit) {
    auto const has_ended = std::make_shared<bool>(false);
    spawn("to its end", note_end(std::move(work), has_ended));
    return run_until([&] { return *has_ended; }, limit);
}
void simulation::run_for(duration length) {
    world_->run({}, world_->now + length);
}
time_point simulation::now() const noexcept {
    return world_->now;
}
std::uint64_t simulation::seed() const noexcept {
    return world_->seed;
}
void simulation::trace_no_bytes() {
    world_->are_bytes_traced = false;
}
std::uint64_t simulation::trace() const noexcept {
    return world_->trace;
}
void simulation::tell_events(std::function<void(std::string const& line)> to) {
    world_->on_event = std::move(to);
}
void simulation::remark(std::string const& what) {
    world_->note("remark");
    world_->tell(what);
}
}  // namespace shoal::testing
