#!/usr/bin/env bash
# How fast Shoal is on this machine, with no other client: MB/s from one peer to another and announces a second, CPU, and the ratio
# to programs that do the least. Builds the release programs, prints tables, writes build/bench.json (an object a line).
#
#   bench/run.sh            # SHOAL_BENCH_SIZE=2GiB bench/run.sh for another amount of content (default 256MiB)
#
# Nothing else should run meanwhile. bench/compare.sh measures other clients and trackers beside it.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. bench/build.sh
build/release/bin/peer bench --json --size "${SHOAL_BENCH_SIZE:-256MiB}" | tee build/bench.json >/dev/null
build/release/bin/tracker bench --json | tee -a build/bench.json >/dev/null
python3 bench/table.py build/bench.json
echo "each run: build/bench.json"
