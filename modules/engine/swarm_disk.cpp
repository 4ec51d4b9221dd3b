module;
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>

#include "core/canary.hpp"
#include "core/try.hpp"

module shoal.engine;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.picker;
import shoal.store;
import :swarm;

namespace shoal::engine {
struct swarm::check_state {
    std::vector<piece_index> pieces;
    enum class verdict : char { none, right, unread };
    std::vector<verdict> verdicts;  // one for each of `pieces`; each element has one writer
    std::atomic<std::size_t> next{0}, done{0};
    std::atomic<bool> stop{false}, contradicts{false};
    std::size_t running = 0;
    std::exception_ptr failure;  // of a thread: not all was looked at
};

void swarm::stop_checking() {
    if (checking_) checking_->stop = true;
}

std::uint32_t swarm::pieces_checked() const {
    return checking_ ? static_cast<std::uint32_t>(checking_->done.load(std::memory_order_relaxed)) : 0;
}

net::task<void> swarm::start_up() {
    while (!was_checked_) {
        auto const checked = co_await open_and_check();
        if (checked) {
            count_missing_per_file();
            was_checked_ = true;
            break;
        }
        storage_failed(checked.error());
        checked_.notify();
        if (contradicts_itself()) co_return;
        co_await node.outside.clock.sleep(storage_retry_after);
    }
    begin_work();
}

/// After the check. Called again where there was no memory for a step, it goes on with that.
void swarm::begin_work() {
    std::array<std::function<void()>, 5> const steps{
        [this] {
            was_complete_ = picker.complete();
            state_ = state_at_work();
            checked_.notify();
            if (!options_.storage.writable && picker.complete()) is_complete_ = true, completed_.notify();
        },
        [this] {
            if (lost_.empty())
                storage_recovered();
            else
                storage_failed(lost_why_);
            tell(event::checked{});
        },
        [this] { spawn_lasting("keep files", &swarm::keep_files); },
        [this] { spawn_lasting("look after content", &swarm::look_after_content); },
        [this] {
            if (is_automatic_) start_announcing();
        },
    };
    for (; work_begun_ < steps.size(); ++work_begun_) steps[work_begun_]();
    call_peers();
}

net::task<result<void>> swarm::open_and_check() {
    if (!store) {
        std::optional<result<std::unique_ptr<store::chunk_store>>> opened;
        co_await net::on_pool(workers, [&] {
            opened.emplace(options_.files ? store::chunk_store::open(content, options_.storage, options_.files)
                                          : store::chunk_store::open(content, options_.storage));
        });
        if (!*opened) co_return opened->error();
        store = std::move(opened->value());
        // The store knows where. Exchanged, since assigning to a string keeps its memory.
        (void)std::exchange(
            options_.storage,
            {.directory = {}, .writable = options_.storage.writable, .wanted_files = {}, .journal = {}, .names = {}});
    }
    co_return co_await check_pieces();
}

/// What the journal proves is had at once; the rest is read and hashed by all threads of the pool.
net::task<result<void>> swarm::check_pieces() {
    result<bitfield> proven = bitfield{};
    bitfield absent;
    co_await net::on_pool(workers, [&] {
        proven = store->load();
        if (proven) absent = store->absent_pieces();
    });
    if (!proven) co_return proven.error();
    state_ = transfer_state::checking;  // again, perhaps
    checking_ = std::make_shared<check_state>();
    lost_.clear();
    auto const count = picker.piece_count();
    for (std::uint32_t i = 0; i < count; ++i) {
        if (i < proven.value().size() && proven.value().test(piece_index{i})) {
            picker.set_have(piece_index{i});
            continue;
        }
        if (picker.have().test(piece_index{i})) picker.piece_failed(piece_index{i});  // by a check that failed then
        if (!absent.test(piece_index{i})) checking_->pieces.push_back(piece_index{i});
    }
    checking_->verdicts.resize(checking_->pieces.size());
    pieces_hashed_ = static_cast<std::uint32_t>(checking_->pieces.size());
    auto const state = checking_;
    auto const threads = std::min(workers.size(), state->pieces.size());
    net::signal& all_done = files_ready_;  // nobody else waits for it yet
    for (std::size_t i = 0; i < threads; ++i) {
        spawn("check pieces", check_on_pool(state));
        ++state->running;  // it has not begun yet
    }
    while (state->running > 0) co_await all_done.wait();
    if (state->failure) std::rethrow_exception(state->failure);
    if (state->contradicts) co_return store::errc::hashes_disagree;
    for (std::size_t i = 0; i < state->pieces.size(); ++i) {
        auto const found = state->verdicts[i];
        if (found == check_state::verdict::right) picker.set_have(state->pieces[i]);
        if (found != check_state::verdict::unread || options_.storage.writable || state->stop) continue;
        lost_.push_back(state->pieces[i]);  // nobody else could give it to us: it is looked at again
        lost_why_ = std::make_error_code(std::errc::io_error);
    }
    checking_.reset();
    co_return success();
}

/// Takes turns with whatever else the pool is asked for.
net::task<void> swarm::check_on_pool(std::shared_ptr<check_state> state) {
    struct counted {
        check_state& all;
        net::signal& ended;
        ~counted() {
            --all.running;
            ended.notify();
        }
    } const while_here{*state, files_ready_};
    auto& from = *store;
    auto const a_turn = std::max<std::size_t>(1, check_turn / content->pieces().piece_length());
    try {
        while (state->next < state->pieces.size() && !state->stop) {
            co_await net::on_pool(workers, [&from, &state = *state, a_turn, is_hashed = options_.is_hashed] {
                for (std::size_t n = 0; n < a_turn && !state.stop; ++n) {
                    auto const i = state.next++;
                    if (i >= state.pieces.size()) return;
                    auto const right = is_hashed || is_planted("restart_unchecked") ? from.trust_piece(state.pieces[i])
                                                                                    : from.check_piece(state.pieces[i]);
                    if (right)
                        state.verdicts[i] = right.value() ? check_state::verdict::right : check_state::verdict::none;
                    else if (right.error() == store::errc::hashes_disagree)
                        state.contradicts = state.stop = true;
                    else if (right.error() != store::errc::no_hash)
                        state.verdicts[i] = check_state::verdict::unread;
                    state.done.fetch_add(1, std::memory_order_relaxed);
                }
            });
        }
    } catch (std::bad_alloc const&) {
        state->failure = std::current_exception();
    }
}

/// Takes the blocks of a piece until it is verified or not; where there is no memory for that, it is fetched anew.
net::task<void> swarm::write_piece(piece_index piece, piece_work& work) {
    bool is_over = false;
    std::exception_ptr failure;
    try {
        is_over = co_await receive_piece(piece, work);
    } catch (...) {
        failure = std::current_exception();
        if (net::is_cancellation(failure)) throw;
        std::erase(work_with_news_, piece);
        if (work_.erase(to_number(piece)) > 0) fetch_again(piece);
        storage_recovered();  // where the disk fails still, the next write says so: nobody else would try again
    }
    if (failure) std::rethrow_exception(failure);
    if (is_over) settle();
}

/// False when nothing is received any more.
net::task<bool> swarm::receive_piece(piece_index piece, piece_work& work) {
    auto const needed = picker.needed_blocks(piece);
    {
        auto const writer = store->begin(piece);
        std::vector<store::block_data> batch;
        std::vector<picker::received_block> received(needed);
        bool is_compared = blame_.remembers(piece);  // of what one peer sent alone nobody asks for prints
        picker::sender last_by;
        for (std::uint32_t written = 0; written < needed;) {
            if (work.arrived.empty()) {
                co_await work.ready.wait();
                continue;
            }
            auto const arrived = std::exchange(work.arrived, {});
            batch.clear();
            for (auto const& [block, buffer, by] : arrived) {
                batch.push_back({block.begin, buffer.bytes().first(block.length), false});
                received[block.begin / block_length].by = by;
                is_compared = is_compared || (by != last_by && last_by != picker::sender{});
                last_by = by;
            }
            auto const printed = is_compared ? std::span{received} : std::span<picker::received_block>{};
            co_await write_batch(piece, *writer, batch, printed);
            written += static_cast<std::uint32_t>(arrived.size() * (is_planted("block_counted_twice") ? 2 : 1));
        }
        co_await write_padding(piece, *writer);
        result<bool> right = false;
        for (;;) {
            co_await net::on_pool(workers, [&] { right = writer->finish(); });
            if (right || right.error() == store::errc::doubtful_piece) break;
            storage_failed(right.error());
            if (contradicts_itself()) {
                announcing_.cancel();
                telling_.cancel();
                for (auto* session : sessions_)
                    if (session) session->close(error_);
                co_return false;
            }
            co_await node.outside.clock.sleep(storage_retry_after);
        }
        storage_recovered();
        work_.erase(to_number(piece));  // `work` is gone from here on
        if (!right)
            fetch_again(piece);
        else if (right.value())
            piece_verified(piece, received);
        else
            piece_rejected(piece, received);
    }
    co_return true;
}

/// What nobody was asked for.
net::task<void> swarm::write_padding(piece_index piece, store::piece_writer& writer) {
    static constexpr std::array<std::byte, block_length> zeros{};
    constexpr std::size_t at_once = 64;
    std::vector<store::block_data> batch;
    auto const count = content->pieces().block_count(piece);
    for (auto i = picker.needed_blocks(piece); i < count; ++i) {
        auto const block = content->pieces().block_at(piece, i);
        batch.push_back({block.begin, byte_view{zeros}.first(block.length), false});
        if (batch.size() < at_once && i + 1 < count) continue;
        co_await write_batch(piece, writer, batch, {});
        batch.clear();
    }
}

/// Writes and hashes blocks on the pool; when the disk fails, again and again until it takes them. `received` are the
/// blocks of the piece that need prints, none where nobody will compare them.
net::task<void> swarm::write_batch(piece_index piece, store::piece_writer& writer,
                                   std::span<store::block_data const> batch,
                                   std::span<picker::received_block> received) {
    for (;;) {
        result<void> wrote = success();
        co_await net::on_pool(workers, [&] {
            wrote = writer.write(batch);
            if (wrote && !received.empty()) take_prints(piece, batch, received);
        });
        if (wrote) break;
        storage_failed(wrote.error());
        co_await node.outside.clock.sleep(storage_retry_after);
    }
    storage_recovered();
    if (std::exchange(node.is_starved, false))
        for (auto& [hash, other] : node.swarms) other->retry_peers();
}

/// Of the blocks of `batch`, which are in memory, and of those before it, which must be read again. Where that fails
/// nobody is blamed for them. [pool]
void swarm::take_prints(piece_index piece, std::span<store::block_data const> batch,
                        std::span<picker::received_block> received) {
    for (auto const& each : batch) received[each.begin / block_length].print = node.prints.of(each.bytes);
    byte_vector buffer;
    for (std::uint32_t i = 0; i < received.size(); ++i) {
        auto& each = received[i];
        if (each.by == picker::sender{} || each.print != picker::block_print{}) continue;
        auto const block = content->pieces().block_at(piece, i);
        buffer.resize(block.length);
        if (store->read(block, buffer)) each.print = node.prints.of(buffer);
    }
}

void swarm::storage_failed(std::error_code why) {
    if (contradicts_itself()) return;
    bool const is_news = error_ != why;
    error_ = why;
    state_ = transfer_state::failed;
    if (is_news) tell(event::failed{why});
    completed_.notify();
}

void swarm::storage_recovered() {
    if (!error_ || contradicts_itself()) return;
    if (!lost_.empty() || !wrong_.empty()) return storage_failed(lost_why_);
    error_ = {};
    state_ = state_at_work();
    tell(event::recovered{});
    update_interest();
    retry_peers();
    stir();
}

void swarm::update_interest() {
    with_sessions([](peer_session& each) { each.update_interest(); });
}

void swarm::count_missing_per_file() {
    auto const& layout = content->content();
    missing_per_file_.assign(layout.files().size(), 0);
    for (std::uint32_t file = 0; file < layout.files().size(); ++file) {
        auto const span = layout.pieces_of(file);
        for (auto i = span.first; i < span.first + span.count; ++i)
            if (!picker.have().test(piece_index{i})) ++missing_per_file_[file];
    }
}

void swarm::piece_verified(piece_index piece, std::span<picker::received_block const> blocks) {
    picker.set_have(piece);  // first what does not fail
    for (auto const& culprit : blame_.passed(piece, blocks)) ban(culprit);
    auto const& layout = content->content();
    auto const& pieces = content->pieces();
    bool finishes_file = picker.complete();
    layout.for_each_range(pieces.offset_of(piece), pieces.piece_size(piece), [&](metainfo::file_range const& range) {
        if (missing_per_file_[range.file] > 0 && --missing_per_file_[range.file] == 0) finishes_file = true;
    });
    if (finishes_file) files_ready_.notify();
    with_sessions([this, piece](peer_session& each) {
        if (!is_planted("newcomer_not_told") || node.now() - each.connected_since >= std::chrono::seconds{5})
            each.core.have(piece);
        each.flush();
        each.update_interest();
    });
    tell(event::piece_verified{piece});
    fetch_ended(piece, {});
}

void swarm::piece_rejected(piece_index piece, std::span<picker::received_block const> blocks) {
    ++failed_pieces_;
    wasted += picker.needed_size(piece);
    fetch_again(piece);  // first what does not fail
    tell(event::piece_rejected{piece});
    if (auto const culprit = blame_.failed(piece, blocks)) ban(*culprit);
    fetch_failed_hash(piece);
}

void swarm::fetch_again(piece_index piece) {
    picker.piece_failed(piece);
    retry_peers();
}

/// Gives complete files their names; the transfer is complete when all that is wanted has its own.
net::task<void> swarm::keep_files() {
    if (!options_.storage.writable) co_return;
    files_ready_.notify();  // what was ready before is ready still
    for (;;) {
        co_await files_ready_.wait();
        if (contradicts_itself()) co_return;
        if (!is_automatic_) continue;
        result<void> named = success();
        bool const was_last = picker.complete();
        co_await net::on_pool(workers, [&] {
            // Complete is what the disk has, not what it had before a sync failed.
            if (was_last) named = store->settle_doubts();
            if (named) named = store->complete_files();
        });
        give_up_lost();
        if (!named) {
            storage_failed(named.error());
            co_await node.outside.clock.sleep(storage_retry_after);
            files_ready_.notify();
            continue;
        }
        storage_recovered();
        if (!was_last || is_complete_ || !picker.complete()) continue;
        if (store->has_doubts()) {  // a sync looks at them just now
            co_await node.outside.clock.sleep(storage_retry_after);
            files_ready_.notify();
            continue;
        }
        finished();
    }
}

/// All that is wanted is there under its own name. Trackers are told of that once, and not when it was there at the
/// start. Source: BEP 3, "event".
void swarm::finished() {
    is_complete_ = true;
    is_completion_due_ = false;
    state_ = transfer_state::seeding;
    completed_.notify();
    peers_changed();
    if (!std::exchange(was_complete_, true))
        for (auto& each : announcers_) each->completed();
    tell(event::completed{});
    update_interest();
}

/// Makes what was verified durable, notices when somebody changes the files, and reads what was verified again.
net::task<void> swarm::look_after_content() {
    auto const count = picker.piece_count();
    auto const at_rate = duration{std::chrono::seconds{content->pieces().piece_length()}} / scrub_rate_max;
    bool const scrubs = node.settings.scrub_interval > duration::zero();
    auto const pause = std::max<duration>(node.settings.scrub_interval / count, at_rate);
    auto scrub_at = scrubs ? node.now() + pause : time_point::max();
    // Anywhere: who runs it for an hour each evening would else read the same beginning each time.
    auto next = node.outside.random.next() % count;
    co_await look_at_content();
    for (auto looked_at = node.now();;) {
        co_await node.outside.clock.wait(asked_for_, std::min(looked_at + look_pause(), scrub_at));
        if (node.now() >= scrub_at) {
            co_await scrub(piece_index{static_cast<std::uint32_t>(next)});
            next = (next + 1) % count;
            scrub_at = node.now() + pause;
        }
        if (node.now() < looked_at + look_pause()) continue;
        co_await look_at_content();
        looked_at = node.now();
    }
}

/// Until the next look. Content that nobody asks for is looked at the less often the more there is of it.
duration swarm::look_pause() const {
    duration const often = std::min<duration>(sync_interval, content_look_interval);
    if (session_count_ > 0 || wants_data() || error_ || sync_error_) return often;
    return std::max<duration>(often, content_look_cost * node.transfers.size());
}

net::task<void> swarm::look_at_content() {
    result<void> synced = success();
    bool const is_at_rest = session_count_ == 0 && !wants_data();
    co_await net::on_pool(workers, [&] {
        if (store->unsynced_bytes() > 0 || store->is_journal_behind()) synced = store->sync();
        (void)store->check_files();  // fails when closed only
        if (is_at_rest) store->rest();
    });
    sync_ended(synced ? std::error_code{} : synced.error());
    give_up_lost();
    if (!lost_.empty() || !wrong_.empty()) co_await look_again();
}

/// Reads a piece that was verified again: disks lose bits, and nobody else would notice (class L8).
net::task<void> swarm::scrub(piece_index piece) {
    if (error_ || !picker.have().test(piece) || store->is_doubtful(piece)) co_return;
    result<bool> right = true;
    co_await net::on_pool(workers, [&] { right = store->recheck(piece); });
    give_up_lost();
    if (!right) {  // a bad sector; where hashes are missing or the store is closed nothing was found out
        if (right.error() != store::errc::no_hash && right.error() != store::errc::closed)
            content_failed(piece, right.error());
        co_return;
    }
    if (right.value()) co_return;
    tell(event::piece_decayed{piece});
    give_up({piece}, store::errc::decayed);
}

/// Nothing stands still for want of a record; but after a crash all would be read again, so the user should know.
void swarm::sync_ended(std::error_code why) {
    auto const before = std::exchange(sync_error_, why);
    if (why && !before && why != error_) tell(event::failed{why});
    if (!why && before && !error_) tell(event::recovered{});
}

void swarm::give_up_lost() {
    if (auto const lost = store->take_lost(); !lost.empty()) give_up(lost, store::errc::changed_file);
}

/// They are fetched again, unless they lie in a file that somebody changed when it was finished, or that we only give
/// away: such a file stays as it is.
void swarm::give_up(std::vector<piece_index> const& pieces, std::error_code why) {
    bool is_any_fetched = false;
    for (auto const piece : pieces) {
        picker.piece_failed(piece);
        if (options_.storage.writable && store->may_receive(piece)) {
            is_any_fetched = true;
            continue;
        }
        if (lost_.empty() && wrong_.empty()) lost_why_ = why;
        lost_.push_back(piece);
    }
    is_complete_ = false;
    is_completion_due_ = is_completion_due_ || is_any_fetched;
    count_missing_per_file();
    if (!lost_.empty() && !error_) storage_failed(lost_why_);
    if (!is_any_fetched || error_) return;
    state_ = transfer_state::downloading;
    update_interest();
    retry_peers();
    // Whoever was sent away because nothing was wanted is of use again.
    for (auto& [at, known] : known_)
        if (!known.is_hearsay && known.failures == 0) known.try_at = {};
    if (!is_stopping_) call_peers();
}

/// Files that were changed: what is still right in them is given again at once, the rest when it is as it was.
net::task<void> swarm::look_again() {
    auto const count = static_cast<std::ptrdiff_t>(std::min(lost_.size(), pieces_looked_at_max));
    std::vector<piece_index> const looked_at{lost_.begin(), lost_.begin() + count};
    std::vector<result<bool>> found(looked_at.size(), false);
    bool look_at_wrong = false;
    co_await net::on_pool(workers, [&, has_wrong = !wrong_.empty()] {
        look_at_wrong = has_wrong && store->have_wrong_files_changed();
        for (std::size_t i = 0; i < looked_at.size(); ++i) found[i] = store->check_piece(looked_at[i]);
    });
    lost_.erase(lost_.begin(), lost_.begin() + count);  // others come to the end only
    if (look_at_wrong) lost_.insert(lost_.end(), wrong_.begin(), wrong_.end()), wrong_.clear();
    if (looked_at.empty() && !look_at_wrong) co_return;
    for (std::size_t i = 0; i < looked_at.size(); ++i) {
        if (found[i] && found[i].value())
            piece_mended(looked_at[i]);
        else
            (found[i] ? wrong_ : lost_).push_back(looked_at[i]);  // what could not be read comes last, next time
    }
    count_missing_per_file();
    if (!lost_.empty() || !wrong_.empty()) co_return;
    if (!options_.storage.writable || !is_completion_due_)
        is_complete_ = picker.complete();  // else `keep_files` says so
    storage_recovered();
}

void swarm::piece_mended(piece_index piece) {
    picker.set_have(piece);
    files_ready_.notify();
    with_sessions([piece](peer_session& each) {
        each.core.have(piece);
        each.flush();
    });
}

void swarm::content_failed(piece_index piece, std::error_code why) {
    if (is(why, condition::transient) || !picker.have().test(piece) || !doubted_.insert(piece).second) return;
    spawn("look at piece", look_at(piece, why));
}

/// Gives a piece up that could not be read, unless it can be by now. What the disk has lost is fetched again; a file
/// that somebody cut or took away is his.
net::task<void> swarm::look_at(piece_index piece, std::error_code why) {
    bool is_lost = false, has_decayed = false, is_unreadable = false;
    bool const is_cut =
        why == store::errc::missing_file || why == store::errc::truncated_file || why == store::errc::dead_page;
    co_await net::on_pool(workers, [&] {
        store->reopen(piece);
        auto const right = store->check_piece(piece);
        is_lost = right ? !right.value() : !is(right.error(), condition::transient);
        is_unreadable = !right && right.error() == std::errc::io_error;  // nobody but the disk did that
        if (!right || right.value() || is_cut) return;
        is_lost = false;
        auto const again = store->recheck(piece);
        has_decayed = again && !again.value();
    });
    doubted_.erase(piece);
    give_up_lost();
    if (has_decayed) {
        tell(event::piece_decayed{piece});
        give_up({piece}, store::errc::decayed);
    }
    if (is_lost) piece_lost(piece, why, !is_unreadable);
}

void swarm::piece_lost(piece_index piece, std::error_code why, bool by_somebody) {
    if (!picker.have().test(piece)) return;
    store->lost(piece, by_somebody);
    give_up({piece}, why);
}
}  // namespace shoal::engine
