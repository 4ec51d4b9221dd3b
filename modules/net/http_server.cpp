module;
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "core/try.hpp"

module shoal.net;
import shoal.asio;
import shoal.core;
import :http_grammar;

namespace shoal::net {
namespace {
using namespace std::chrono_literals;

/// First buffer of a connection, bytes: an announce fits, and thousands of idle connections stay small.
constexpr std::size_t first_buffer = 2048;
/// Responses to pipelined requests are written together up to here, bytes.
constexpr std::size_t gathered_max = 64 * 1024;
/// How long a refused client may go on sending, so that our answer is not lost in a reset.
constexpr auto farewell = 200ms;
/// Seconds until a client should ask again for a stream that there is no room for.
constexpr auto const* retry_after = "30";

std::string_view phrase(std::uint16_t status) noexcept {
    switch (status) {
        case 101:
            return "Switching Protocols";
        case 200:
            return "OK";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 303:
            return "See Other";
        case 304:
            return "Not Modified";
        case 307:
            return "Temporary Redirect";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 411:
            return "Length Required";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 416:
            return "Range Not Satisfiable";
        case 422:
            return "Unprocessable Content";
        case 426:
            return "Upgrade Required";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 507:
            return "Insufficient Storage";
        default:
            return "Status";
    }
}

bool one_line(std::string_view text) noexcept {
    return text.find_first_of(std::string_view{"\r\n\0", 3}) == text.npos;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    if (!one_line(name) || !one_line(value)) return;  // a handler quoted a stranger: never a field of his making
    out.append(name).append(": ").append(value).append("\r\n");
}

void append_status(std::string& out, std::uint16_t status) {
    out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(phrase(status)).append("\r\n");
}

void append_response(std::string& out, http_response const& response, bool keep, bool old, bool head) {
    bool const bare = response.status == 204 || response.status == 304;  // RFC 9110, section 6.4.1: no body
    append_status(out, response.status);
    if (!bare) append_field(out, "Content-Type", response.content_type);
    if (!bare) append_field(out, "Content-Length", std::to_string(response.body.size()));
    if (!keep || old) append_field(out, "Connection", keep ? "keep-alive" : "close");
    for (auto const& [name, value] : response.fields) append_field(out, name, value);
    out.append("\r\n");
    if (!head && !bare) out.append(response.body);
}

/// The header of a streamed response. A HEAD request does not end the connection, unless its client wants that.
void append_stream_header(std::string& out, http_response const& response, bool keep, bool old) {
    append_status(out, response.status);
    append_field(out, "Content-Type", response.content_type);
    if (!old) append_field(out, "Transfer-Encoding", "chunked");
    if (!keep || old) append_field(out, "Connection", keep ? "keep-alive" : "close");
    for (auto const& [name, value] : response.fields) append_field(out, name, value);
    out.append("\r\n");
}

/// Whether the comma-separated `list` has `token`, compared without case.
bool has_token(std::string_view list, std::string_view token) noexcept {
    while (!list.empty()) {
        auto const comma = std::min(list.find(','), list.size());
        auto each = list.substr(0, comma);
        list.remove_prefix(std::min(comma + 1, list.size()));
        each.remove_prefix(std::min(each.find_first_not_of(" \t"), each.size()));
        each = each.substr(0, each.find_last_not_of(" \t") + 1);
        if (equal_without_case(each, token)) return true;
    }
    return false;
}
bool has_token(http_request const& request, std::string_view name, std::string_view token) noexcept {
    return std::ranges::any_of(request.fields, [&](http_field const& each) {
        return equal_without_case(each.name, name) && has_token(each.value, token);
    });
}

/// Whether `key` is 16 bytes in base64, as RFC 6455, section 4.1 wants them.
bool is_web_socket_key(std::string_view key) noexcept {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return key.size() == 24 && key.substr(0, 22).find_first_not_of(digits) == key.npos && key.substr(22) == "==";
}

/// The response to a request that should open a web socket and cannot; nothing for a good one.
std::optional<http_response> refusal_of_upgrade(http_request const& request, bool old) {
    if (!has_token(request, "upgrade", "websocket"))
        return http_response{.status = 426,
                             .body = "a web socket is here\n",
                             .fields = {{"Upgrade", "websocket"}, {"Connection", "Upgrade"}}};
    if (request.field("sec-websocket-version") != "13")
        return http_response{
            .status = 426,
            .body = "web sockets of version 13 only\n",
            .fields = {{"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}}};
    if (request.method != "GET" || old || request.field("host").empty() || !request.body.empty() ||
        !has_token(request, "connection", "upgrade") || !is_web_socket_key(request.field("sec-websocket-key")))
        return http_response{.status = 400, .body = "not a web socket's handshake\n"};
    return std::nullopt;
}

task<void> read_to_end(stream& from) {
    byte_vector ignored(first_buffer);
    while (co_await from.read_some(ignored)) {}
}

/// How many there are, in all and of whom.
struct census {
    std::size_t all = 0;
    crowd whose;

    bool has_room_for(ip_address const& who, std::size_t max, std::size_t max_of_customer) const {
        return all < max && whose.has_room_for(who, max_of_customer);
    }
};

/// Counted as long as it lives.
class counted {
public:
    counted(census& in, ip_address const& who) : in_(in), who_(who) {
        in_.whose.add(who_);
        ++in_.all;
    }
    counted(counted const&) = delete;
    counted& operator=(counted const&) = delete;
    ~counted() {
        --in_.all;
        in_.whose.remove(who_);
    }

private:
    census& in_;
    ip_address who_;
};

struct connection {
    connection(std::unique_ptr<stream> s, census& c) : bytes(std::move(s)), place(c, who) {}

    std::unique_ptr<stream> bytes;  // goes to the web socket, if there will be one
    ip_address who = bytes->remote().address;
    counted place;
    time_point deadline = time_point::max();
};
}  // namespace

std::string_view http_request::field(std::string_view name) const noexcept {
    for (auto const& each : fields)
        if (equal_without_case(each.name, name)) return each.value;
    return {};
}

body_writer::body_writer(shoal::net::stream& to, net::clock& clock, duration patience, time_point& deadline,
                         bool chunked)
    : to_(to), clock_(clock), patience_(patience), deadline_(deadline), chunked_(chunked) {}

task<result<void>> body_writer::write(std::string_view piece) {
    if (piece.empty()) co_return success();  // an empty chunk would be the end
    if (!chunked_) co_return co_await send(std::string{piece});
    std::array<char, 16> digits{};
    auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), piece.size(), 16).ptr;
    std::string chunk{digits.data(), end};
    chunk.append("\r\n").append(piece).append("\r\n");
    co_return co_await send(chunk);
}

task<result<void>> body_writer::finish() {
    if (!chunked_) co_return success();
    co_return co_await send("0\r\n\r\n");
}

task<result<void>> body_writer::send(std::string const& text) {
    deadline_ = clock_.now() + patience_;
    auto const sent = co_await to_.write_all(as_bytes(text));
    deadline_ = time_point::max();
    co_return sent;
}

struct http_server::state {
    environment& outside;
    std::variant<handler, async_handler> handle;
    http_server_limits limits;
    census connections;
    census streams;

    task<void> reap(std::list<connection>& open);
    task<std::error_code> accept(listener& at, task_group& group, std::list<connection>& open);
    task<void> serve_until_end(std::list<connection>& open, std::list<connection>::iterator which);
    task<result<void>> converse(connection& with);
    task<result<void>> write_stream(connection& with, http_response const& response, std::string& out, bool old);
    task<result<void>> hold_web_socket(connection& with, http_response const& response, web_socket_agreement agreement);
    task<result<void>> refuse(connection& with, std::string& out, std::error_code why);
    task<http_response> answer(http_request const& request);
};

http_server::http_server(environment& outside, handler handle, http_server_limits limits)
    : state_(std::make_unique<state>(outside, std::move(handle), limits)) {}
http_server::http_server(environment& outside, async_handler handle, http_server_limits limits)
    : state_(std::make_unique<state>(outside, std::move(handle), limits)) {}
http_server::~http_server() = default;
std::size_t http_server::connection_count() const noexcept {
    return state_->connections.all;
}
std::size_t http_server::stream_count() const noexcept {
    return state_->streams.all;
}

task<std::error_code> http_server::serve(std::unique_ptr<listener> at) {
    std::error_code why;
    std::list<connection> open;
    signal over{co_await asio::this_coro::executor};
    co_await in_task_group([&, this](task_group& group) -> task<void> {
        auto is_over = over.wait();
        auto& clock = state_->outside.clock;
        group.spawn_lasting("http deadlines", clock, [&, this] { return state_->reap(open); });
        group.spawn_lasting("http listener", clock, [&, this]() -> task<void> {
            why = co_await state_->accept(*at, group, open);
            over.notify();
        });
        co_await std::move(is_over);
    });
    co_return why;
}

task<std::error_code> http_server::state::accept(listener& at, task_group& group, std::list<connection>& open) {
    for (;;) {
        auto accepted = co_await at.accept();
        auto const state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return errc::closed;  // nobody would cancel what comes
        if (!accepted) co_return accepted.error();
        auto& bytes = accepted.value();
        if (!connections.has_room_for(bytes->remote().address, limits.connections, limits.connections_per_address))
            continue;
        open.emplace_back(std::move(bytes), connections);
        try {
            group.spawn("http connection", serve_until_end(open, std::prev(open.end())));
        } catch (...) {  // nobody would close it
            open.pop_back();
            throw;
        }
    }
}

task<void> http_server::state::reap(std::list<connection>& open) {
    auto const tick = std::clamp<duration>(std::min({limits.request, limits.idle, limits.piece}) / 4, 5ms, 1s);
    for (;;) {
        co_await outside.clock.sleep(tick);
        auto const now = outside.clock.now();
        for (auto& each : open)
            if (each.deadline <= now) each.bytes->close();
    }
}

task<void> http_server::state::serve_until_end(std::list<connection>& open, std::list<connection>::iterator which) {
    struct removal {
        std::list<connection>& open;
        std::list<connection>::iterator which;
        ~removal() { open.erase(which); }
    } const at_end{open, which};
    (void)co_await converse(*which);
}

task<result<void>> http_server::state::converse(connection& with) {
    auto& clock = outside.clock;
    request_grammar grammar{limits};
    byte_vector buffer(std::min(first_buffer, limits.header_bytes));
    std::size_t filled = 0;
    std::string out;
    for (;;) {
        bool const waiting = filled == 0 && grammar.fresh();
        if (waiting) with.deadline = clock.now() + limits.idle;
        SHOAL_CO_TRY(auto const count, co_await with.bytes->read_some(mutable_byte_view{buffer}.subspan(filled)));
        if (waiting) with.deadline = clock.now() + limits.request;
        filled += count;

        byte_view left{buffer.data(), filled};
        while (!left.empty()) {
            auto const used = grammar.feed(left);
            if (!used) co_return co_await refuse(with, out, used.error());
            left = left.subspan(used.value());
            if (!grammar.done()) break;
            auto request = grammar.request();
            request.remote = with.bytes->remote();
            bool const keep = grammar.keep_alive(), head = request.method == "HEAD";
            bool const old = grammar.is_old();
            auto response = co_await answer(request);
            if (response.upgrade) {
                if (auto refusal = refusal_of_upgrade(request, old)) {
                    response = *std::move(refusal);
                } else {
                    std::erase_if(response.fields,
                                  [](auto const& each) { return !one_line(each.first) || !one_line(each.second); });
                    SHOAL_CO_TRY(co_await with.bytes->write_all(as_bytes(out)));
                    co_return co_await hold_web_socket(with, response,
                                                       {.key = std::string{request.field("sec-websocket-key")},
                                                        .fields = response.fields,
                                                        .early = {left.begin(), left.end()}});
                }
            }
            if (response.stream && !streams.has_room_for(with.who, limits.streams, limits.streams_per_address))
                response = {.status = 503, .body = "too many streams\n", .fields = {{"Retry-After", retry_after}}};
            if (response.stream && !head) co_return co_await write_stream(with, response, out, old);
            if (response.stream)
                append_stream_header(out, response, keep, old);
            else
                append_response(out, response, keep, old, head);
            if (!keep) co_return co_await with.bytes->write_all(as_bytes(out));
            if (out.size() >= gathered_max) {
                SHOAL_CO_TRY(co_await with.bytes->write_all(as_bytes(out)));
                out.clear();
            }
            grammar.next();
            with.deadline = clock.now() + limits.request;
        }
        if (!out.empty()) {
            SHOAL_CO_TRY(co_await with.bytes->write_all(as_bytes(out)));
        }
        out.clear();

        std::ranges::copy(left, buffer.begin());
        filled = left.size();
        if (filled < buffer.size()) continue;
        if (filled >= limits.header_bytes) co_return co_await refuse(with, out, errc::http_too_large);
        buffer.resize(std::min(2 * filled, limits.header_bytes));
    }
}

task<result<void>> http_server::state::write_stream(connection& with, http_response const& response, std::string& out,
                                                    bool old) {
    counted const place{streams, with.who};
    append_stream_header(out, response, false, old);
    with.deadline = outside.clock.now() + limits.piece;
    SHOAL_CO_TRY(co_await with.bytes->write_all(as_bytes(out)));
    with.deadline = time_point::max();
    body_writer writer{*with.bytes, outside.clock, limits.piece, with.deadline, !old};
    bool whole = false;
    signal over{co_await asio::this_coro::executor};
    auto const write = [&]() -> task<void> {
        try {
            co_await response.stream(writer);
            whole = true;
        } catch (...) {
            if (is_cancellation(std::current_exception())) throw;
        }
        over.notify();
    };
    auto const listen = [&]() -> task<void> {
        co_await read_to_end(*with.bytes);
        over.notify();
    };
    co_await in_task_group([&](task_group& group) -> task<void> {
        group.spawn("http stream", write());
        group.spawn("http stream's client", listen());
        co_await over.wait();
    });
    if (!whole) co_return errc::closed;
    co_return co_await writer.finish();
}

task<result<void>> http_server::state::hold_web_socket(connection& with, http_response const& response,
                                                       web_socket_agreement agreement) {
    with.deadline = time_point::max();
    SHOAL_CO_TRY(auto const socket,
                 co_await agree_to_web_socket(outside, std::move(with.bytes), std::move(agreement), limits.web_socket));
    auto why = close_reason::normal;
    try {
        co_await response.upgrade(*socket);
    } catch (...) {
        if (is_cancellation(std::current_exception())) throw;
        why = close_reason::internal_error;
    }
    co_await socket->close(why);
    co_return success();
}

task<result<void>> http_server::state::refuse(connection& with, std::string& out, std::error_code why) {
    http_response const response{.status = static_cast<std::uint16_t>(why == errc::http_too_large ? 413 : 400),
                                 .body = why.message() + "\n"};
    append_response(out, response, false, false, false);
    SHOAL_CO_TRY(co_await with.bytes->write_all(as_bytes(out)));
    co_await ends_before(outside.clock, outside.clock.now() + farewell, read_to_end(*with.bytes));
    co_return why;
}

task<http_response> http_server::state::answer(http_request const& request) {
    try {
        if (auto const* plain = std::get_if<handler>(&handle)) co_return (*plain)(request);
        co_return co_await std::get<async_handler>(handle)(request);
    } catch (...) {
        if (is_cancellation(std::current_exception())) throw;
    }
    co_return http_response{.status = 500, .body = "internal error\n"};
}
}  // namespace shoal::net
