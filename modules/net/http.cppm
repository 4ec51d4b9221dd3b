module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

export module shoal.net:http;
import shoal.asio;
import shoal.core;
import :error;
import :task;
import :seam;
import :web_socket;

export namespace shoal::net {
/// One header line. Names compare without case.
struct http_field {
    std::string_view name;
    std::string_view value;
};

/// What a client asks. The views live until the handler has given its response.
struct http_request {
    std::string_view method;  ///< `GET`
    std::string_view target;  ///< As sent, still percent-encoded: `/announce?info_hash=%12...`
    std::span<http_field const> fields;
    std::string_view body;
    endpoint remote;

    /// The first field of that name, compared without case; empty when there is none.
    std::string_view field(std::string_view name) const noexcept;
};

/// Takes the body of a streamed response, piece by piece.
class body_writer {
public:
    /// For the server: writes to `to`, which is closed at `deadline` by somebody else.
    body_writer(stream& to, clock& clock, duration patience, time_point& deadline, bool chunked);
    body_writer(body_writer const&) = delete;
    body_writer& operator=(body_writer const&) = delete;

    /// Sends `piece`, which stays in place until the return; one call at a time. Fails with `closed` when the client
    /// has left or takes longer than `http_server_limits::piece`, or with a system error.
    task<result<void>> write(std::string_view piece);
    /// For the server: says that the body is whole.
    task<result<void>> finish();

private:
    task<result<void>> send(std::string const& text);

    stream& to_;
    clock& clock_;
    duration patience_;
    time_point& deadline_;
    bool chunked_;
};

/// What a handler answers. Length, coding and connection fields are added by the server.
struct http_response {
    std::uint16_t status = 200;
    std::string content_type = "text/plain";
    std::string body = {};
    std::vector<std::pair<std::string, std::string>> fields = {};  ///< Further fields; no line breaks in them.
    /// When set, it writes the body, as long as it likes, and `body` is not used. It is cancelled when the client
    /// leaves (ending its half of the connection means that too) or the server is; the connection is closed after it.
    /// What it throws leaves the body visibly unfinished. It is not called for HEAD. The request is gone by then.
    std::function<task<void>(body_writer&)> stream = {};
    /// When set, the request is to open a web socket: `fields` go into the 101 reply, all else is not used. A request
    /// that is none gets 426 or 400. Otherwise it is called with the socket, which is closed after its return, with
    /// `internal_error` when it throws, and without a farewell when the server is cancelled.
    std::function<task<void>(web_socket&)> upgrade = {};
};

/// What a server lets strangers take up. Source: failure class I5.
struct http_server_limits {
    std::size_t header_bytes = 8 * 1024;  ///< Request line and fields: the longest announce and scrape fit 4 times.
    std::size_t body_bytes = 64 * 1024;
    duration request = std::chrono::seconds{10};  ///< From the first byte of a request to the last of its response.
    duration idle = std::chrono::seconds{120};    ///< Between two requests of a connection.
    std::size_t connections = 4000;               ///< In all; further ones are closed at once.
    std::size_t connections_per_address = 200;    ///< From one IPv4 address or IPv6 /64; many homes share one.
    std::size_t streams = 256;                    ///< Streamed responses at once; further ones get 503.
    std::size_t streams_per_address = 16;         ///< Browsers open at most 6 event streams to a host, see above.
    duration piece = std::chrono::seconds{30};    ///< For a client to take one piece of a streamed response.
    web_socket_limits web_socket = {};            ///< They count as connections only.
};

/// Serves HTTP/1.0 and 1.1 with keep-alive and pipelining, streamed responses and web sockets. Malformed requests get
/// 400 and the connection is closed.
class http_server {
public:
    using handler = std::function<http_response(http_request const&)>;
    using async_handler = std::function<task<http_response>(http_request const&)>;

    /// A handler that throws gives 500. `environment` outlives the server.
    http_server(environment& environment, handler handle, http_server_limits limits = {});
    http_server(environment& environment, async_handler handle, http_server_limits limits = {});
    http_server(http_server const&) = delete;
    http_server& operator=(http_server const&) = delete;
    ~http_server();

    /// Serves what `at` accepts, until cancelled or until the listener fails, whose error is the result; every
    /// connection has ended then. Several listeners may be served at once.
    task<std::error_code> serve(std::unique_ptr<listener> at);
    std::size_t connection_count() const noexcept;
    /// Streamed responses that are under way.
    std::size_t stream_count() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

/// What a client accepts from strangers. Source: failure class A12.
struct http_limits {
    std::size_t line_bytes = 8 * 1024;
    std::size_t header_bytes = 32 * 1024;
    std::size_t body_bytes = 1024 * 1024;
    std::size_t redirects = 5;
    duration total = std::chrono::seconds{30};  ///< Name, connection, redirects and body together.
    /// Asked with each address about to be connected to, redirects included; empty allows all. Source: J1, J2.
    std::function<bool(ip_address const& address, std::string_view url)> may_connect;
    std::string user_agent;                  ///< Empty: none is sent.
    std::optional<ip_address> connect_from;  ///< The local address to use; for hosts of its family.
};

/// A reply, its body whole and free of transfer coding.
struct http_reply {
    std::uint16_t status = 0;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;
    std::string url;  ///< Where it came from, after redirects.
    endpoint remote;  ///< Who answered.

    /// The first field of that name, compared without case; empty when there is none.
    std::string_view field(std::string_view name) const noexcept;
};

/// Fetches an http or https URL; the certificate is checked against the system's trust store and the host. Any status
/// is a reply; 301, 302, 303, 307 and 308 are followed.
/// Fails with `bad_url`, `timed_out`, `host_unknown`, `refused_address`, `tls_failed`, `http_malformed`,
/// `http_too_large`, `http_redirects`, `closed`, or a system error of the connection.
task<result<http_reply>> http_get(environment& environment, std::string url, http_limits limits = {});
}  // namespace shoal::net
