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
import :seam;

export namespace shoal::net {
/// What one end of a web socket lets the other take up.
struct web_socket_limits {
    std::size_t message_bytes = 1024 * 1024;        ///< Of one message, whole; memory grows as its bytes come.
    duration handshake = std::chrono::seconds{30};  ///< Name, connection, TLS and upgrade together.
    duration ping = std::chrono::seconds{30};       ///< After so long without a byte a ping is sent.
    duration idle = std::chrono::seconds{90};       ///< After so long without a byte the peer counts as gone.
    std::optional<ip_address> connect_from = {};    ///< A client's local address; for hosts of its family.
    duration send = std::chrono::seconds{30};       ///< For the other side to take one message, ping or farewell.
};

/// Why a web socket is closed. Source: RFC 6455, section 7.4.1.
enum class close_reason : std::uint16_t {
    normal = 1000,
    going_away = 1001,
    protocol_error = 1002,
    policy = 1008,
    too_large = 1009,
    internal_error = 1011,
    try_again = 1013,
};

/// What one `send` of the other side was.
struct web_socket_message {
    bool is_text = false;  ///< Then it is valid UTF-8.
    byte_vector bytes = {};
};

/// One end of an open connection of RFC 6455, without extensions. One receiver and one sender at a time, on the
/// executor of its stream.
///
/// Pings are answered and sent, and silence is noticed, while somebody receives. A `receive`, `send` or `close` that is
/// cancelled or late ends the connection: a part of a frame may be on its way. While a ping is to be answered and a
/// `send` waits for the peer, `receive` waits too: two ends that both send and do not read while they do come to a
/// stand until the deadline of a `send`, so receive beside sending, not after it. Destruction ends it without a
/// farewell; nobody may be waiting in it then.
class web_socket {
public:
    struct parts;
    explicit web_socket(std::unique_ptr<parts> opened);  // `web_socket_connect` and `http_server` open them
    web_socket(web_socket const&) = delete;
    web_socket& operator=(web_socket const&) = delete;
    ~web_socket();

    /// The next message; nothing when either side has closed in good order.
    /// Fails with `timed_out` (silence), `web_socket_too_large`, `web_socket_malformed` (the other side has been told
    /// by close reason 1009, 1002 or 1007), `closed`, or a system error. All later calls fail too.
    task<result<std::optional<web_socket_message>>> receive();
    /// Sends `bytes` as one binary message; they stay in place until the return. Fails with `timed_out`, `closed` or a
    /// system error.
    task<result<void>> send(byte_view bytes);
    /// The same as a text message, which has to be UTF-8.
    task<result<void>> send_text(std::string_view text);
    /// Says farewell, waits for that of the other side as long as a `send` may take, and ends the connection. A
    /// `receive` that is under way returns nothing.
    task<void> close(close_reason why = close_reason::normal);
    /// The reason that the other side gave; nothing when it has not closed, or gave none.
    std::optional<std::uint16_t> reason_of_peer() const noexcept;
    endpoint remote() const;

private:
    std::unique_ptr<parts> parts_;
};

/// Opens a web socket at a ws, wss, http or https URL; the certificate is checked as by `http_get`. Redirects are not
/// followed. Cancellation closes the connection.
/// Fails with `bad_url`, `timed_out`, `host_unknown`, `tls_failed`, `not_permitted` (status 401 and 403),
/// `web_socket_refused` (any other but 101), `http_too_large`, `http_malformed`, `closed`, or a system error of the
/// connection.
task<result<std::unique_ptr<web_socket>>> web_socket_connect(environment& environment, std::string url,
                                                             web_socket_limits limits = {});
}  // namespace shoal::net

namespace shoal::net {
/// The client's half of the handshake over `bytes`.
task<result<std::unique_ptr<web_socket>>> ask_for_web_socket(environment& environment, std::unique_ptr<stream> bytes,
                                                             std::string host_field, std::string target,
                                                             web_socket_limits limits);

/// The server's half: agrees to a request whose fields have been checked. `early` came behind it.
struct web_socket_agreement {
    std::string key;  ///< The request's Sec-WebSocket-Key.
    std::vector<std::pair<std::string, std::string>> fields;
    byte_vector early;
};
task<result<std::unique_ptr<web_socket>>> agree_to_web_socket(environment& environment, std::unique_ptr<stream> bytes,
                                                              web_socket_agreement agreement, web_socket_limits limits);
}  // namespace shoal::net

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

/// The rule (`http_limits::may_connect`) for a fetch of `url`: it may lead to the local network, and then on within it;
/// from outside no redirect leads there (class J2). A request alone can do harm at a device without a password.
std::function<bool(ip_address const& address, std::string_view url)> no_way_in(std::string url);

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
