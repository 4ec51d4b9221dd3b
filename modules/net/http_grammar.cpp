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

template <class Parser>
result<std::size_t> put(Parser& parser, byte_view bytes) {
    boost::system::error_code ec;
    auto const used = parser.put(boost::asio::const_buffer{bytes.data(), bytes.size()}, ec);
    if (ec && ec != beast_http::make_error_code(beast_http::error::need_more)) return reason(ec);
    return used;
}
}  // namespace

bool equal_without_case(std::string_view a, std::string_view b) noexcept {
    auto const lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

struct request_grammar::parts {
    http_server_limits limits;
    std::optional<beast_http::request_parser<beast_http::string_body>> parser;
    std::vector<http_field> fields;
    bool fresh = true;
};

request_grammar::request_grammar(http_server_limits const& limits) : parts_(std::make_unique<parts>()) {
    parts_->limits = limits;
    next();
}
request_grammar::~request_grammar() = default;

void request_grammar::next() {
    auto& parser = parts_->parser.emplace();
    parser.eager(true);
    parser.header_limit(static_cast<std::uint32_t>(parts_->limits.header_bytes));
    parser.body_limit(parts_->limits.body_bytes);
    parts_->fresh = true;
}

result<std::size_t> request_grammar::feed(byte_view bytes) {
    auto const used = put(*parts_->parser, bytes);
    if (used && used.value() > 0) parts_->fresh = false;
    return used;
}

bool request_grammar::done() const noexcept {
    return parts_->parser->is_done();
}
bool request_grammar::fresh() const noexcept {
    return parts_->fresh;
}
bool request_grammar::keep_alive() const noexcept {
    return parts_->parser->keep_alive();
}
bool request_grammar::is_old() const noexcept {
    return parts_->parser->get().version() < 11;
}

http_request request_grammar::request() {
    auto const& message = parts_->parser->get();
    parts_->fields.clear();
    for (auto const& field : message) parts_->fields.push_back({to_view(field.name_string()), to_view(field.value())});
    return {to_view(message.method_string()), to_view(message.target()), parts_->fields, message.body(), {}};
}

struct reply_grammar::parts {
    beast_http::response_parser<beast_http::string_body> parser;
    http_limits limits;
};

reply_grammar::reply_grammar(http_limits const& limits) : parts_(std::make_unique<parts>()) {
    parts_->limits = limits;
    parts_->parser.eager(true);
    parts_->parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
    parts_->parser.body_limit(limits.body_bytes);
}
reply_grammar::~reply_grammar() = default;

result<std::size_t> reply_grammar::feed(byte_view bytes) {
    auto const used = put(parts_->parser, bytes);
    if (!used) return used;
    if (parts_->parser.is_header_done()) return used;
    // Beast looks at the header when it is complete; a single line may not take all of its room.
    auto const text = as_text(bytes.subspan(used.value()));
    if (text.size() - (text.rfind('\n') + 1) > parts_->limits.line_bytes) return errc::http_too_large;
    return used;
}

result<void> reply_grammar::end() {
    boost::system::error_code ec;
    parts_->parser.put_eof(ec);
    if (ec || !parts_->parser.is_done()) return errc::http_malformed;
    return success();
}

bool reply_grammar::done() const noexcept {
    return parts_->parser.is_done();
}

http_reply reply_grammar::take() {
    auto message = parts_->parser.release();
    http_reply reply;
    reply.status = static_cast<std::uint16_t>(message.result_int());
    for (auto const& field : message) reply.fields.emplace_back(field.name_string(), field.value());
    reply.body = std::move(message.body());
    return reply;
}
}  // namespace shoal::net
