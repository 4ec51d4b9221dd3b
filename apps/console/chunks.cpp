module;
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

module shoal.console;
import shoal.core;
import shoal.metainfo;

namespace shoal::console {
namespace {
constexpr std::string_view mark = ".part";

std::string numbered(std::uint32_t number) {
    return std::string{mark}.append(std::to_string(number));
}

/// A whole number from 1 on, written without a leading zero.
std::optional<std::uint32_t> number_in(std::string_view digits) {
    std::uint32_t number = 0;
    auto const* const end = digits.data() + digits.size();
    auto const [stopped, why] = std::from_chars(digits.data(), end, number);
    if (digits.empty() || digits.starts_with('0') || why != std::errc{} || stopped != end) return std::nullopt;
    return number;
}
}  // namespace

chunk_names::chunk_names(metainfo::layout const& of) : layout_(of) {
    for (std::uint32_t file = 0; file < of.files().size(); ++file)
        if (!of.files()[file].pad) files_.emplace(file_name(file), file);
}

std::string chunk_names::file_name(std::uint32_t file) const {
    return escaped(layout_.files()[file].joined());
}

std::uint32_t chunk_names::owner_of(piece_index piece) const {
    auto const& pieces = layout_.geometry();
    std::optional<std::uint32_t> first, first_real;
    layout_.for_each_range(pieces.offset_of(piece), pieces.piece_size(piece), [&](metainfo::file_range const& range) {
        if (!first) first = range.file;
        if (!first_real && !layout_.files()[range.file].pad) first_real = range.file;
    });
    return first_real.value_or(first.value_or(0));
}

metainfo::piece_span chunk_names::named_after(std::uint32_t file) const {
    auto span = layout_.pieces_of(file);
    if (span.count > 0 && owner_of(piece_index{span.first}) != file) {
        ++span.first;
        --span.count;
    }
    return span;
}

std::string chunk_names::name_of(piece_index piece) const {
    auto const file = owner_of(piece);
    return file_name(file) + numbered(to_number(piece) - named_after(file).first + 1);
}

std::optional<std::uint32_t> chunk_names::find_file(std::string_view path) const {
    auto const at = files_.find(std::string{path});
    if (at == files_.end()) return std::nullopt;
    return at->second;
}

std::optional<piece_index> chunk_names::find(std::string_view chunk) const {
    auto const at = chunk.rfind(mark);
    if (at == std::string_view::npos) return std::nullopt;
    auto const number = number_in(chunk.substr(at + mark.size()));
    auto const file = find_file(chunk.substr(0, at));
    if (!number || !file) return std::nullopt;
    auto const span = named_after(*file);
    if (*number > span.count) return std::nullopt;
    return piece_index{span.first + *number - 1};
}

std::vector<std::string> chunk_names::chunks_from(std::string_view prefix, std::size_t count_max) const {
    std::vector<std::string> found;
    for (std::uint32_t file = 0; file < layout_.files().size(); ++file) {
        if (layout_.files()[file].pad) continue;
        auto const name = file_name(file) + std::string{mark};
        auto const common = std::min(prefix.size(), name.size());
        if (prefix.substr(0, common) != std::string_view{name}.substr(0, common)) continue;
        auto const digits = prefix.substr(common);
        auto const typed = number_in(digits);
        if (!digits.empty() && !typed) continue;
        // The numbers that begin with what was typed: 12, 120 to 129, 1200 to 1299 ...
        auto const count = named_after(file).count;
        for (std::uint64_t first = typed.value_or(1), width = 1; first <= count; first *= 10, width *= 10) {
            auto const last = typed ? std::min<std::uint64_t>(first + width - 1, count) : count;
            for (auto n = first; n <= last && found.size() < count_max; ++n) found.push_back(name + std::to_string(n));
            if (!typed) break;
        }
    }
    return found;
}

std::vector<std::string> chunk_names::files_from(std::string_view prefix, std::size_t count_max) const {
    std::vector<std::string> found;
    for (std::uint32_t file = 0; file < layout_.files().size() && found.size() < count_max; ++file) {
        if (layout_.files()[file].pad || layout_.files()[file].symlink) continue;
        if (auto name = file_name(file); name.starts_with(prefix)) found.push_back(std::move(name));
    }
    return found;
}

std::string chunk_names::range_name(std::uint32_t first, std::uint32_t last) const {
    auto name = name_of(piece_index{first});
    if (last > first)
        name += ".." + name_of(piece_index{last}).substr(file_name(owner_of(piece_index{first})).size() + 1);
    return name;
}

std::string chunk_names::list(std::vector<piece_index> const& pieces) const {
    if (pieces.empty()) return "none";
    std::string line;
    std::size_t ranges = 0;
    for (std::size_t i = 0; i < pieces.size(); ++ranges) {
        if (ranges == ranges_max) return line + " and " + std::to_string(pieces.size() - i) + " more";
        auto const first = to_number(pieces[i]);
        auto const span = named_after(owner_of(pieces[i]));
        auto last = first;
        for (++i; i < pieces.size() && to_number(pieces[i]) == last + 1 && last + 1 < span.first + span.count; ++i)
            ++last;
        if (!line.empty()) line += ", ";
        line += range_name(first, last);
    }
    return line;
}

std::vector<std::string> chunk_names::status_lines(bitfield const& have, bool all) const {
    std::vector<std::string> lines;
    bool const by_ranges = !all && have.size() > chunk_lines_max;
    for (std::uint32_t first = 0; first < have.size();) {
        auto const is_held = have.test(piece_index{first});
        auto last = first;
        if (by_ranges) {
            auto const span = named_after(owner_of(piece_index{first}));
            while (last + 1 < span.first + span.count && have.test(piece_index{last + 1}) == is_held) ++last;
        }
        lines.push_back(range_name(first, last) + (is_held ? ": 1" : ": 0"));
        first = last + 1;
    }
    return lines;
}

std::vector<piece_index> held(bitfield const& have) {
    std::vector<piece_index> pieces;
    for (auto at = have.next_set(0); at; at = have.next_set(to_number(*at) + 1)) pieces.push_back(*at);
    return pieces;
}

std::vector<piece_index> missing(bitfield const& have) {
    std::vector<piece_index> pieces;
    for (std::uint32_t i = 0; i < have.size(); ++i)
        if (!have.test(piece_index{i})) pieces.push_back(piece_index{i});
    return pieces;
}
}  // namespace shoal::console
