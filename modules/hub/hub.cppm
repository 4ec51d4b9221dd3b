module;
#include <coroutine>
#include <memory>
#include <system_error>
#include <vector>

/// A tracker as a library: announces and scrapes over HTTP and UDP, sessions with Shoal peers, the catalogue, the
/// monitor.
export module shoal.hub;
export import :service;    // settings, members, limits; what is answered to whom, without sockets
export import :roster;     // who takes part in what, and the sessions' protocol, without sockets
export import :monitor;    // the page, and what it and the API show, as JSON
export import :catalogue;  // names, sizes, owners of what is shared; kept on disk
import shoal.core;
import shoal.net;

namespace shoal::hub {
struct hub_parts;

/// A tracker on real or simulated sockets.
///
///     hub tracker{environment, {.interval = 10min}};
///     auto bound = tracker.listen(*endpoint::parse("0.0.0.0:6969"));
///     co_await tracker.run();  // until cancelled
export class hub {
public:
    /// Takes its secrets from `outside.random`. `outside` outlives the hub.
    explicit hub(net::environment& outside, settings how = {});
    hub(hub const&) = delete;
    hub& operator=(hub const&) = delete;
    ~hub();

    /// Opens an address for HTTP and UDP, both on one port number; port 0 finds one that is free for both. May be
    /// called several times before `run`. Gives the address with its port, or the system's error.
    result<endpoint> listen(endpoint at);
    std::vector<endpoint> const& bound() const noexcept;

    /// Opens the catalogue and reads the members. Fails with any `errc`, or a system error.
    net::task<result<void>> open();
    /// Serves until cancelled, after `open` where that was not called. Returns early only where a listener fails for
    /// good, with its error; all is closed then.
    net::task<std::error_code> run();
    /// Of this run, and where there is a catalogue, of the earlier ones.
    counters numbers() const;
    /// Writes down what is to outlive the program; for the end, after `run`. Otherwise that is done once a minute.
    net::task<void> save();

private:
    std::unique_ptr<hub_parts> parts_;
};
}  // namespace shoal::hub
