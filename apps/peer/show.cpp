module;
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

module peer;
import shoal.core;
import shoal.metainfo;

namespace shoal::cli {
namespace {
namespace json = boost::json;

template <class Digest>
json::value hex_or_null(std::optional<Digest> const& digest) {
    return digest ? json::value(to_hex(digest->view())) : json::value(nullptr);
}
json::value text_or_null(std::string const& text) {
    return text.empty() ? json::value(nullptr) : json::value(text);
}
json::array array_of(std::vector<std::string> const& texts) {
    return json::array(texts.begin(), texts.end());
}

/// Pad files that the torrent names itself: a v2 torrent implies them.
bool is_listed(metainfo::torrent const& torrent, metainfo::file const& file) {
    return torrent.has_v1() || !file.pad;
}

json::object describe(metainfo::torrent const& torrent) {
    json::array tiers;
    for (auto const& tier : torrent.trackers()) tiers.push_back(array_of(tier));
    json::array files;
    auto const& content = torrent.content();
    for (std::uint32_t i = 0; i < content.files().size(); ++i) {
        auto const& file = content.files()[i];
        if (!is_listed(torrent, file)) continue;
        auto const pieces = content.pieces_of(i);
        json::object entry{{"path", file.joined()},
                           {"size", file.size},
                           {"first_piece", pieces.first},
                           {"piece_count", pieces.count},
                           {"pad", file.pad}};
        if (file.pieces_root) entry["pieces_root"] = to_hex(file.pieces_root->view());
        files.push_back(std::move(entry));
    }
    auto const& date = torrent.creation_date();
    return {{"name", torrent.name()},
            {"info_hash_v1", hex_or_null(torrent.info_hash_v1())},
            {"info_hash_v2", hex_or_null(torrent.info_hash_v2())},
            {"piece_length", torrent.pieces().piece_length()},
            {"piece_count", torrent.pieces().piece_count()},
            {"total_size", torrent.content().content_size()},
            {"private", torrent.is_private()},
            {"trackers", std::move(tiers)},
            {"web_seeds", array_of(torrent.web_seeds())},
            {"comment", text_or_null(torrent.comment())},
            {"created_by", text_or_null(torrent.created_by())},
            {"creation_date", date ? json::value(*date) : json::value(nullptr)},
            {"files", std::move(files)}};
}

json::object describe(metainfo::magnet const& magnet) {
    json::array tiers;
    for (auto const& url : magnet.trackers) tiers.push_back(json::array{json::value(url)});
    json::array peers;
    for (auto const& peer : magnet.peers) peers.push_back(json::value(peer.host + ":" + std::to_string(peer.port)));
    return {{"name", text_or_null(magnet.name)},
            {"info_hash_v1", hex_or_null(magnet.info_hash_v1)},
            {"info_hash_v2", hex_or_null(magnet.info_hash_v2)},
            {"piece_length", nullptr},
            {"piece_count", nullptr},
            {"total_size", nullptr},
            {"private", nullptr},
            {"trackers", std::move(tiers)},
            {"web_seeds", array_of(magnet.web_seeds)},
            {"comment", nullptr},
            {"created_by", nullptr},
            {"creation_date", nullptr},
            {"peers", std::move(peers)},
            {"files", nullptr}};
}

/// `label` in a column of its own, and the value, escaped. Nothing for an empty value.
void line(output& out, std::string label, std::string const& value) {
    if (value.empty()) return;
    label.resize(14, ' ');
    out.result(label + escaped(value));
}

template <class Described>
void print_names(output& out, Described const& described, std::string const& name) {
    line(out, "name", name);
    if (described.v1) line(out, "info-hash v1", to_hex(described.v1->view()));
    if (described.v2) line(out, "info-hash v2", to_hex(described.v2->view()));
}

struct info_hashes {
    std::optional<sha1_digest> v1;
    std::optional<sha256_digest> v2;
};

std::string date_text(std::int64_t seconds) {
    std::time_t const time = seconds;
    std::tm parts{};
    char text[64];
    if (!gmtime_r(&time, &parts) || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        return std::to_string(seconds) + " seconds after 1970";
    return text;
}

void print(output& out, metainfo::torrent const& torrent) {
    print_names(out, info_hashes{torrent.info_hash_v1(), torrent.info_hash_v2()}, torrent.name());
    line(out, "pieces",
         std::to_string(torrent.pieces().piece_count()) + " of " + size_text(torrent.pieces().piece_length()));
    auto const size = torrent.content().content_size();
    line(out, "size", size_text(size) + " (" + std::to_string(size) + " bytes)");
    if (torrent.is_private()) line(out, "private", "yes");
    for (std::size_t tier = 0; tier < torrent.trackers().size(); ++tier)
        for (auto const& url : torrent.trackers()[tier]) line(out, "tracker " + std::to_string(tier), url);
    for (auto const& url : torrent.web_seeds()) line(out, "web seed", url);
    line(out, "comment", torrent.comment());
    line(out, "created by", torrent.created_by());
    if (torrent.creation_date()) line(out, "created", date_text(*torrent.creation_date()));
    for (auto const& file : torrent.content().files())
        if (!file.pad) line(out, "file", file.joined() + " (" + size_text(file.size) + ")");
}

void print(output& out, metainfo::magnet const& magnet) {
    print_names(out, info_hashes{magnet.info_hash_v1, magnet.info_hash_v2}, magnet.name);
    for (auto const& url : magnet.trackers) line(out, "tracker", url);
    for (auto const& url : magnet.web_seeds) line(out, "web seed", url);
    for (auto const& peer : magnet.peers) line(out, "peer", peer.host + ":" + std::to_string(peer.port));
}

template <class Described>
int tell(show_options const& options, Described const& described) {
    output out{options.output};
    if (options.output.json)
        out.object(describe(described));
    else
        print(out, described);
    return static_cast<int>(exit_status::done);
}
}  // namespace

int run_show(show_options const& options) {
    if (is_magnet(options.target)) return tell(options, read_magnet(options.target));
    return tell(options, load_torrent(options.target));
}
}  // namespace shoal::cli
