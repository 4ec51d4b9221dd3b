module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

export module shoal.net:web_socket;
import shoal.asio;
import shoal.core;
import :task;
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
