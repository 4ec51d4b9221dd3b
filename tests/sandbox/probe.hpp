#pragma once
#include <sys/types.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

/// Where the actions take place, made anew for each run.
struct scene {
    std::filesystem::path inside;    ///< May be written.
    std::filesystem::path readable;  ///< May be read.
    std::filesystem::path outside;   ///< Neither.
    std::string abstract_socket;     ///< Where a socket from before listens.
    pid_t stranger = 0;              ///< A process from before.
    int open_file = -1;              ///< From before, of `outside`.
};

/// Something that a program may try. It is run in a process of its own.
struct action {
    std::string name;
    int landlock = 0;          ///< The version of Landlock that it takes to forbid, or to allow it; 0: seccomp does.
    std::function<int()> run;  ///< 0 or the error number.
};

/// What a system call returned, as 0 or the error number.
inline int outcome(long returned) {
    return returned < 0 ? errno : 0;
}

std::vector<action> forbidden(scene const& at);
std::vector<action> allowed(scene const& at);
