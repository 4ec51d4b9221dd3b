/// The seam to the outside: time, sockets, names, randomness, blocking work, and the tasks that wait for them.
///
/// An engine or a hub is given an `environment` and does all its I/O through it; `system_environment` makes the real
/// one, `shoal.testing` a simulated one.
export module shoal.net;
export import :error;       // errc, translate
export import :task;        // task, signal, task_group
export import :seam;        // clock, stream, listener, datagram_socket, network, random, worker_pool, environment
export import :deadline;    // with_deadline, on_pool
export import :system;      // system_environment
export import :web_socket;  // web_socket, web_socket_connect
export import :http;        // http_server, http_get
