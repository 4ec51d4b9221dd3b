module;
#include <exception>
#include <string>
#include <system_error>

module shoal.net;
import shoal.asio;
import shoal.core;

namespace shoal::net {
namespace {
class net_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "shoal.net"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::closed:
                return "the connection was closed";
            case errc::timed_out:
                return "no answer in time";
            case errc::host_unknown:
                return "the host name is unknown";
            case errc::refused_address:
                return "connecting to this address is not allowed";
            case errc::bad_url:
                return "not an http or https URL";
            case errc::tls_failed:
                return "the TLS handshake or certificate is bad";
            case errc::http_malformed:
                return "malformed HTTP";
            case errc::http_too_large:
                return "the HTTP message is too large";
            case errc::http_redirects:
                return "too many or impossible HTTP redirects";
            case errc::web_socket_refused:
                return "the server does not open a web socket here";
            case errc::web_socket_malformed:
                return "malformed web socket frames";
            case errc::web_socket_too_large:
                return "the web socket message is too large";
            case errc::not_permitted:
                return "not permitted: a credential is missing or refused";
        }
        return "unknown error";
    }
    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
            case errc::closed:
            case errc::timed_out:
            case errc::host_unknown:
                return make_error_condition(condition::transient);
            case errc::bad_url:
                return make_error_condition(condition::local_fault);
            case errc::refused_address:
            case errc::tls_failed:
            case errc::http_malformed:
            case errc::http_too_large:
            case errc::http_redirects:
            case errc::web_socket_refused:
            case errc::web_socket_malformed:
            case errc::web_socket_too_large:
            case errc::not_permitted:
                return make_error_condition(condition::peer_fault);
        }
        return {value, *this};
    }
};
}  // namespace

std::error_code make_error_code(errc value) noexcept {
    static net_category const category;
    return {static_cast<int>(value), category};
}

std::error_code translate(boost::system::error_code const& code) noexcept {
    if (!code) return {};
    auto const& category = code.category();
    if (category == boost::system::system_category()) return {code.value(), std::system_category()};
    if (category == boost::system::generic_category()) return {code.value(), std::generic_category()};
    if (code == asio::error::make_error_code(asio::error::misc_errors::eof)) return errc::closed;
    return errc::host_unknown;  // Asio's resolver categories are the only ones left that we can meet
}

bool is_cancellation(std::exception_ptr const& thrown) noexcept {
    if (!thrown) return false;
    try {
        std::rethrow_exception(thrown);
    } catch (boost::system::system_error const& error) {
        return error.code() == asio::error::make_error_code(asio::error::basic_errors::operation_aborted);
    } catch (...) {
        return false;
    }
}
}  // namespace shoal::net
