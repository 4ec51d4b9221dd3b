/// A peer as a library: a node that listens, transfers that it joins, and their progress as values and events.
///
/// Everything here runs on one executor, the node's home, and is not safe to call from elsewhere. Blocking work goes to
/// the environment's worker pool. See docs/architecture.md, "Tasks".
export module shoal.engine;
export import :limits;       // every bound with its reason
export import :error;        // why a transfer fails
export import :events;       // what happened in a transfer
export import :transfer;     // one torrent being moved
export import :node;         // the peer: listener, transfers, budgets
export import :hub_session;  // the lasting connection to a hub
