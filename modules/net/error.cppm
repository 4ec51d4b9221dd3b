module;
#include <exception>
#include <system_error>

export module shoal.net:error;
import shoal.asio; // boost::system::error_code

export namespace shoal::net {
/// Why the outside did not do as asked. System errors (refused, reset, no descriptors) keep their own codes.
enum class errc {
    closed = 1,            ///< The other side, or we, ended the connection.
    timed_out,             ///< The deadline given by the caller passed first.
    host_unknown,          ///< The name does not resolve.
    refused_address,       ///< The caller's rule does not let us connect to this address.
    bad_url,               ///< Not an http or https URL (for a web socket also ws or wss) that we can use.
    tls_failed,            ///< The TLS handshake or the certificate was not good.
    http_malformed,        ///< Not HTTP/1.0 or 1.1.
    http_too_large,        ///< A line, the headers, or the body exceed their limit.
    http_redirects,        ///< More redirects than allowed, or one that names no target.
    web_socket_refused,    ///< The server did not agree to speak RFC 6455.
    web_socket_malformed,  ///< Not RFC 6455, or text that is not UTF-8.
    web_socket_too_large,  ///< A message exceeds the limit.
    not_permitted,         ///< The server wants a credential, or another one (HTTP 401 and 403).
};
std::error_code make_error_code(errc) noexcept;

/// What Asio reports, as the rest of the program sees it: eof is `errc::closed`, a name that does not resolve
/// `errc::host_unknown`, system errors keep their number.
std::error_code translate(boost::system::error_code const& code) noexcept;

/// Whether this is how a cancelled coroutine ends: Asio's `operation_aborted`, thrown.
bool is_cancellation(std::exception_ptr const& thrown) noexcept;
}  // namespace shoal::net
export template <>
struct std::is_error_code_enum<shoal::net::errc> : std::true_type {};
