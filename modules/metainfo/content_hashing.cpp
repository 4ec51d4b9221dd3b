module;
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.metainfo;
import shoal.core;
import shoal.hash;

namespace shoal::metainfo {
namespace {
/// Bytes read at once: recheck by reads of this size is as fast as it gets, and stays in the cache until hashed.
constexpr std::size_t read_size = 256 * 1024;
/// Where the buffer for it begins: the system copies whole pages in half the time.
constexpr std::size_t page_size = 4096;
/// Threads at most: more than that wait for the disk.
constexpr std::size_t threads_max = 64;

constexpr std::array<std::byte, block_length> zeros{};

/// The work that the threads share: pieces, taken one after the other.
class hashing {
public:
    hashing(source const& of, layout const& content, std::vector<std::size_t> const& sources,
            make_options const& options)
        : of_(of), content_(content), sources_(sources), options_(options) {
        auto const count = content.geometry().piece_count();
        if (wants_v1()) hashes_.pieces.resize(sha1_digest::size() * std::size_t{count});
        if (wants_v2()) hashes_.roots.resize(count);
        total_ = content.content_size();
    }

    result<content_hashes> run() {
        {
            std::vector<std::jthread> others;
            try {
                for (auto n = thread_count(); n > 1; --n) others.emplace_back([this] { work(); });
            } catch (std::system_error const&) {  // no more threads to be had: those there are do the work
            }
            work();
        }
        if (thrown_) std::rethrow_exception(thrown_);
        if (failure_) return failure_;
        SHOAL_TRY(check_ends());
        return std::move(hashes_);
    }

private:
    bool wants_v1() const { return options_.format != format::v2; }
    bool wants_v2() const { return options_.format != format::v1; }

    std::size_t thread_count() const {
        std::size_t const wanted = options_.threads != 0 ? options_.threads : std::thread::hardware_concurrency();
        return std::clamp<std::size_t>(std::min<std::size_t>(wanted, content_.geometry().piece_count()), 1,
                                       threads_max);
    }

    /// What each thread runs.
    void work() noexcept {
        try {
            hash::sha1_hasher sha1;
            hash::merkle_hasher merkle;
            auto const size = std::min<std::size_t>(read_size, content_.geometry().piece_length());
            byte_vector memory(size + page_size);
            void* place = memory.data();
            auto room = memory.size();
            std::align(page_size, size, place, room);
            mutable_byte_view const buffer{static_cast<std::byte*>(place), size};
            while (!ended_) {
                auto const piece = content_.geometry().piece(next_piece_++);
                if (!piece) return;
                if (auto hashed = hash_piece(*piece, sha1, merkle, buffer); !hashed) return fail(hashed.error());
            }
        } catch (...) {
            std::lock_guard const lock{mutex_};
            if (!thrown_) thrown_ = std::current_exception();
            ended_ = true;
        }
    }

    void fail(std::error_code why) {
        std::lock_guard const lock{mutex_};
        if (!failure_) failure_ = why;
        ended_ = true;
    }

    result<void> hash_piece(piece_index piece, hash::sha1_hasher& sha1, hash::merkle_hasher& merkle,
                            mutable_byte_view buffer) {
        auto const& geometry = content_.geometry();
        if (copy_known(piece)) return success();
        std::uint64_t content_bytes = 0;
        bool whole_file = false;
        for (auto const& range : content_.ranges(geometry.offset_of(piece), geometry.piece_size(piece))) {
            auto const& from = content_.files()[range.file];
            if (from.pad) {
                if (wants_v1()) hash_zeros(range.length, sha1);
                continue;
            }
            whole_file = from.size <= geometry.piece_length();
            content_bytes += range.length;
            for (std::uint64_t at = 0; at < range.length;) {
                if (ended_) return success();
                if (options_.stop.stop_requested()) return errc::stopped;
                auto const part = buffer.first(std::min<std::uint64_t>(buffer.size(), range.length - at));
                SHOAL_TRY(read_all(sources_[range.file], range.offset + at, part));
                if (wants_v1()) sha1.update(part);
                if (wants_v2()) merkle.update(part);
                at += part.size();
            }
        }
        auto const number = std::size_t{to_number(piece)};
        if (wants_v1())
            std::ranges::copy(sha1.finish().bytes,
                              hashes_.pieces.begin() + static_cast<std::ptrdiff_t>(number * sha1_digest::size()));
        if (wants_v2()) hashes_.roots[number] = merkle.finish(whole_file ? 0 : geometry.piece_length() / block_length);
        report(content_bytes);
        return success();
    }

    /// The one file of a piece that has an unchanged one in the earlier torrent, as indices into both.
    std::optional<std::pair<std::uint32_t, std::uint32_t>> unchanged_file(piece_index piece) const {
        auto const& known = options_.known;
        if (!known.from || !wants_v2() || !known.from->has_v2() || known.from->has_v1() != wants_v1()) return {};
        auto const& geometry = content_.geometry();
        if (known.from->pieces().piece_length() != geometry.piece_length()) return {};
        auto const file = content_.file_at(geometry.offset_of(piece));
        if (content_.files()[file].pad || sources_[file] >= known.files.size()) return {};
        auto const earlier = known.files[sources_[file]];
        if (!earlier || *earlier >= known.from->content().files().size()) return {};
        if (known.from->content().files()[*earlier].size != content_.files()[file].size) return {};
        return std::pair{file, *earlier};
    }

    /// Takes the hashes of a piece from the earlier torrent; false where they have to be computed.
    bool copy_known(piece_index piece) {
        auto const files = unchanged_file(piece);
        if (!files) return false;
        auto const& from = *options_.known.from;
        auto const place = to_number(piece) - content_.pieces_of(files->first).first;
        piece_index const same{from.content().pieces_of(files->second).first + place};
        // The last piece of a torrent has no padding behind it, which its v1 hash shows.
        if (from.pieces().piece_size(same) != content_.geometry().piece_size(piece)) return false;
        auto const root = from.piece_root(same);
        if (!root) return false;
        auto const number = std::size_t{to_number(piece)};
        if (wants_v1())
            std::ranges::copy(from.piece_hash(same).bytes,
                              hashes_.pieces.begin() + static_cast<std::ptrdiff_t>(number * sha1_digest::size()));
        hashes_.roots[number] = *root;
        auto const end = std::min(content_.geometry().offset_of(piece) + content_.geometry().piece_size(piece),
                                  content_.files()[files->first].offset + content_.files()[files->first].size);
        report(end - content_.geometry().offset_of(piece));
        return true;
    }

    static void hash_zeros(std::uint64_t count, hash::sha1_hasher& sha1) {
        for (; count > zeros.size(); count -= zeros.size()) sha1.update(zeros);
        sha1.update(byte_view{zeros}.first(count));
    }

    result<void> read_all(std::size_t file, std::uint64_t offset, mutable_byte_view into) {
        while (!into.empty()) {
            SHOAL_TRY(auto const count, of_.read(file, offset, into));
            if (count == 0 || count > into.size()) return errc::source_changed;
            offset += count;
            into = into.subspan(count);
        }
        return success();
    }

    void report(std::uint64_t bytes) {
        if (!options_.progress) return;
        std::lock_guard const lock{mutex_};
        done_ += bytes;
        options_.progress(done_, total_);
    }

    /// No file may go on behind the size that it was listed with.
    result<void> check_ends() {
        for (std::size_t i = 0; i < of_.files.size(); ++i) {
            if (i < options_.known.files.size() && options_.known.files[i]) continue;
            std::byte beyond{};
            SHOAL_TRY(auto const count, of_.read(i, of_.files[i].size, {&beyond, 1}));
            if (count != 0) return errc::source_changed;
        }
        return success();
    }

    source const& of_;
    layout const& content_;
    std::vector<std::size_t> const& sources_;
    make_options const& options_;
    content_hashes hashes_;  // each thread writes the places of its pieces
    std::atomic<std::uint64_t> next_piece_ = 0;
    std::atomic<bool> ended_ = false;
    std::uint64_t total_ = 0;
    std::mutex mutex_;  // the members below
    std::uint64_t done_ = 0;
    std::error_code failure_;
    std::exception_ptr thrown_;
};
}  // namespace

result<content_hashes> hash_content(source const& of, layout const& content, std::vector<std::size_t> const& sources,
                                    make_options const& options) {
    return hashing{of, content, sources, options}.run();
}

sha256_digest file_root(layout const& content, std::uint32_t file, std::vector<sha256_digest> const& roots) {
    auto const span = content.pieces_of(file);
    auto const layer = std::span{roots}.subspan(span.first, span.count);
    if (span.count == 1) return layer.front();
    auto const blocks = content.geometry().piece_length() / block_length;
    return hash::merkle_root(layer, static_cast<std::size_t>(std::countr_zero(blocks)));
}
}  // namespace shoal::metainfo
