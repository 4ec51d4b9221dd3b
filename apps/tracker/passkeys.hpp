#pragma once
#include <filesystem>
#include <string>
#include <vector>

/// `tracker passkey`: the members of a private hub, from the command line.
namespace passkeys {
/// The file of the members in the tracker's folder.
std::filesystem::path file_in(std::filesystem::path const& data);

/// `add NAME`, `remove NAME` or `list`. Prints the new passkey, or the names, on standard output; complaints go to
/// standard error. Returns the exit status.
int run(std::filesystem::path const& data, std::vector<std::string> const& words);
}  // namespace passkeys
