module;
#include <coroutine>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>

/// The catalogue as coroutines use it: on the worker pool, one call at a time.
module shoal.hub:archive;
import shoal.asio;
import shoal.core;
import shoal.net;
import :catalogue;

namespace shoal::hub {
class archive {
public:
    archive(net::environment& outside, asio::any_io_executor home) : outside_(outside), home_(std::move(home)) {}

    void adopt(catalogue opened) { catalogue_.emplace(std::move(opened)); }
    /// Runs `work` when it is its turn; what it refers to stays alive until the return, cancelled or not.
    template <class Result>
    net::task<Result> call(std::function<Result(catalogue&)> work) {
        turn const mine{*this};
        while (waiting_.front() != &mine.go) co_await mine.go->wait();
        std::optional<Result> answer;
        co_await net::on_pool(outside_.workers, [&] { answer.emplace(work(*catalogue_)); });
        co_return std::move(*answer);
    }

private:
    using go_signal = std::unique_ptr<net::signal>;
    struct turn {
        explicit turn(archive& of) : owner(of), go(std::make_unique<net::signal>(of.home_)) {
            owner.waiting_.push_back(&go);
        }
        turn(turn const&) = delete;
        turn& operator=(turn const&) = delete;
        ~turn() {
            owner.waiting_.remove(&go);
            if (!owner.waiting_.empty()) (*owner.waiting_.front())->notify();
        }
        archive& owner;
        go_signal go;
    };

    net::environment& outside_;
    asio::any_io_executor home_;
    std::optional<catalogue> catalogue_;
    std::list<go_signal const*> waiting_;  // the first has its turn
};
}  // namespace shoal::hub
