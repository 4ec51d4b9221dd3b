module;
#include <chrono>
#include <coroutine>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

module peer;
import shoal.core;
import shoal.engine;
import shoal.metainfo;
import shoal.net;
import :files;
import :moving;

namespace shoal::cli {
namespace {
net::task<int> seed(mover& with, seed_options const& options, std::shared_ptr<metainfo::torrent const> content) {
    auto& out = with.out;
    auto const shown = escaped(content->name());
    with.listen();
    auto added = with.add(content, options.directory);
    if (!added) co_return out.fail(status_of(added.error()), shown + ": " + added.error().message());
    std::vector<std::shared_ptr<watched>> const all{added.value()};
    auto& transfer = *all.front()->transfer;

    while (transfer.status().state == engine::transfer_state::checking && !with.stopped) {
        with.show_progress(all);
        co_await with.wait(redraw_interval);
    }
    if (with.stopped) co_return static_cast<int>(exit_status::incomplete);
    auto const status = transfer.status();
    if (status.error) co_return out.fail(status_of(status.error), shown + ": " + status.error.message());
    if (status.pieces_have == 0) {
        std::error_code error;
        auto const root = names_in(options.directory, *content).root;
        bool const is_there =
            std::filesystem::exists(options.directory / (root.empty() ? content->name() : root), error);
        auto const where = escaped(options.directory.string());
        co_return is_there ? out.fail(exit_status::mismatch, shown + ": no piece in " + where + " has its hash")
                           : out.fail(exit_status::not_found, shown + ": not found in " + where);
    }
    if (status.pieces_have < status.pieces_total)
        out.note(shown + ": " + std::to_string(status.pieces_total - status.pieces_have) + " of " +
                 std::to_string(status.pieces_total) + " pieces are missing or bad; seeding the others");
    out.event("start", {{"name", content->name()}, {"pieces", status.pieces_total}, {"have", status.pieces_have}});
    while (!with.stopped) {
        with.show_progress(all);
        co_await with.wait(redraw_interval);
    }
    co_return static_cast<int>(exit_status::done);
}
}  // namespace

int run_seed(seed_options const& options) {
    output out{options.transfer.output};
    if (asks_too_much(options.transfer, out)) return static_cast<int>(exit_status::failed);
    auto const content = std::make_shared<metainfo::torrent const>(load_torrent(options.torrent));
    mover with{options.transfer, out};
    return with.run([&](mover& running) { return seed(running, options, content); });
}
}  // namespace shoal::cli
