module;
#include <algorithm>
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

std::string_view phrase(std::uint16_t status) noexcept {
    switch (status) {
        case 200:
            return "OK";
        case 204:
            return "No Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
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
        case 413:
            return "Content Too Large";
        case 429:
            return "Too Many Requests";
        case 500:
            return "Internal Server Error";
        case 503:
            return "Service Unavailable";
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

void append_response(std::string& out, http_response const& response, bool keep, bool old, bool head) {
    out.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ").append(phrase(response.status));
    out.append("\r\n");
    append_field(out, "Content-Type", response.content_type);
    append_field(out, "Content-Length", std::to_string(response.body.size()));
    if (!keep || old) append_field(out, "Connection", keep ? "keep-alive" : "close");
    for (auto const& [name, value] : response.fields) append_field(out, name, value);
    out.append("\r\n");
    if (!head) out.append(response.body);
}

task<void> read_to_end(stream& from) {
    byte_vector ignored(first_buffer);
    while (co_await from.read_some(ignored)) {}
}

/// How many connections there are, in all and of each customer.
struct census {
    std::size_t all = 0;
    std::map<ip_address, std::size_t> of_customer;  // at most `http_server_limits::connections` entries
};

/// Counted as long as it lives.
struct connection {
    connection(std::unique_ptr<stream> s, census& c) : bytes(std::move(s)), counted(c) {
        ++counted.all;
        ++counted.of_customer[who];
    }
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;
    ~connection() {
        --counted.all;
        if (--counted.of_customer[who] == 0) counted.of_customer.erase(who);
    }

    std::unique_ptr<stream> bytes;
    census& counted;
    ip_address who = bytes->remote().address.customer();
    time_point deadline = time_point::max();
};
}  // namespace

std::string_view http_request::field(std::string_view name) const noexcept {
    for (auto const& each : fields)
        if (equal_without_case(each.name, name)) return each.value;
    return {};
}

struct http_server::state {
    environment& outside;
    std::variant<handler, async_handler> handle;
    http_server_limits limits;
    census open_count;

    bool has_room_for(ip_address const& who) const;
    task<void> reap(std::list<connection>& open);
    task<void> serve_until_end(std::list<connection>& open, std::list<connection>::iterator which);
    task<result<void>> converse(connection& with);
    task<result<void>> refuse(connection& with, std::string& out, std::error_code why);
    task<http_response> answer(http_request const& request);
};

http_server::http_server(environment& outside, handler handle, http_server_limits limits)
    : state_(std::make_unique<state>(outside, std::move(handle), limits)) {}
http_server::http_server(environment& outside, async_handler handle, http_server_limits limits)
    : state_(std::make_unique<state>(outside, std::move(handle), limits)) {}
http_server::~http_server() = default;
std::size_t http_server::connection_count() const noexcept {
    return state_->open_count.all;
}

task<std::error_code> http_server::serve(std::unique_ptr<listener> at) {
    std::error_code why;
    std::list<connection> open;
    co_await in_task_group([&, this](task_group& group) -> task<void> {
        group.spawn("http deadlines", state_->reap(open));
        for (;;) {
            auto accepted = co_await at->accept();
            if (!accepted) {
                why = accepted.error();
                co_return;
            }
            auto& bytes = accepted.value();
            if (!state_->has_room_for(bytes->remote().address)) continue;
            open.emplace_back(std::move(bytes), state_->open_count);
            group.spawn("http connection", state_->serve_until_end(open, std::prev(open.end())));
        }
    });
    co_return why;
}

bool http_server::state::has_room_for(ip_address const& who) const {
    if (open_count.all >= limits.connections) return false;
    auto const same = open_count.of_customer.find(who.customer());
    return same == open_count.of_customer.end() || same->second < limits.connections_per_address;
}

task<void> http_server::state::reap(std::list<connection>& open) {
    auto const tick = std::clamp<duration>(std::min(limits.request, limits.idle) / 4, 5ms, 1s);
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
            append_response(out, co_await answer(request), keep, grammar.is_old(), head);
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
