module;
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.net;
import shoal.asio;
import shoal.core;
import :waiting;

namespace shoal::net {
namespace {
using namespace std::chrono_literals;
namespace beast_http = boost::beast::http;
namespace beast_ws = boost::beast::websocket;
using boost::system::error_code;

/// First room for a message, bytes: most of ours fit, and it grows with what comes.
constexpr std::size_t first_room = 4096;
/// How long a refused peer may go on sending, so that our reason is not lost in a reset.
constexpr auto farewell = 200ms;

/// What a stream's coroutine tells Beast's handler.
struct transfer {
    error_code why = {};
    std::size_t count = 0;
};

// Posted: Beast's handler must not run inside the call that it was given to.
task<transfer> after_post(task<transfer> work) {
    co_await asio::post(asio::use_awaitable);
    co_return co_await std::move(work);
}

/// Our stream as Beast wants one. No cancellation passes through: `close` of the stream ends what is pending.
class layer {
public:
    using executor_type = asio::any_io_executor;

    layer(executor_type executor, environment& outside, std::unique_ptr<stream> bytes, byte_vector early)
        : executor_(std::move(executor)), clock_(outside.clock), bytes_(std::move(bytes)), early_(std::move(early)) {}

    executor_type get_executor() const noexcept { return executor_; }
    template <class Buffers, class Handler>
    void async_read_some(Buffers const& buffers, Handler&& handler) {
        start(work_of<mutable_byte_view, std::byte, boost::asio::mutable_buffer>(buffers, &layer::read),
              std::forward<Handler>(handler));
    }
    template <class Buffers, class Handler>
    void async_write_some(Buffers const& buffers, Handler&& handler) {
        start(work_of<byte_view, std::byte const, boost::asio::const_buffer>(buffers, &layer::write),
              std::forward<Handler>(handler));
    }

    stream& bytes() noexcept { return *bytes_; }
    stream const& bytes() const noexcept { return *bytes_; }
    /// When something last came.
    time_point heard() const noexcept { return heard_; }
    /// What the stream said when it failed.
    std::error_code failure() const noexcept { return failure_; }

private:
    /// `make` of these buffers; nothing when there is no memory.
    template <class View, class Byte, class Buffer, class Buffers>
    std::optional<task<transfer>> work_of(Buffers const& buffers, task<transfer> (layer::*make)(std::vector<View>)) {
        try {
            std::vector<View> runs;
            auto const end = boost::asio::buffer_sequence_end(buffers);
            for (auto at = boost::asio::buffer_sequence_begin(buffers); at != end; ++at) {
                Buffer const each{*at};
                if (each.size() > 0) runs.emplace_back(static_cast<Byte*>(each.data()), each.size());
            }
            return after_post((this->*make)(std::move(runs)));
        } catch (std::bad_alloc const&) {
            return std::nullopt;
        }
    }
    /// Beast's handlers are of dozens of types: they share what runs the coroutine.
    struct kept_handler {
        virtual ~kept_handler() = default;
        virtual void tell(transfer done) = 0;
    };
    template <class Handler>
    struct kept_as final : kept_handler {
        explicit kept_as(Handler&& given) : handler(std::move(given)) {}
        void tell(transfer done) override { hand_on(handler, done); }
        Handler handler;
    };
    /// Runs `work`, and hands the outcome to Beast's handler. That is told too when there is no memory.
    template <class Handler>
    void start(std::optional<task<transfer>> work, Handler handler) {
        std::shared_ptr<kept_handler> kept;
        try {
            kept = std::make_shared<kept_as<Handler>>(std::move(handler));
        } catch (std::bad_alloc const&) {
            asio::post(executor_, [last = std::move(handler)]() mutable { hand_on(last, {no_memory(), 0}); });
            return;
        }
        run(std::move(work), std::move(kept));
    }
    void run(std::optional<task<transfer>> work, std::shared_ptr<kept_handler> const& kept) {
        try {
            if (work) {
                asio::co_spawn(executor_, std::move(*work), [kept](std::exception_ptr const& thrown, transfer done) {
                    if (thrown) done = {is_cancellation(thrown) ? aborted() : no_memory(), 0};
                    kept->tell(done);
                });
                return;
            }
        } catch (std::bad_alloc const&) {}
        asio::post(executor_, [kept] { kept->tell({no_memory(), 0}); });
    }
    template <class Handler>
    static void hand_on(Handler& handler, transfer done) {
        try {
            handler(done.why, done.count);
        } catch (std::bad_alloc const&) {}  // Beast has dropped the operation, and with it our handler, which tells us
    }
    static error_code aborted() {
        return boost::asio::error::make_error_code(boost::asio::error::basic_errors::operation_aborted);
    }
    transfer outcome(result<std::size_t> const& done) {
        if (done) return {{}, done.value()};
        if (!failure_) failure_ = done.error();
        return {boost::asio::error::make_error_code(boost::asio::error::misc_errors::eof), 0};
    }
    task<transfer> read(std::vector<mutable_byte_view> places) {
        if (places.empty()) co_return transfer{};
        if (!early_.empty()) {
            auto const count = std::min(early_.size(), places.front().size());
            std::copy_n(early_.begin(), count, places.front().begin());
            early_.erase(early_.begin(), early_.begin() + static_cast<std::ptrdiff_t>(count));
            co_return transfer{{}, count};
        }
        auto const done = co_await bytes_->read_some(places);
        heard_ = clock_.now();
        co_return outcome(done);
    }
    task<transfer> write(std::vector<byte_view> runs) {
        if (runs.empty()) co_return transfer{};
        co_return outcome(co_await bytes_->write_some(runs));
    }

    executor_type executor_;
    clock& clock_;
    std::unique_ptr<stream> bytes_;
    byte_vector early_;
    time_point heard_ = clock_.now();
    std::error_code failure_;
};

/// Beast asks for it at the end; the stream is closed by us, where a farewell may be waited for.
template <class Handler>
void async_teardown(boost::beast::role_type, layer& of, Handler&& handler) {
    boost::asio::post(of.get_executor(),
                      [kept = std::decay_t<Handler>(std::forward<Handler>(handler))]() mutable { kept(error_code{}); });
}
void beast_close_socket(layer& of) {
    of.bytes().close();
}

task<void> read_to_end(stream& from) {
    byte_vector ignored(first_room);
    while (co_await from.read_some(ignored)) {}
}
}  // namespace

struct web_socket::parts {
    parts(asio::any_io_executor executor, environment& environment, std::unique_ptr<stream> bytes, byte_vector early,
          web_socket_limits const& given)
        : outside(environment),
          limits(given),
          frames(std::move(executor), environment, std::move(bytes), std::move(early)) {
        frames.read_message_max(limits.message_bytes);
        frames.auto_fragment(false);
    }

    environment& outside;
    web_socket_limits limits;
    beast_ws::stream<layer, false> frames;  // never compressed: we offer it to nobody
    std::error_code ended;                  ///< Why, once it has; `closed` after an orderly end, which `orderly` tells.
    bool orderly = false;
    bool closing = false;  ///< Our farewell is on its way.

    stream& bytes() { return frames.next_layer().bytes(); }
    std::error_code reason(error_code const& from) const;
    void end(std::error_code why);
    /// Awaits `work`, which waits for Beast. Cancelled, it closes the connection and waits for the end of `work`:
    /// Beast's own cancellation would resume us inside the signal's call. Late when cancelled after `when`.
    task<void> to_the_end(task<void> work, time_point when = time_point::max());
    /// The same, cancelled at `when`; false then.
    task<bool> finish(task<void> work, time_point when);

    task<void> accept(web_socket_agreement const& agreement);
    task<void> ask(std::string const& host_field, std::string const& target, result<void>& done);
    task<void> read(result<std::optional<web_socket_message>>& out);
    task<void> write(byte_view bytes, bool text);
    task<void> ping();
    task<void> say_farewell(close_reason why);
    task<void> watch(signal& received);
    task<result<void>> send(byte_view bytes, bool text);
};

task<void> web_socket::parts::to_the_end(task<void> work, time_point when) {
    auto const executor = co_await asio::this_coro::executor;
    asio::steady_timer changed{executor, time_point::max()};  // no `signal`: nothing below may need a frame
    handler_place place;
    bool done = false;
    std::exception_ptr failure;
    asio::co_spawn(executor, std::move(work), [&](std::exception_ptr const& why) {
        failure = why;
        done = true;
        changed.cancel();
    });
    auto const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!done) {
        if (!could_wait(co_await timer_wait(changed, place))) co_await asio::post(asio::deferred);
        auto const state = co_await asio::this_coro::cancellation_state;
        if (!done && state.cancelled() != asio::cancellation_type::none)
            end(outside.clock.now() < when ? errc::closed : errc::timed_out);
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) std::rethrow_exception(failure);
}

task<bool> web_socket::parts::finish(task<void> work, time_point when) {
    co_return co_await ends_before(outside.clock, when, to_the_end(std::move(work), when));
}

void web_socket::parts::end(std::error_code why) {
    if (!ended) ended = why;
    bytes().close();
}

std::error_code web_socket::parts::reason(error_code const& from) const {
    if (ended) return ended;
    if (from == beast_ws::make_error_code(beast_ws::error::message_too_big) ||
        from == beast_ws::make_error_code(beast_ws::error::buffer_overflow))
        return errc::web_socket_too_large;
    if (auto const failed = frames.next_layer().failure()) return failed;
    if (from == no_memory()) return make_error_code(std::errc::not_enough_memory);
    if (from == boost::asio::error::make_error_code(boost::asio::error::basic_errors::operation_aborted))
        return errc::closed;
    return errc::web_socket_malformed;
}

task<void> web_socket::parts::accept(web_socket_agreement const& agreement) {
    beast_http::request<beast_http::empty_body> request;
    request.method(beast_http::verb::get);
    request.target("/");
    request.version(11);
    request.set(beast_http::field::host, "x");
    request.set(beast_http::field::upgrade, "websocket");
    request.set(beast_http::field::connection, "upgrade");
    request.set(beast_http::field::sec_websocket_version, "13");
    request.set(beast_http::field::sec_websocket_key,
                boost::beast::string_view{agreement.key.data(), agreement.key.size()});
    frames.set_option(beast_ws::stream_base::decorator([&](beast_ws::response_type& response) {
        for (auto const& [name, value] : agreement.fields) response.set(name, value);
        response.set(beast_http::field::server, "shoal");  // else Beast names itself
    }));
    handler_place place;
    auto const [why, none] =
        co_await surely(place, [&](auto handler) { frames.async_accept(request, std::move(handler)); });
    if (why) end(reason(why));
}

task<void> web_socket::parts::ask(std::string const& host_field, std::string const& target, result<void>& done) {
    beast_ws::response_type response;
    handler_place place;
    auto const [why, none] = co_await surely(
        place, [&](auto handler) { frames.async_handshake(response, host_field, target, std::move(handler)); });
    if (!why) co_return;
    if (why.category() == beast_ws::make_error_code(beast_ws::error::upgrade_declined).category()) {
        auto const status = response.result_int();
        done = status == 401 || status == 403 ? errc::not_permitted : errc::web_socket_refused;
    } else if (auto const failed = frames.next_layer().failure()) {
        done = failed;
    } else if (why == beast_http::make_error_code(beast_http::error::header_limit) ||
               why == beast_http::make_error_code(beast_http::error::buffer_overflow)) {
        done = errc::http_too_large;
    } else if (why == no_memory()) {
        done = make_error_code(std::errc::not_enough_memory);
    } else {
        done = errc::http_malformed;
    }
    end(done.error());
}

task<void> web_socket::parts::read(result<std::optional<web_socket_message>>& out) {
    web_socket_message message;
    std::size_t filled = 0;
    handler_place place;
    do {
        if (filled == message.bytes.size())
            message.bytes.resize(std::max(first_room, std::min(2 * filled, limits.message_bytes + 1)));
        boost::asio::mutable_buffer const room{message.bytes.data() + filled, message.bytes.size() - filled};
        auto const [why, count] =
            co_await surely(place, [&](auto handler) { frames.async_read_some(room, std::move(handler)); });
        filled += count;
        if (why) {
            orderly = orderly || why == beast_ws::make_error_code(beast_ws::error::closed) || (closing && !ended);
            out = orderly ? make_error_code(errc::closed) : reason(why);
            co_return;
        }
    } while (!frames.is_message_done());
    message.is_text = frames.got_text();
    message.bytes.resize(filled);
    out = std::optional{std::move(message)};
}

task<void> web_socket::parts::write(byte_view run, bool text) {
    frames.text(text);
    handler_place place;
    boost::asio::const_buffer const whole{run.data(), run.size()};
    auto const [why, count] =
        co_await surely(place, [&](auto handler) { frames.async_write(whole, std::move(handler)); });
    if (why) end(reason(why));
}

task<void> web_socket::parts::ping() {
    handler_place place;
    auto const [why, none] = co_await surely(place, [&](auto handler) { frames.async_ping({}, std::move(handler)); });
    if (why && !ended) ended = reason(why);
}

task<void> web_socket::parts::say_farewell(close_reason why) {
    beast_ws::close_reason given{static_cast<beast_ws::close_code>(why)};
    handler_place place;
    co_await surely(place, [&](auto handler) { frames.async_close(given, std::move(handler)); });
}

/// Pings a silent peer and ends the connection with a dead one; returns when told that something was received.
task<void> web_socket::parts::watch(signal& received) {
    auto& clock = outside.clock;
    auto const begun = clock.now();  // nobody listened before
    auto pinged = begun;
    for (;;) {
        auto const heard = std::max(begun, frames.next_layer().heard());
        auto const gone = heard + limits.idle, next_ping = std::max(heard, pinged) + limits.ping;
        auto const now = clock.now();
        if (now >= gone) {
            end(errc::timed_out);
            co_return;
        }
        if (now >= next_ping) {
            pinged = now;
            if (!co_await finish(ping(), std::min(now + limits.send, gone))) co_return;
            continue;
        }
        if (co_await clock.wait(received, std::min(gone, next_ping))) co_return;
    }
}

task<result<void>> web_socket::parts::send(byte_view run, bool text) {
    if (ended) co_return ended;
    if (orderly || closing) co_return errc::closed;
    co_await finish(write(run, text), outside.clock.now() + limits.send);
    if (ended) co_return ended;
    co_return success();
}

web_socket::web_socket(std::unique_ptr<parts> opened) : parts_(std::move(opened)) {}
web_socket::~web_socket() {
    parts_->bytes().close();
}

task<result<std::optional<web_socket_message>>> web_socket::receive() {
    auto& self = *parts_;
    if (self.orderly) co_return std::optional<web_socket_message>{};
    if (self.ended) co_return self.ended;
    result<std::optional<web_socket_message>> out = errc::closed;
    signal received{co_await asio::this_coro::executor};
    co_await in_task_group([&](task_group& group) -> task<void> {
        group.spawn("web socket silence", self.watch(received));
        co_await self.to_the_end(self.read(out));
        received.notify();  // not cancelled: a ping that is under way ends by itself
        co_await group.join();
    });
    if (out) co_return out;
    if (!self.orderly && (out.error() == errc::web_socket_malformed || out.error() == errc::web_socket_too_large))
        co_await ends_before(self.outside.clock, self.outside.clock.now() + farewell, read_to_end(self.bytes()));
    if (!self.closing) self.end(out.error());
    if (self.orderly) co_return std::optional<web_socket_message>{};
    co_return out.error();
}

task<result<void>> web_socket::send(byte_view bytes) {
    return parts_->send(bytes, false);
}
task<result<void>> web_socket::send_text(std::string_view text) {
    return parts_->send(as_bytes(text), true);
}

task<void> web_socket::close(close_reason why) {
    auto& self = *parts_;
    if (!self.ended && !self.orderly && !std::exchange(self.closing, true))
        co_await self.finish(self.say_farewell(why), self.outside.clock.now() + self.limits.send);
    self.orderly = true;
    self.end(errc::closed);
}

std::optional<std::uint16_t> web_socket::reason_of_peer() const noexcept {
    auto const& given = parts_->frames.reason();
    if (given.code == beast_ws::close_code::none) return std::nullopt;
    return static_cast<std::uint16_t>(given.code);
}
endpoint web_socket::remote() const {
    return parts_->frames.next_layer().bytes().remote();
}

task<result<std::unique_ptr<web_socket>>> ask_for_web_socket(environment& outside, std::unique_ptr<stream> bytes,
                                                             std::string host_field, std::string target,
                                                             web_socket_limits limits) {
    auto opened = std::make_unique<web_socket::parts>(co_await asio::this_coro::executor, outside, std::move(bytes),
                                                      byte_vector{}, limits);
    result<void> done = success();
    co_await opened->to_the_end(opened->ask(host_field, target, done));
    if (!done) co_return done.error();
    co_return std::make_unique<web_socket>(std::move(opened));
}

task<result<std::unique_ptr<web_socket>>> agree_to_web_socket(environment& outside, std::unique_ptr<stream> bytes,
                                                              web_socket_agreement agreement,
                                                              web_socket_limits limits) {
    auto opened = std::make_unique<web_socket::parts>(co_await asio::this_coro::executor, outside, std::move(bytes),
                                                      std::move(agreement.early), limits);
    if (!co_await opened->finish(opened->accept(agreement), outside.clock.now() + limits.send))
        co_return errc::timed_out;
    if (opened->ended) co_return opened->ended;
    co_return std::make_unique<web_socket>(std::move(opened));
}
}  // namespace shoal::net
