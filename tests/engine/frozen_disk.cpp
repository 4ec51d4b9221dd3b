#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>

#include "fixture.hpp"
using namespace fixture;

namespace {
/// A disk that answers no read until it is let go.
struct frozen_files final : store::simulated_files {
    using simulated_files::simulated_files;
    result<void> read(store::file_number file, std::uint64_t offset, mutable_byte_view into) override {
        {
            std::unique_lock lock{mutex};
            ++asked;
            changed.wait(lock, [this] { return is_let_go; });
        }
        return simulated_files::read(file, offset, into);
    }
    bool is_asked() {
        std::lock_guard const lock{mutex};
        return asked > 0;
    }
    void let_go() {
        std::lock_guard const lock{mutex};
        is_let_go = true;
        changed.notify_all();
    }

    std::mutex mutex;
    std::condition_variable changed;
    std::size_t asked = 0;
    bool is_let_go = false;
};

template <class Files>
std::shared_ptr<Files> files_with(testing::content const& what) {
    auto const disk = std::make_shared<store::simulated_disk>(1);
    disk->put("0", what.files[0]);
    return std::make_shared<Files>(disk);
}
transfer_options giving_from(std::shared_ptr<store::back_end_files> files) {
    transfer_options options;
    options.storage.writable = false;
    options.files = std::move(files);
    return options;
}
}  // namespace

TEST_CASE("while one disk stands still, a torrent on another one goes on", "[engine]") {
    testing::on_machine([](net::environment& outside) -> net::task<void> {
        machine here{outside, co_await asio::this_coro::executor};
        auto const slow = testing::make_content({{"slow", 2'000'000}}, {.seed = 1});
        auto const quick = testing::make_content({{"quick", 200'000}}, {.seed = 2});
        auto const frozen = files_with<frozen_files>(slow);
        auto& party = here.start();
        auto const first = party.node->add(slow.torrent, giving_from(frozen)).value();
        CHECK(co_await here.comes_true([&] { return frozen->is_asked(); }));
        auto const second =
            party.node->add(quick.torrent, giving_from(files_with<store::simulated_files>(quick))).value();
        CHECK(co_await here.comes_true([&] { return second->status().state == engine::transfer_state::seeding; }));
        CHECK(first->status().state == engine::transfer_state::checking);
        frozen->let_go();
        CHECK(co_await here.checked(first));
        co_await here.stop_all();
    });
}
