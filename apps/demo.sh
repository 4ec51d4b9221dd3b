#!/usr/bin/env bash
# The main job, start to end: a hub, a peer that shares a folder and three that fetch it by name, on this machine. Builds the
# programs, shows the progress, compares every byte, stops what it started. Exit status 0 when every byte is equal.
#
#   apps/demo.sh            # SHOAL_DEMO_MIB=1000 apps/demo.sh for another amount of data (default 312 MiB)
set -u
export SHOAL_NO_DHT=true SHOAL_NO_LSD=true # nothing leaves this machine, and nobody else is fetched from
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. cmake/bootstrap.sh || exit 1

fetchers=3
mib=${SHOAL_DEMO_MIB:-312}
bin=build/release/bin
work=""
pids=()

finish() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
    [ -z "$work" ] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# die MESSAGE [LOG]
die() {
    [ -t 1 ] && printf '\r\033[K'
    echo "demo: $1" >&2
    [ -z "${2:-}" ] || tail -n 40 "$2" >&2
    exit 1
}

# wait_for REGEX FILE PID: the first match of REGEX in what the process PID writes to FILE, in at most 30 s
wait_for() {
    local i
    for ((i = 0; i < 600; ++i)); do
        grep -oEm 1 "$1" "$2" 2>/dev/null && return 0  # the program may not have made it yet
        kill -0 "$3" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# random_file PATH MIB
random_file() {
    mkdir -p "$(dirname "$1")" && head -c "$(($2 * 1048576))" /dev/urandom >"$1"
}

build() {
    mkdir -p build
    echo "demo: building the programs (release; the log is build/demo.log)"
    { cmake --preset release && cmake --build --preset release -j "$(nproc)" --target peer tracker; } \
        >build/demo.log 2>&1 || die "the build failed" build/demo.log
}

make_folder() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/shoal-demo.XXXXXX") || exit 1
    local share="$work/seed/Shoal demo" part=$((mib / 4)) i
    {
        random_file "$share/film/part one.bin" $((mib - 2 * part)) &&
            random_file "$share/film/part two.bin" "$part" &&
            for i in 1 2 3 4; do random_file "$share/photos/2026/image $i.raw" $((part / 4)) || return 1; done &&
            random_file "$share/Übersicht – 概要 – обзор.dat" $((part - part / 4 * 4)) &&
            echo "A small text file." >>"$share/Übersicht – 概要 – обзор.dat" &&
            : >"$share/photos/nothing here.txt"
    } || die "cannot write the demo folder"
    size=$(find "$share" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
    echo "demo: $(find "$share" -type f | wc -l) files, $((size / 1048576)) MiB of random data"
}

start_tracker() {
    "$bin/tracker" --listen 127.0.0.1:0 --data "$work/tracker" >"$work/tracker.log" 2>&1 &
    pids+=($!)
    local listening
    listening=$(wait_for 'listening.*127\.0\.0\.1:[0-9]+' "$work/tracker.log" $!) ||
        die "the tracker does not start" "$work/tracker.log"
    announce="http://127.0.0.1:${listening##*:}/announce"
    echo "demo: the hub's page, as long as this runs: ${announce%announce}"
}

start_share() {
    "$bin/peer" share "$work/seed/Shoal demo" --tracker "$announce" --listen 127.0.0.1:0 --state "$work/state-seed" --json \
        >"$work/seed.log" 2>"$work/seed.err" &
    pids+=($!)
    wait_for '"event":"published"' "$work/seed.log" $! >/dev/null || die "the sharing peer does not start" "$work/seed.err"
    echo "demo: one peer shares the folder; the hub's catalogue says:"
    "$bin/peer" find --tracker "$announce" | sed 's/^/    /'
    echo "demo: $fetchers peers that know the hub and the name only"
}

# percent LOG: how much of the torrent that peer has verified
percent() {
    local line
    grep -qa '"event":"complete"' "$1" && { echo 100; return; }
    line=$(grep -a '"event":"progress"' "$1" | tail -n 1)
    [[ $line =~ \"bytes_total\":([0-9]+),\"bytes_left\":([0-9]+) ]] || { echo 0; return; }
    echo $(((BASH_REMATCH[1] - BASH_REMATCH[2]) * 100 / BASH_REMATCH[1]))
}

show_progress() {
    local i line=""
    for ((i = 1; i <= fetchers; ++i)); do line+="   peer $i $(printf '%3d' "$(percent "$work/get$i.log")") %"; done
    if [ -t 1 ]; then printf '\r\033[K%s' "$line"; else echo "$line"; fi
}

fetch() {
    local i pid begin=${EPOCHREALTIME/[.,]/} getters=() running
    for ((i = 1; i <= fetchers; ++i)); do
        "$bin/peer" get "Shoal demo" -o "$work/get$i" --tracker "$announce" --listen 127.0.0.1:0 --state "$work/state$i" \
            --json --timeout 5m >"$work/get$i.log" 2>"$work/get$i.err" &
        getters+=($!)
    done
    pids+=("${getters[@]}")
    while :; do
        running=0
        for pid in "${getters[@]}"; do kill -0 "$pid" 2>/dev/null && running=1; done
        [ $running -eq 1 ] || break
        show_progress
        sleep 0.2
    done
    for ((i = 1; i <= fetchers; ++i)); do
        wait "${getters[i - 1]}" || die "peer $i failed with status $?" "$work/get$i.err"
    done
    microseconds=$((${EPOCHREALTIME/[.,]/} - begin))
    show_progress
    [ -t 1 ] && echo
}

compare() {
    local i
    for ((i = 1; i <= fetchers; ++i)); do
        diff -r "$work/seed/Shoal demo" "$work/get$i/Shoal demo" >"$work/diff.log" 2>&1 ||
            die "what peer $i fetched differs" "$work/diff.log"
    done
}

build
make_folder
start_tracker
start_share
fetch
compare
LC_ALL=C awk -v n="$fetchers" -v size="$size" -v us="$microseconds" 'BEGIN {
    printf "demo: %d peers fetched %d MiB each in %.1f s (%.0f MB/s together), every byte equal\n",
        n, size / 1048576, us / 1e6, n * size / us }'
