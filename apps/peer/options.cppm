module;
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

export module peer:options;
import shoal.core;
import shoal.metainfo;

namespace shoal::cli {
/// How a command talks: chatter and progress go to standard error, results to standard output.
struct output_options {
    bool json = false;   ///< One JSON object per line on standard output.
    bool quiet = false;  ///< No progress and no chatter.
};

/// Whether connections to peers are obfuscated (MSE).
enum class encryption { prefer, require, off };

/// What `seed`, `get` and every later command that moves bytes have in common.
struct transfer_options {
    endpoint listen{};                             ///< Peer port; port 0 is any free one.
    std::vector<endpoint> connect;                 ///< Peers to try first.
    std::vector<std::string> trackers;             ///< Announce URLs, besides the torrent's own.
    std::uint64_t upload_limit = 0;                ///< Bytes a second, 0 for none.
    std::uint64_t download_limit = 0;              ///< Bytes a second, 0 for none.
    std::uint32_t peers_max = 200;                 ///< Connected peers per torrent.
    bool pex = true;                               ///< Peers tell each other of peers.
    bool dht = true;                               ///< Finds peers by the distributed hash table.
    std::vector<metainfo::host_port> dht_routers;  ///< Nodes that it begins with; empty: the usual ones.
    bool lsd = true;                               ///< Finds peers on the local network.
    bool utp = true;                               ///< Connections by uTP, where TCP does not get through.
    std::chrono::milliseconds scrub{std::chrono::hours{24 * 14}};  ///< Content is read again within so long; 0: never.
    cli::encryption encryption = cli::encryption::prefer;
    std::filesystem::path state;  ///< Journals and the like; never empty after parsing.
    output_options output;
};

struct seed_options {
    transfer_options transfer;
    std::filesystem::path torrent;
    std::filesystem::path directory;  ///< The folder that holds the torrent's content.
};

struct console_options {
    transfer_options transfer;
    std::filesystem::path torrent;
    std::filesystem::path directory;  ///< Where the content is, or will be.
};

struct get_options {
    transfer_options transfer;
    std::vector<std::string> targets;  ///< Torrent file, magnet link, URL of a torrent, or a name in the catalogue.
    std::filesystem::path directory;   ///< Where the content goes.
    bool seed = false;                 ///< Go on seeding when complete.
    std::optional<double> seed_ratio;  ///< Stop seeding at uploaded / size; implies `seed`.
    std::optional<std::chrono::milliseconds> seed_time;  ///< Stop seeding after this long; implies `seed`.
    std::optional<std::chrono::milliseconds> timeout;    ///< Give up with status 7.
    std::vector<std::string> select;                     ///< Take only files that match one of these patterns.
    bool sequential = false;                             ///< Take pieces in order.
};

struct find_options {
    transfer_options transfer;  ///< Of which `trackers` and `output` count.
    std::string pattern;        ///< Empty: all there is.
};

struct share_options {
    transfer_options transfer;
    std::vector<std::filesystem::path> paths;
    bool each = false;                ///< One torrent for each file of a folder.
    std::vector<std::string> fetch;   ///< Targets as of `get` that are fetched meanwhile, and then shared too.
    std::filesystem::path directory;  ///< Where they go.
    std::uint64_t piece_length = 0;   ///< Bytes; 0 picks one by the size of the content.
    std::uint32_t threads = 0;        ///< Hashing threads; 0 is one for each core.
};

/// Which info dictionaries a made torrent has.
enum class torrent_format { hybrid, v1, v2 };

struct create_options {
    std::filesystem::path source;
    std::filesystem::path torrent;  ///< Written atomically; an older file of this name is replaced.
    std::vector<std::string> trackers;
    std::uint64_t piece_length = 0;  ///< Bytes; 0 picks one by the size of the content.
    torrent_format format = torrent_format::hybrid;
    bool is_private = false;
    std::vector<std::string> web_seeds;
    std::string comment;
    std::string name;           ///< Empty: the last element of `source`.
    std::uint32_t threads = 0;  ///< Hashing threads; 0 is one for each core.
    output_options output;
};

struct show_options {
    std::string target;  ///< A torrent file or a magnet link.
    output_options output;
};

struct verify_options {
    std::filesystem::path torrent;
    std::filesystem::path directory;  ///< The folder that holds the torrent's content.
    std::uint32_t threads = 0;        ///< Hashing threads; 0 is one for each core.
    output_options output;
};

struct bench_options {
    std::uint64_t size = std::uint64_t{256} << 20;          ///< Bytes of the content.
    std::uint64_t piece_length = std::uint64_t{512} << 10;  ///< Bytes.
    std::uint32_t runs = 5;                                 ///< That count.
    std::filesystem::path directory;  ///< Where the content lies meanwhile; empty: with the temporary files.
    output_options output;
};
}  // namespace shoal::cli
