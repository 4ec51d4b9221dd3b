module;
#include <cstdint>

/// The program `peer`: what each sub-command takes and does. Its outside is described in the README and in `--help`.
export module peer;
export import :options;  // what was asked for, parsed
export import :output;   // results, events, progress, failure, the exit status
export import :files;    // torrent files and shared folders on disk, as the commands read and write them
export import :signals;  // SIGINT and SIGTERM as a stop token

namespace shoal::cli {
/// Makes a torrent file of a file or a folder.
int run_create(create_options const&);
/// Prints what a torrent file or a magnet link says.
int run_show(show_options const&);
/// Checks content on disk against a torrent file.
int run_verify(verify_options const&);
/// Serves content until a signal comes.
int run_seed(seed_options const&);
/// Lets a person, or a script on standard input, drive a peer by the commands of docs/console.md.
int run_console(console_options const&);
/// Fetches content. TARGETs are torrent files, their URLs, or names and info-hashes in the hub's catalogue.
int run_get(get_options const&);
/// Publishes files and folders at the hub, seeds them, and notices when they change.
int run_share(share_options const&);
/// Prints what the hub's catalogue holds.
int run_find(find_options const&);
/// Measures how fast content gets from a seeder to a getter on this machine, beside a raw copy.
int run_bench(bench_options const&);

/// Parses the command line, environment and configuration file and runs the sub-command. Returns the exit status.
export int run(int argc, char** argv);
}  // namespace shoal::cli
