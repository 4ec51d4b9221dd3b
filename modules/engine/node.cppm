module;
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

export module shoal.engine:node;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import :transfer;

namespace shoal::engine {
struct node_state;
}

export namespace shoal::engine {
/// How a node behaves towards everyone.
struct node_settings {
    std::string client = "Shoal 0.1";              ///< Told to peers and trackers.
    std::uint64_t upload_limit = 0;                ///< Bytes per second for all transfers; 0 for none.
    std::uint64_t download_limit = 0;              ///< The same.
    std::optional<ip_address> outgoing_from = {};  ///< Address that connections are made from.
    /// Told of an exception that ended a task of the node or of a transfer: a defect, or no memory. Only that task has
    /// ended. Called on the home executor.
    std::function<void(std::string_view task, std::exception_ptr const& why)> on_failure = {};
};

/// A peer: its identity, listeners, budgets and transfers.
///
/// The environment and the executor have to outlive it and its transfers. `stop` has to be awaited before it is
/// destroyed.
class node {
public:
    node(net::environment, asio::any_io_executor home, node_settings);
    ~node();
    node(node const&) = delete;
    node& operator=(node const&) = delete;

    /// Accepts peers at an address (port 0: any) and gives the one that was bound.
    result<endpoint> listen(endpoint at);
    /// Begins a transfer: opens the store, checks what is there, joins the swarm. Fails with `errc::v2_only`,
    /// `errc::already_added`, or `errc::stopped` once `stop` was called; errors of the store come from
    /// `transfer::checked`.
    result<std::shared_ptr<transfer>> add(std::shared_ptr<metainfo::torrent const>, transfer_options);
    /// Stops every transfer and listener; at most `farewell_timeout` plus the time to write the journals.
    net::task<void> stop();

    peer_id const& id() const noexcept;

private:
    std::shared_ptr<node_state> state_;
};
}  // namespace shoal::engine
