/// A peer as a library: a node that listens, transfers that it joins, and their progress as values and events.
///
/// Everything here runs on one executor, the node's home, and is not safe to call from elsewhere. Blocking work goes to
/// the environment's worker pool. See docs/architecture.md, "Tasks".
export module shoal.engine;
export import :transfer;  // one torrent being moved: its limits, events, errors
export import :node;      // the peer: listener, transfers, budgets, its sessions with hubs
