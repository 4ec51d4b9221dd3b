module;
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

module peer;
import shoal.announce;
import shoal.core;
import shoal.metainfo;
import shoal.options;

namespace shoal::cli {
namespace {
metainfo::format format_of(torrent_format format) {
    switch (format) {
        case torrent_format::v1:
            return metainfo::format::v1;
        case torrent_format::v2:
            return metainfo::format::v2;
        case torrent_format::hybrid:
            break;
    }
    return metainfo::format::hybrid;
}

void check(create_options const& options) {
    auto const refuse = [](std::string message) { throw failure{exit_status::wrong_usage, std::move(message)}; };
    for (auto const& url : options.web_seeds)
        if (!metainfo::is_web_seed_url(url)) refuse("--web-seed: " + escaped(url) + " is no http or https URL");
}

/// What writing the torrent file comes to. Throws `failure`.
template <class Work>
auto written(create_options const& options, Work work) {
    try {
        return work();
    } catch (std::system_error const& why) {
        throw failure{exit_status::not_writable,
                      "cannot write " + escaped(options.torrent.string()) + ": " + why.code().message()};
    }
}

/// What was made, from the file as anybody would read it.
void report(output& out, create_options const& options, metainfo::torrent const& torrent) {
    auto link = metainfo::magnet_of(torrent);
    for (auto& url : link.trackers) url = announce::without_passkey(url);  // a link is made to be passed on
    auto const magnet = metainfo::to_string(link);
    boost::json::object fields{{"torrent", options.torrent.string()}, {"name", torrent.name()}, {"magnet", magnet}};
    fields["info_hash_v1"] = nullptr;
    fields["info_hash_v2"] = nullptr;
    if (torrent.has_v1()) {
        fields["info_hash_v1"] = to_hex(torrent.info_hash_v1()->view());
        out.result("info-hash v1: " + to_hex(torrent.info_hash_v1()->view()));
    }
    if (torrent.has_v2()) {
        fields["info_hash_v2"] = to_hex(torrent.info_hash_v2()->view());
        out.result("info-hash v2: " + to_hex(torrent.info_hash_v2()->view()));
    }
    out.result("magnet: " + magnet);
    out.event("complete", std::move(fields));
}
}  // namespace

int run_create(create_options const& options) {
    check(options);
    output out{options.output};
    stop_on_signal const signals;
    shared_content const content{options.source, options.torrent};
    for (auto const& line : content.left_out()) out.note("left out: " + line);
    auto file = written(options, [&] { return std::make_unique<options::atomic_file>(options.torrent); });

    metainfo::source const source{.name = options.name.empty() ? content.name() : options.name,
                                  .single_file = content.single_file(),
                                  .files = content.files(),
                                  .read = [&content](auto... arguments) { return content.read(arguments...); }};
    metainfo::make_options making;
    making.format = format_of(options.format);
    making.piece_length = static_cast<std::uint32_t>(options.piece_length);
    making.is_private = options.is_private;
    for (auto const& url : options.trackers) making.trackers.push_back({url});
    making.web_seeds = options.web_seeds;
    making.comment = options.comment;
    making.created_by = "Shoal " SHOAL_VERSION;
    making.creation_date =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    making.threads = options.threads;
    making.progress = [&out](std::uint64_t done, std::uint64_t total) { show_hashing(out, done, total); };
    making.stop = signals.token();
    out.event("start", {{"name", source.name}, {"files", content.files().size()}, {"size", content.total_size()}});

    auto const made = metainfo::make_torrent(source, making);
    if (!made && made.error() == metainfo::errc::stopped)
        throw failure{exit_status::incomplete, "stopped; nothing was written"};
    if (!made)
        throw failure{exit_status::failed, "cannot share " + escaped(options.source.string()) + ": " +
                                               content.failed_file() + made.error().message()};
    auto const torrent = metainfo::parse_torrent(made.value());
    if (!torrent) throw failure{exit_status::failed, "the torrent made cannot be read: " + torrent.error().message()};
    written(options, [&] { file->commit(made.value()); });
    report(out, options, torrent.value());
    return static_cast<int>(exit_status::done);
}
}  // namespace shoal::cli
