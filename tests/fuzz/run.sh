#!/usr/bin/env bash
# Fuzzes what the preset `fuzz` has built: run.sh [SECONDS] [TARGET...]
#
# Each target, or those that are named, runs for SECONDS (default 20), two at a time, from tests/fuzz/seeds.py, what
# failed once (tests/fuzz/found/TARGET) and the corpus of earlier runs (build/fuzz/corpus, which grows). An input that
# fails is kept in build/fuzz/failed, and named; run build/fuzz/fuzz/TARGET_fuzz on it to see it again. Exit status 0
# when nothing failed.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../../build/fuzz
seconds=${1:-20}
[ $# -gt 0 ] && shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for each in "$build"/fuzz/*_fuzz; do
        name=${each##*/}
        targets+=("${name%_fuzz}")
    done
fi
python3 "$here/seeds.py" "$build/seeds" || exit 1
mkdir -p "$build/corpus" "$build/failed"

# The whole corpus is run first, then SECONDS are for new inputs.
fuzz() {
    local name=$1 options=()
    mkdir -p "$build/corpus/$name"
    [ -f "$here/$name.dict" ] && options=(-dict="$here/$name.dict")
    [ -d "$here/found/$name" ] && options+=("$here/found/$name")
    if "$build/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=3 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$build/failed/$name-" "$build/corpus/$name" "$build/seeds/$name" "${options[@]}" \
        >"$build/$name.log" 2>&1; then
        local runs
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log")
        echo "fuzz $name: $runs inputs, none failed"
    else
        grep -E '^(==|does not hold|SUMMARY|[0-9]+ bytes of input|artifact_prefix|.*runtime error)' "$build/$name.log" | head -n 8
        echo "fuzz $name: FAILED (all of it: $build/$name.log)"
        return 1
    fi
}
export -f fuzz
export here build seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz {}'
