/// The seam to the outside: time, sockets, names, randomness, blocking work, and the tasks that wait for them.
///
/// An engine or a hub is given an `environment` and does all its I/O through it; `system_environment` makes the real
/// one, `shoal.testing` a simulated one.
export module shoal.net;
export import :seam;  // the outside: time, sockets, random, workers; tasks and deadlines
export import :http;  // HTTP and WebSocket, both ends
