module;
#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.net;
import shoal.asio;
import shoal.core;
import :http_grammar;
import :tls;

namespace shoal::net {
namespace {
using namespace std::chrono_literals;

/// For one address of several, so that a dead one does not use up the whole time.
constexpr auto connect_wait = 5s;
/// Addresses of one name that are tried.
constexpr std::size_t addresses_max = 6;
/// Replies 1xx before the real one.
constexpr int interim_max = 5;
constexpr std::size_t first_buffer = 4096;

/// Where a URL leads, and what to ask there.
struct destination {
    bool secure = false;
    std::string host;  ///< For the resolver and the certificate: no brackets.
    std::uint16_t port = 0;
    std::string host_field;  ///< As the Host field wants it.
    std::string target;      ///< Path and query, percent-encoded as in the URL.
};

template <class View>
std::string to_string(View const& view) {
    return {view.data(), view.size()};
}

result<destination> parse_url(std::string const& text, http_limits const& limits) {
    auto const parsed = boost::urls::parse_uri(text);
    if (parsed.has_error() || text.size() > limits.line_bytes) return errc::bad_url;
    auto const& url = parsed.value();
    destination to;
    to.secure = url.scheme_id() == boost::urls::scheme::https;
    if (!to.secure && url.scheme_id() != boost::urls::scheme::http) return errc::bad_url;
    // Credentials would have to be kept from other hosts and from the log: not for a tracker's URL.
    if (!url.has_authority() || url.has_userinfo()) return errc::bad_url;
    to.host_field = to_string(url.encoded_host());
    if (to.host_field.empty() || to.host_field.find('%') != std::string::npos) return errc::bad_url;
    to.host = to_string(url.encoded_host_address());
    to.port = url.has_port() ? url.port_number() : to.secure ? 443 : 80;
    if (to.port == 0) return errc::bad_url;
    if (to.port != (to.secure ? 443 : 80)) to.host_field += ":" + std::to_string(to.port);
    to.target = to_string(url.encoded_path());
    if (to.target.empty()) to.target = "/";
    if (to.target.front() != '/') return errc::bad_url;  // Boost.URL takes what follows a port's digits for a path
    if (url.has_query()) to.target += "?" + to_string(url.encoded_query());
    return to;
}

/// The URL that `location`, found in a reply from `base`, means.
result<std::string> resolve_location(std::string const& base, std::string_view location) {
    auto const from = boost::urls::parse_uri(base);
    auto const to = boost::urls::parse_uri_reference({location.data(), location.size()});
    if (from.has_error() || to.has_error() || location.empty()) return errc::http_redirects;
    boost::urls::url resolved;
    if (boost::urls::resolve(from.value(), to.value(), resolved).has_error()) return errc::http_redirects;
    resolved.remove_fragment();
    return to_string(resolved.buffer());
}

bool is_redirect(std::uint16_t status) noexcept {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

task<result<std::unique_ptr<stream>>> reach(environment& outside, destination const& to, std::string const& url,
                                            http_limits const& limits) {
    SHOAL_CO_TRY(auto const addresses, co_await outside.network.resolve(to.host));
    std::error_code why = errc::host_unknown;
    for (std::size_t i = 0; i < std::min(addresses.size(), addresses_max); ++i) {
        // The address itself is judged, right before it is used: a name may resolve differently each time.
        if (limits.may_connect && !limits.may_connect(addresses[i], url)) {
            why = errc::refused_address;
            continue;
        }
        auto from = limits.connect_from;
        if (from && from->is_v4() != addresses[i].is_v4()) from.reset();
        auto connected = co_await with_deadline(outside.clock, outside.clock.now() + connect_wait,
                                                outside.network.connect({addresses[i], to.port}, from));
        if (!connected) {
            why = connected.error();
            continue;
        }
        if (!to.secure) co_return connected;
        co_return co_await tls_connect(outside, std::move(connected).value(), to.host);
    }
    co_return why;
}

std::string request_text(destination const& to, http_limits const& limits) {
    std::string text = "GET " + to.target + " HTTP/1.1\r\nHost: " + to.host_field + "\r\n";
    if (!limits.user_agent.empty()) text += "User-Agent: " + limits.user_agent + "\r\n";
    return text + "Accept: */*\r\nConnection: close\r\n\r\n";
}

task<result<http_reply>> read_reply(stream& from, http_limits const& limits) {
    byte_vector buffer(first_buffer);
    std::size_t filled = 0;
    for (int interim = 0; interim <= interim_max; ++interim) {
        reply_grammar grammar{limits};
        for (;;) {
            SHOAL_CO_TRY(auto const used, grammar.feed(byte_view{buffer}.first(filled)));
            std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(used),
                      buffer.begin() + static_cast<std::ptrdiff_t>(filled), buffer.begin());
            filled -= used;
            if (grammar.done()) break;
            if (filled == buffer.size()) {
                if (filled > limits.header_bytes) co_return errc::http_too_large;
                buffer.resize(2 * filled);
            }
            auto const count = co_await from.read_some(mutable_byte_view{buffer}.subspan(filled));
            if (count) {
                filled += count.value();
            } else if (count.error() == errc::closed) {
                SHOAL_CO_TRY(grammar.end());
                break;
            } else {
                co_return count.error();
            }
        }
        auto reply = grammar.take();
        if (reply.status >= 200) co_return reply;
    }
    co_return errc::http_malformed;
}

task<result<http_reply>> fetch(environment& outside, std::string url, http_limits const& limits) {
    bool must_be_secure = false;
    for (std::size_t hop = 0; hop <= limits.redirects; ++hop) {
        SHOAL_CO_TRY(auto const to, parse_url(url, limits));
        if (must_be_secure && !to.secure) co_return errc::http_redirects;
        must_be_secure = to.secure;
        SHOAL_CO_TRY(auto const connection, co_await reach(outside, to, url, limits));
        SHOAL_CO_TRY(co_await connection->write_all(as_bytes(request_text(to, limits))));
        SHOAL_CO_TRY(auto reply, co_await read_reply(*connection, limits));
        if (!is_redirect(reply.status)) {
            reply.remote = connection->remote();
            reply.url = std::move(url);
            co_return reply;
        }
        SHOAL_CO_TRY(url, resolve_location(url, reply.field("location")));
    }
    co_return errc::http_redirects;
}

task<result<std::unique_ptr<web_socket>>> open_web_socket(environment& outside, std::string url,
                                                          web_socket_limits const& limits) {
    auto const scheme = std::string_view{url}.substr(0, std::min(url.find(':'), url.size()));
    if (equal_without_case(scheme, "ws") || equal_without_case(scheme, "wss")) url.replace(0, 2, "http");
    http_limits accepted;
    accepted.connect_from = limits.connect_from;
    SHOAL_CO_TRY(auto to, parse_url(url, accepted));
    SHOAL_CO_TRY(auto connection, co_await reach(outside, to, url, accepted));
    co_return co_await ask_for_web_socket(outside, std::move(connection), std::move(to.host_field),
                                          std::move(to.target), limits);
}
}  // namespace

std::string_view http_reply::field(std::string_view name) const noexcept {
    for (auto const& [each, value] : fields)
        if (equal_without_case(each, name)) return value;
    return {};
}

std::function<bool(ip_address const&, std::string_view)> no_way_in(std::string url) {
    return [begin = std::move(url), from_here = false](ip_address const& address, std::string_view to) mutable {
        if (to == begin) from_here = address.is_local();
        return from_here || !address.is_local();
    };
}

task<result<http_reply>> http_get(environment& environment, std::string url, http_limits limits) {
    co_return co_await with_deadline(environment.clock, environment.clock.now() + limits.total,
                                     fetch(environment, std::move(url), limits));
}

task<result<std::unique_ptr<web_socket>>> web_socket_connect(environment& environment, std::string url,
                                                             web_socket_limits limits) {
    co_return co_await with_deadline(environment.clock, environment.clock.now() + limits.handshake,
                                     open_web_socket(environment, std::move(url), limits));
}
}  // namespace shoal::net
