module;
#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

module shoal.console;
import shoal.core;

namespace shoal::console {
namespace {
/// The words of a text; after a blank at its end an empty one, which is being typed.
std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (;;) {
        auto const begin = std::min(text.find_first_not_of(' '), text.size());
        text.remove_prefix(begin);
        auto const end = text.find(' ');
        words.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return words;
        text.remove_prefix(end);
    }
}

/// What follows the first `count` words.
std::string_view after_words(std::string_view text, std::size_t count) {
    for (; count > 0; --count) {
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        text.remove_prefix(std::min(text.find(' '), text.size()));
    }
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    return text;
}

/// Candidates for a name with blanks, without those words of it that stand there already.
std::vector<std::string> last_words(std::vector<std::string> names, std::string_view typed) {
    auto const blank = typed.rfind(' ');
    if (blank == std::string_view::npos) return names;
    for (auto& each : names) each.erase(0, blank + 1);
    return names;
}
}  // namespace

std::vector<std::string> completions(std::string_view before_cursor, std::vector<endpoint> const& peers,
                                     chunk_names const& names) {
    auto const words = words_of(before_cursor);
    auto const& typed = words.back();
    std::set<std::string> found;
    if (words.size() == 1) {
        for (auto const& each : commands())
            if (each.name.starts_with(typed)) found.emplace(each.name);
        return {found.begin(), found.end()};
    }
    auto const entry = std::ranges::find(commands(), words.front(), &command_entry::name);
    if (entry == commands().end()) return {};
    bool const takes_peer = entry->takes == arguments::peer || entry->takes == arguments::peer_and_chunk;
    if (takes_peer && words.size() == 2) {
        for (auto const& each : peers) found.insert(each.address.to_string());
    } else if (takes_peer && words.size() == 3) {
        for (auto const& each : peers)
            if (each.address.to_string() == words[1]) found.insert(std::to_string(each.port));
    } else if (entry->takes == arguments::peer_and_chunk) {
        auto const name = after_words(before_cursor, 3);
        return last_words(names.chunks_from(name, completions_max), name);
    } else if (entry->takes == arguments::file) {
        auto const name = after_words(before_cursor, 1);
        return last_words(names.files_from(name, completions_max), name);
    } else if (entry->takes == arguments::perhaps_all && words.size() == 2) {
        found.emplace("--all");
    }
    std::erase_if(found, [&](std::string const& each) { return !each.starts_with(typed); });
    return {found.begin(), found.end()};
}
}  // namespace shoal::console
