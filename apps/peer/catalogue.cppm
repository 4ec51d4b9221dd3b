module;
#include <coroutine>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The hub's catalogue as `find` and `get` ask it, by HTTP (docs/api.md).
module peer:catalogue;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;

namespace shoal::cli {
/// One content that the hub knows.
struct listed {
    std::string name;  ///< A stranger's text.
    info_hash hash;
    std::uint64_t size = 0;  ///< Bytes.
    std::uint64_t files = 0;
    std::uint64_t nodes = 0;  ///< That are there now and have some of it.
    std::uint64_t seeders = 0;
    std::vector<std::string> owners;
};
struct listing {
    std::vector<listed> contents;
    std::vector<std::string> near;  ///< Names like the one that is not there.
};

/// `; like it: ...` with the near names, escaped; empty where there are none.
std::string near_names(listing const& of);

/// A hub, by the first http or https URL among trackers.
class hub_catalogue {
public:
    /// Nothing where no tracker can be a hub.
    static std::optional<hub_catalogue> of(std::vector<std::string> const& trackers, net::environment& outside);

    // All of them throw `failure`: `unreachable`, `not_permitted`, or `failed` when what answers is no hub.

    /// What matches a pattern; empty for all.
    net::task<listing> find(std::string pattern);
    /// What has exactly this name.
    net::task<listing> by_name(std::string name);
    /// The content with this info-hash; nothing when it is not there.
    net::task<std::optional<metainfo::torrent>> fetch(info_hash hash);

private:
    hub_catalogue(std::string root, std::string announce_url, net::environment& outside)
        : root_(std::move(root)), announce_url_(std::move(announce_url)), outside_(outside) {}
    net::task<net::http_reply> ask(std::string path);
    net::task<listing> list(std::string query);

    std::string root_;          // `http://hub:6969`
    std::string announce_url_;  // with the passkey, where there is one
    net::environment& outside_;
};

/// Whether it is a URL of http or https.
bool is_web_url(std::string_view text);
/// Fetches the URL of a torrent file. Throws `failure`.
net::task<metainfo::torrent> fetch_torrent(net::environment& outside, std::string url);
}  // namespace shoal::cli
