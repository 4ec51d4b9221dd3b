module;
#include <filesystem>
#include <vector>

/// What each command needs of the machine: from then on it can reach nothing else.
module peer:confining;
import shoal.sandbox;
import :options;
import :output;

namespace shoal::cli {
/// What a command may do, and the folders that were made for its content: it can write only in what is there.
struct ground {
    sandbox::confinement to;
    std::vector<std::filesystem::path> made = {};  ///< From the outermost on.
};
ground ground_of(create_options const&);
ground ground_of(show_options const&);
ground ground_of(verify_options const&);
ground ground_of(seed_options const&);
ground ground_of(get_options const&);
ground ground_of(find_options const&);
ground ground_of(share_options const&);
ground ground_of(console_options const&);

/// Confines this process for good, and tells it in an event where the command goes on: seed, get, share, console.
class confined {
public:
    confined(ground on, output_options const& told);
    /// Removes those of the made folders that nothing came into.
    ~confined();
    confined(confined const&) = delete;
    confined& operator=(confined const&) = delete;

private:
    ground on_;
};
}  // namespace shoal::cli
