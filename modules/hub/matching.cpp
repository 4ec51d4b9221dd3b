module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

module shoal.hub;
import :matching;
import shoal.core;

namespace shoal::hub {
namespace {
/// Calls `visit` with each three bytes of the name, as if it had two spaces before it and one after.
template <class Visit>
void for_each_trigram(std::string_view name, Visit&& visit) {
    std::uint32_t trigram = ' ' << 8 | ' ';
    auto const add = [&](char c) {
        trigram = (trigram << 8 | static_cast<unsigned char>(c)) & 0xffffff;
        visit(trigram);
    };
    for (auto const c : name) add(c);
    add(' ');
}

/// Bytes of the character that `text` begins with; `text` is valid UTF-8 and not empty.
std::size_t character_size(std::string_view text) noexcept {
    std::size_t size = 1;
    while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80) ++size;
    return size;
}
}  // namespace

std::string readable(std::string_view typed) {
    std::string text;
    while (!typed.empty()) {
        auto const c = take_code_point(typed);
        if (!c) typed.remove_prefix(1);
        auto const is_control = c && (*c < 0x20 || (*c >= 0x7f && *c < 0xa0));
        if (c && !is_control && *c != ' ')
            append_utf8(text, *c);
        else if (!text.empty())
            text += ' ';
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

std::string prefix_query(std::string_view text) {
    std::string query;
    for (std::size_t words = 0; words < pattern_words_max && !text.empty();) {
        auto const word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(text.size(), word.size() + 1));
        if (word.empty()) continue;
        query += query.empty() ? "\"" : " \"";
        for (auto const c : word) query.append(c == '"' ? 2 : 1, c);
        query += "\"*";
        ++words;
    }
    return query;
}

std::optional<bool> wildcards::match(std::string_view name, std::size_t& steps) const noexcept {
    std::string_view form = form_;
    // The last star met: what follows it, and the part of the name that it does not cover yet.
    std::optional<std::string_view> form_after_star;
    std::string_view name_after_star;
    while (!name.empty() || !form.empty()) {
        if (steps == 0) return std::nullopt;
        --steps;
        if (!form.empty() && form.front() == '*') {
            form.remove_prefix(1);
            form_after_star = form;
            name_after_star = name;
        } else if (!form.empty() && !name.empty() && form.front() == '?') {
            form.remove_prefix(1);
            name.remove_prefix(character_size(name));
        } else if (!form.empty() && !name.empty() && form.front() == name.front()) {
            form.remove_prefix(1);
            name.remove_prefix(1);
        } else if (form_after_star && !name_after_star.empty()) {
            // Only the last star has to take more: what an earlier one took could match no sooner.
            name_after_star.remove_prefix(character_size(name_after_star));
            name = name_after_star;
            form = *form_after_star;
        } else {
            return false;
        }
    }
    return true;
}

similarity::similarity(std::string_view name) {
    for_each_trigram(name, [&](std::uint32_t trigram) { trigrams_.push_back(trigram); });
    std::sort(trigrams_.begin(), trigrams_.end());
    trigrams_.erase(std::unique(trigrams_.begin(), trigrams_.end()), trigrams_.end());
    met_at_.resize(trigrams_.size());
}

double similarity::to(std::string_view other) {
    ++comparison_;
    std::size_t count = 0;
    std::size_t common = 0;
    for_each_trigram(other, [&](std::uint32_t trigram) {
        ++count;
        auto const found = std::lower_bound(trigrams_.begin(), trigrams_.end(), trigram);
        if (found == trigrams_.end() || *found != trigram) return;
        auto& met = met_at_[static_cast<std::size_t>(found - trigrams_.begin())];
        if (met != comparison_) ++common;
        met = comparison_;
    });
    // Dice's coefficient finds names of one length; that one name is in the other counts as much.
    auto const shared = static_cast<double>(common);
    auto const of_both = 2 * shared / static_cast<double>(trigrams_.size() + count);
    auto const of_shorter = shared / static_cast<double>(std::min(trigrams_.size(), count));
    return (of_both + of_shorter) / 2;
}
}  // namespace shoal::hub
