module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.metainfo;
import shoal.core;
import shoal.bencode;

namespace shoal::metainfo {
namespace {
using bencode::encoder;

bool can_be_shared(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && is_valid_utf8(name) &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

/// Pieces of content of these sizes; where files are aligned, each starts one.
std::uint64_t piece_count(std::vector<source_file> const& files, std::uint32_t piece_length, bool aligned) noexcept {
    auto const pieces_in = [piece_length](std::uint64_t size) {
        return size / piece_length + (size % piece_length != 0);
    };
    std::uint64_t count = 0, total = 0;
    for (auto const& each : files) {
        count += pieces_in(each.size);
        total += each.size;
    }
    return aligned ? count : pieces_in(total);
}

/// What the torrent will hold, in its order.
struct plan {
    layout content;                    // with pad files, but for v1
    std::vector<std::size_t> sources;  // by file of content: index into source::files; unused for a pad file
};

/// Sorts the files, and refuses a file that is listed twice or is a folder of another.
result<std::vector<std::size_t>> sorted(source const& of) {
    if (!can_be_shared(of.name) || of.files.empty() || (of.single_file && of.files.size() != 1))
        return errc::bad_source;
    std::vector<std::size_t> order(of.files.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (of.single_file) return order;
    for (auto const& each : of.files)
        if (each.path.empty() || !std::all_of(each.path.begin(), each.path.end(), can_be_shared))
            return errc::bad_source;
    // Element by element as unsigned bytes: the order of keys in nested dictionaries.
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return of.files[a].path < of.files[b].path; });
    for (std::size_t i = 1; i < order.size(); ++i) {
        auto const& before = of.files[order[i - 1]].path;
        auto const& path = of.files[order[i]].path;
        if (before.size() <= path.size() && std::equal(before.begin(), before.end(), path.begin()))
            return errc::bad_source;
    }
    return order;
}

result<plan> planned(source const& of, format made, std::uint32_t piece_length) {
    SHOAL_TRY(auto const order, sorted(of));
    std::vector<file> files;
    plan result;
    std::uint64_t end = 0;
    auto const add = [&](file next, std::size_t from) {
        end += next.size;
        files.push_back(std::move(next));
        result.sources.push_back(from);
    };
    for (auto const index : order) {
        auto const& from = of.files[index];
        if (auto const over = end % piece_length; made != format::v1 && from.size > 0 && over != 0) {
            file pad;
            pad.size = piece_length - over;
            pad.path = {".pad", std::to_string(pad.size)};
            pad.pad = true;
            add(std::move(pad), 0);
        }
        file next;
        next.path = of.single_file ? std::vector{of.name} : from.path;
        next.size = from.size;
        next.executable = from.executable;
        add(std::move(next), index);
    }
    result.content = layout{piece_length, std::move(files)};
    return result;
}

// What is written

/// What v1 says of one file, but its path.
void write_properties(encoder& out, file const& of) {
    if (of.pad || of.executable) out.entry("attr", of.pad ? "p" : "x");
    out.key("length").integer(static_cast<std::int64_t>(of.size));
}

void write_files(encoder& out, std::vector<file> const& files) {
    out.key("files").list();
    for (auto const& each : files) {
        out.dictionary();
        write_properties(out, each);
        out.key("path").list();
        for (auto const& element : each.path) out.text(element);
        out.end().end();
    }
    out.end();
}

void write_tree(encoder& out, std::vector<file> const& files) {
    out.key("file tree").dictionary();
    std::vector<std::string_view> open;
    for (auto const& each : files) {
        if (each.pad) continue;
        auto const folders = each.path.size() - 1;
        auto const common = static_cast<std::size_t>(
            std::mismatch(open.begin(), open.end(), each.path.begin(), each.path.end() - 1).first - open.begin());
        for (; open.size() > common; open.pop_back()) out.end();
        for (auto i = common; i < folders; ++i) {
            out.key(each.path[i]).dictionary();
            open.push_back(each.path[i]);
        }
        out.key(each.path.back()).dictionary().key("").dictionary();
        write_properties(out, each);
        if (each.pieces_root) out.entry("pieces root", each.pieces_root->view());
        out.end().end();
    }
    for (; !open.empty(); open.pop_back()) out.end();
    out.end();
}

byte_vector info_dictionary(source const& of, make_options const& options, std::vector<file> const& files,
                            std::uint32_t piece_length, byte_view piece_hashes) {
    encoder out;
    out.dictionary();
    if (options.format != format::v1) {
        write_tree(out, files);
        out.entry("meta version", 2);
    }
    if (options.format != format::v2) {
        if (of.single_file)
            write_properties(out, files.front());
        else
            write_files(out, files);
        out.entry("pieces", piece_hashes);
    }
    out.entry("name", std::string_view{of.name}).entry("piece length", piece_length);
    if (options.is_private) out.entry("private", 1);
    return out.end().take();
}

void write_trackers(encoder& out, std::vector<std::vector<std::string>> const& tiers) {
    std::size_t count = 0;
    for (auto const& tier : tiers) count += tier.size();
    if (count == 0) return;
    auto const first = std::find_if(tiers.begin(), tiers.end(), [](auto const& tier) { return !tier.empty(); });
    out.entry("announce", std::string_view{first->front()});
    if (count == 1) return;
    out.key("announce-list").list();
    for (auto const& tier : tiers) {
        if (tier.empty()) continue;
        out.list();
        for (auto const& url : tier) out.text(url);
        out.end();
    }
    out.end();
}

/// The pieces' roots of each file of several pieces. Files of equal content share one layer.
void write_layers(encoder& out, layout const& content, std::vector<sha256_digest> const& roots) {
    std::map<sha256_digest, piece_span> layers;
    for (std::uint32_t i = 0; i < content.files().size(); ++i) {
        auto const& each = content.files()[i];
        if (each.pieces_root && each.size > content.geometry().piece_length())
            layers.emplace(*each.pieces_root, content.pieces_of(i));
    }
    out.key("piece layers").dictionary();
    for (auto const& [root, span] : layers) {
        byte_vector layer;
        for (auto i = span.first; i < span.first + span.count; ++i)
            layer.insert(layer.end(), roots[i].bytes.begin(), roots[i].bytes.end());
        out.entry(as_text(root.view()), byte_view{layer});
    }
    out.end();
}
}  // namespace

std::uint32_t automatic_piece_length(std::vector<source_file> const& files, format made) noexcept {
    auto const least = [&files](bool aligned) {
        std::uint64_t length = piece_length_default;
        while (length < limits{}.piece_length_max &&
               piece_count(files, static_cast<std::uint32_t>(length), aligned) >= automatic_pieces_max)
            length *= 2;
        return static_cast<std::uint32_t>(length);
    };
    // More files than pieces allowed: aligned, no piece length helps, and the smallest wastes least.
    auto const with_content = std::count_if(files.begin(), files.end(), [](auto const& each) { return each.size > 0; });
    return least(made != format::v1 && with_content < automatic_pieces_max);
}

result<byte_vector> make_torrent(source const& of, make_options const& options) {
    constexpr auto total_max = std::uint64_t{limits{}.pieces_max} * limits{}.piece_length_max;
    std::uint64_t total = 0;
    for (auto const& each : of.files) {
        if (each.size > total_max - total) return errc::bad_source;
        total += each.size;
    }
    if (total == 0) return errc::bad_source;
    auto const length =
        options.piece_length != 0 ? options.piece_length : automatic_piece_length(of.files, options.format);
    if (!std::has_single_bit(length) || length < v2_piece_length_min || length > limits{}.piece_length_max ||
        piece_count(of.files, length, options.format != format::v1) > limits{}.pieces_max)
        return errc::bad_options;

    SHOAL_TRY(auto const plan, planned(of, options.format, length));
    SHOAL_TRY(auto const hashes, hash_content(of, plan.content, plan.sources, options));
    auto files = plan.content.files();
    if (options.format != format::v1)
        for (std::uint32_t i = 0; i < files.size(); ++i)
            if (auto& each = files[i]; !each.pad && each.size > 0)
                each.pieces_root = file_root(plan.content, i, hashes.roots);
    layout const content{length, std::move(files)};

    encoder out;
    out.dictionary();
    write_trackers(out, options.trackers);
    if (!options.comment.empty()) out.entry("comment", std::string_view{options.comment});
    if (!options.created_by.empty()) out.entry("created by", std::string_view{options.created_by});
    if (options.creation_date) out.entry("creation date", *options.creation_date);
    out.key("info").encoded(info_dictionary(of, options, content.files(), length, hashes.pieces));
    if (options.format != format::v1) write_layers(out, content, hashes.roots);
    if (!options.web_seeds.empty()) {
        out.key("url-list").list();
        for (auto const& url : options.web_seeds) out.text(url);
        out.end();
    }
    return out.end().take();
}
}  // namespace shoal::metainfo
