module;
#include <chrono>
#include <cstddef>
#include <new>
#include <thread>
#include <type_traits>
#include <utility>

module shoal.net:waiting;
import shoal.asio;

// An operation of Asio or Beast for which there is no memory throws out of the event loop, and the coroutine that waits
// for it is lost, with the tasks that it owns. So the handler of a wait stays in the coroutine, and is called whatever
// becomes of the operation.
namespace shoal::net {
/// How a wait has ended.
struct waited {
    boost::system::error_code why;  ///< `not_enough_memory` when the operation could not begin, or go on.
    std::size_t count = 0;
};

/// Where the handler stays: in the frame of the coroutine that waits.
struct handler_place {
    static constexpr std::size_t bytes_max = 4 * sizeof(void*);
    alignas(void*) std::byte bytes[bytes_max];
    bool is_beginning = false;
};

inline boost::system::error_code no_memory() {
    return make_error_code(boost::system::errc::errc_t::not_enough_memory);
}

/// What the operation is given in place of the handler.
template <class Handler>
class handler_elsewhere {
public:
    using executor_type = typename Handler::executor_type;
    using cancellation_slot_type = typename Handler::cancellation_slot_type;

    handler_elsewhere(Handler& handler, handler_place& place) noexcept : handler_(&handler), place_(&place) {}
    handler_elsewhere(handler_elsewhere&& other) noexcept
        : handler_(std::exchange(other.handler_, nullptr)), place_(other.place_) {}
    handler_elsewhere& operator=(handler_elsewhere&& other) noexcept {
        std::swap(handler_, other.handler_);
        std::swap(place_, other.place_);
        return *this;
    }
    ~handler_elsewhere() {
        if (handler_ == nullptr || place_->is_beginning) return;
        auto const executor = get_executor();  // the operation was dropped, and nobody else would call
        asio::post(executor, [handler = take()]() mutable { handler(waited{.why = no_memory()}); });
    }
    executor_type get_executor() const noexcept { return handler_->get_executor(); }
    cancellation_slot_type get_cancellation_slot() const noexcept { return handler_->get_cancellation_slot(); }

    /// The handler, which leaves its place: what it resumes may end the frame where that is.
    Handler take() noexcept {
        auto* const from = std::exchange(handler_, nullptr);
        auto handler = std::move(*from);
        from->~Handler();
        return handler;
    }
    void operator()(boost::system::error_code why, std::size_t count = 0) { take()(waited{why, count}); }

private:
    Handler* handler_;
    handler_place* place_;
};

/// Awaits what `begin` starts with the handler that it is given. One thread runs the executor.
template <class Begin>
auto surely(handler_place& place, Begin begin) {
    return asio::async_initiate<asio::deferred_t const, void(waited)>(
        [&place, begin]<class Handler>(Handler&& given) mutable {
            using handler_type = std::decay_t<Handler>;
            static_assert(sizeof(handler_type) <= handler_place::bytes_max);
            auto* const kept = new (place.bytes) handler_type(std::forward<Handler>(given));
            place.is_beginning = true;
            try {
                begin(handler_elsewhere<handler_type>{*kept, place});
                place.is_beginning = false;
                return;
            } catch (...) {}
            place.is_beginning = false;
            handler_elsewhere<handler_type>{*kept, place}(no_memory());  // nothing here is touched after that
        },
        asio::deferred);
}

/// Waits for the time of the timer, or until it is cancelled; at once where there is no memory to wait (`could_wait`).
inline auto timer_wait(asio::steady_timer& timer, handler_place& place) {
    return surely(place, [&timer](auto handler) { timer.async_wait(std::move(handler)); });
}
inline bool could_wait(waited const& how) {
    return how.why != no_memory();
}

/// Posts from a thread that may block: where there is no memory it waits for some, since nobody else brings the notice.
template <class Work>
void post_from_thread(asio::any_io_executor const& executor, Work const& work) {
    for (;;) {
        try {
            asio::post(executor, work);
            return;
        } catch (std::bad_alloc const&) {}
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
}
}  // namespace shoal::net
