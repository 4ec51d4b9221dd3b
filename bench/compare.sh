#!/usr/bin/env bash
# Shoal beside the other clients and trackers that are installed (cmake/bootstrap.sh --interop installs those that it knows).
#
#   bench/compare.sh [--size MIB] [--runs N]
#
# Root or user namespaces are needed: everything runs in a network of its own. Nothing else should run meanwhile.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. bench/build.sh
exec /usr/bin/python3 bench/compare.py build/release/bin/peer build/release/bin/tracker "$@"
