module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module shoal.net;
import shoal.asio;
import shoal.core;
import :http_grammar;

namespace shoal::net {
namespace {
namespace beast_http = boost::beast::http;

std::string_view to_view(boost::beast::string_view text) noexcept {
    return {text.data(), text.size()};
}

errc reason(boost::system::error_code const& ec) {
    for (auto const large :
         {beast_http::error::header_limit, beast_http::error::body_limit, beast_http::error::buffer_overflow})
        if (ec == beast_http::make_error_code(large)) return errc::http_too_large;
    return errc::http_malformed;
}

/// A parser and how much of its header has been used up: Beast's own limit is not exact.
template <class Parser>
struct counted_parser {
    Parser parser;
    std::size_t header_bytes = 0;

    counted_parser(std::size_t header_max, std::size_t body_max) : header_limit(header_max) {
        parser.header_limit(static_cast<std::uint32_t>(header_max));
        parser.body_limit(body_max);
    }

    result<std::size_t> put(byte_view bytes) {
        std::size_t used = 0;
        while (used < bytes.size() && !parser.is_done()) {
            auto const rest = bytes.subspan(used);
            bool const in_header = !parser.is_header_done();
            boost::system::error_code ec;
            auto const count = parser.put(boost::asio::const_buffer{rest.data(), rest.size()}, ec);
            if (ec && ec != beast_http::make_error_code(beast_http::error::need_more)) return reason(ec);
            if (in_header) header_bytes += count;
            if (header_bytes > header_limit) return errc::http_too_large;
            used += count;
            if (ec || count == 0) break;
        }
        return used;
    }

private:
    std::size_t header_limit;
};
}  // namespace

struct request_grammar::parts {
    http_server_limits limits;
    std::optional<counted_parser<beast_http::request_parser<beast_http::string_body>>> counted;
    std::vector<http_field> fields;
    bool fresh = true;
};

request_grammar::request_grammar(http_server_limits const& limits) : parts_(std::make_unique<parts>()) {
    parts_->limits = limits;
    next();
}
request_grammar::~request_grammar() = default;

void request_grammar::next() {
    parts_->counted.emplace(parts_->limits.header_bytes, parts_->limits.body_bytes);
    parts_->fresh = true;
}

result<std::size_t> request_grammar::feed(byte_view bytes) {
    auto const used = parts_->counted->put(bytes);
    if (used && used.value() > 0) parts_->fresh = false;
    return used;
}

bool request_grammar::done() const noexcept {
    return parts_->counted->parser.is_done();
}
bool request_grammar::fresh() const noexcept {
    return parts_->fresh;
}
bool request_grammar::keep_alive() const noexcept {
    return parts_->counted->parser.keep_alive();
}
bool request_grammar::is_old() const noexcept {
    return parts_->counted->parser.get().version() < 11;
}

http_request request_grammar::request() {
    auto const& message = parts_->counted->parser.get();
    parts_->fields.clear();
    for (auto const& field : message) parts_->fields.push_back({to_view(field.name_string()), to_view(field.value())});
    return {to_view(message.method_string()), to_view(message.target()), parts_->fields, message.body(), {}};
}

struct reply_grammar::parts {
    explicit parts(http_limits const& given)
        : counted(given.header_bytes, given.body_bytes), line_bytes(given.line_bytes) {}
    counted_parser<beast_http::response_parser<beast_http::string_body>> counted;
    std::size_t line_bytes;
};

reply_grammar::reply_grammar(http_limits const& limits) : parts_(std::make_unique<parts>(limits)) {}
reply_grammar::~reply_grammar() = default;

result<std::size_t> reply_grammar::feed(byte_view bytes) {
    auto& counted = parts_->counted;
    bool const in_header = !counted.parser.is_header_done();
    auto const used = counted.put(bytes);
    if (!used) return used;
    // Beast knows the whole header's limit only. Lines come complete with the header; what is left over is the start
    // of a line: of the header, of a chunk or of the trailer.
    auto const rest = as_text(bytes.subspan(used.value()));
    if (!counted.parser.is_done() && rest.size() - (rest.rfind('\n') + 1) > parts_->line_bytes)
        return errc::http_too_large;
    if (in_header && counted.parser.is_header_done())
        for (auto const& field : counted.parser.get())
            if (field.name_string().size() + field.value().size() > parts_->line_bytes) return errc::http_too_large;
    return used;
}

result<void> reply_grammar::end() {
    if (!parts_->counted.parser.got_some()) return errc::closed;
    boost::system::error_code ec;
    parts_->counted.parser.put_eof(ec);
    if (ec || !parts_->counted.parser.is_done()) return errc::http_malformed;
    return success();
}

bool reply_grammar::done() const noexcept {
    return parts_->counted.parser.is_done();
}

http_reply reply_grammar::take() {
    auto message = parts_->counted.parser.release();
    http_reply reply;
    reply.status = static_cast<std::uint16_t>(message.result_int());
    for (auto const& field : message) reply.fields.emplace_back(field.name_string(), field.value());
    reply.body = std::move(message.body());
    return reply;
}
}  // namespace shoal::net
