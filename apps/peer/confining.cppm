module;
#include <filesystem>
#include <vector>

/// What each command needs of the machine: from then on it can reach nothing else.
module peer:confining;
import shoal.sandbox;
import :options;
import :output;

namespace shoal::cli {
/// What a command may do. The folders that it writes in are there afterwards.
sandbox::confinement needs_of(create_options const&);
sandbox::confinement needs_of(show_options const&);
sandbox::confinement needs_of(verify_options const&);
sandbox::confinement needs_of(seed_options const&);
sandbox::confinement needs_of(get_options const&);
sandbox::confinement needs_of(find_options const&);
sandbox::confinement needs_of(share_options const&);
sandbox::confinement needs_of(console_options const&);

/// Confines this process, and tells it in an event where the command goes on: seed, get, share, console.
void confine(sandbox::confinement const& needs, output_options const& told);
}  // namespace shoal::cli
