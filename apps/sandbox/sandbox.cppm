module;
#include <filesystem>
#include <string>
#include <vector>

/// A program confines itself to what it needs: files by Landlock, system calls by seccomp. What that holds off, and
/// what it does not, is in docs/sandbox.md.
export module shoal.sandbox;

namespace shoal::sandbox {
/// What a program needs besides what every program does (its libraries, the time zone, itself in /proc).
export struct confinement {
    std::vector<std::filesystem::path> readable = {};  ///< Files, and folders with all below them.
    std::vector<std::filesystem::path> writable = {};  ///< The same to read, write, make, rename and remove in.
    /// Folders below which empty ones may be removed.
    std::vector<std::filesystem::path> swept = {};
    bool asks_the_network = false;   ///< It resolves names and checks TLS certificates.
    bool has_a_line_editor = false;  ///< It looks up what the terminal can do.
};

/// What holds from now on.
export struct hold {
    int landlock = 0;      ///< Version of its interface; 0 where files are not confined.
    bool seccomp = false;  ///< Whether system calls are filtered.
    std::string missing;   ///< Why one of the two is not there, a sentence without its end; empty where both are.
};

/// Confines this process, and what it starts, for good. A path that is not there is passed over: make folders first.
///
/// To be called before there are other threads: seccomp takes hold of them, Landlock does not. Never fails: where the
/// kernel lacks one of the two the other one holds, and the program goes on.
export hold confine(confinement const& to);

/// Confines the access to files. The version of Landlock's interface, or the error number negated.
int confine_files(confinement const& to);
/// Filters system calls. 0, or the error number negated.
int filter_system_calls();
}  // namespace shoal::sandbox
