#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>

#include "failing_network.hpp"

namespace fault {
struct scenario::host_parts {
    host_parts(net::environment& below, failing_calls& calls, bool const& has_tcp)
        : network(below.network, calls, has_tcp), all{below.clock, network, below.random, below.workers} {}
    failing_network network;
    net::environment all;
};

scenario::scenario()
    : content_(testing::make_content({{"a", 20'000}, {"b", 0}, {"c", 50'000}},
                                     {.format = metainfo::format::v1, .piece_length = 32 * 1024, .seed = 3})),
      world_(std::make_unique<testing::simulation>(5)) {
    beside_ = std::make_unique<net::task_group>(world_->executor());
}

scenario::~scenario() {
    asio::post(world_->executor(), [this] { beside_->cancel(); });  // from the loop, as `net::task_group` wants it
    bool const has_ended = world_->run_until([this] { return beside_->size() == 0; }, 10min);
    if (has_ended && !is_stuck_) {
        beside_.reset();
    } else {  // what does not end cannot be destroyed: the case has failed, and others follow
        (void)beside_.release();
        (void)world_.release();
    }
}

std::shared_ptr<store::simulated_disk> const& scenario::disk(std::size_t host) {
    while (disks_.size() <= host) disks_.push_back(std::make_shared<store::simulated_disk>(disks_.size()));
    return disks_[host];
}
net::environment& scenario::outside(std::size_t host) {
    while (hosts_.size() <= host)
        hosts_.push_back(std::make_unique<host_parts>(world_->host(hosts_.size()), calls, has_tcp));
    return hosts_[host]->all;
}
void scenario::hold(std::size_t host) {
    for (std::size_t i = 0; i < content_.files.size(); ++i) disk(host)->put(std::to_string(i), content_.files[i]);
}
bool scenario::holds(std::size_t host) {
    for (std::size_t i = 0; i < content_.files.size(); ++i)
        if (disk(host)->content(std::to_string(i)) != content_.files[i]) return false;
    return true;
}
engine::transfer_options scenario::options(std::size_t host, bool writable) {
    engine::transfer_options how;
    how.storage.writable = writable;
    how.files = std::make_shared<store::simulated_files>(disk(host));
    return how;
}

net::task<void> scenario::with_node(std::size_t host, engine::node_settings settings, deed what) {
    engine::node node{outside(host), world_->executor(), std::move(settings)};
    std::exception_ptr failure;
    try {
        must(node.listen(at(host)));
        if (auto const why = node.datagram_trouble()) throw std::system_error(why);
        co_await what(node);
    } catch (...) {
        failure = std::current_exception();
    }
    co_await asio::this_coro::throw_if_cancelled(false);
    for (bool has_stopped = false; !has_stopped;) {
        try {
            co_await node.stop();
            has_stopped = true;
        } catch (std::bad_alloc const&) {}  // refused: asked again
    }
    co_await asio::this_coro::throw_if_cancelled(true);
    if (failure) std::rethrow_exception(failure);
}

net::task<void> scenario::for_ever() {
    for (;;) co_await world_->host(0).clock.sleep(24h);
}

namespace {
/// Does it again and again: what stands beside a thing fails too.
net::task<void> over_and_over(net::clock& clock, std::function<net::task<void>()> work) {
    for (;;) {
        try {
            co_await work();
        } catch (std::bad_alloc const&) {
        } catch (std::system_error const&) {}
        bool has_slept = false;
        while (!has_slept) {
            try {
                co_await clock.sleep(1s);
                has_slept = true;
            } catch (std::bad_alloc const&) {}
        }
    }
}
}  // namespace

void scenario::beside(std::size_t host, engine::node_settings settings, deed what) {
    spawn_beside("node", over_and_over(world_->host(host).clock,
                                       [this, host, settings, what] { return with_node(host, settings, what); }));
}

net::task<void> scenario::serve_hub(std::size_t host) {
    hub::hub tracker{outside(host)};
    must(tracker.listen(at(host, 6969)));
    if (auto const why = co_await tracker.run()) throw std::system_error(why);
}
void scenario::hub_beside(std::size_t host) {
    spawn_beside("hub", over_and_over(world_->host(host).clock, [this, host] { return serve_hub(host); }));
}

std::size_t stride_over(std::size_t count) {
    constexpr std::size_t tried = 50;
    auto const* const asked = std::getenv("SHOAL_EVERY");
    return std::max<std::size_t>(1, asked != nullptr ? std::stoul(asked) : count / tried);
}

void report(named_scenario const& which, std::string const& what) {
    if (std::getenv("SHOAL_EVERY") != nullptr) std::cout << which.name << ": " << what << std::endl;
}

outcome run(scenario& what, int tries, duration each) {
    for (; tries > 0; --tries) {
        try {
            if (!what.world().run_to_end(what.act(), each)) {
                what.give_up();
                return outcome::stuck;
            }
            return what.is_right() ? outcome::done : outcome::wrong;
        } catch (std::bad_alloc const&) {
        } catch (std::system_error const&) {}
    }
    return outcome::error;
}
}  // namespace fault
