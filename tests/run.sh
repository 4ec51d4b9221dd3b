#!/usr/bin/env bash
# Builds Shoal and runs its tests.
#
#   tests/run.sh [format] [instructions] [fuzz] [asan] [tsan] [dev] [interop]     # default: all but tsan
#
# format   every C++ source is as clang-format 19 writes it
# instructions   what the hot paths take, against what is written down (bench/instructions.py), and how release is hardened
# fuzz     every source of strangers' bytes, 20 s each (tests/fuzz/run.sh)
# asan     build with address and undefined-behaviour sanitizers, all tests but interop
# tsan     the same with the thread sanitizer
# dev      debug build, all tests (architecture, simulation and programs among them)
# interop  the dev programs against other clients and trackers (tests/interop)
#
# Works from any folder, as root or through sudo (for missing packages only). What a step prints goes to build/STEP.log and is shown
# when the step fails. A test that fails is run once more, for some depend on the clock, on other programs and on what else the
# machine does; those that passed only then are named in the end as such. How long each step took and what failed is told once
# more in the end, for whoever sees the end alone.
# Exit status 0 when every step passed.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(format instructions fuzz asan dev interop)
for step in "${steps[@]}"; do
    case $step in
        format | instructions | fuzz | asan | tsan | dev | interop) ;;
        *)
            sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 2
            ;;
    esac
done
wants() { [[ " ${steps[*]} " == *" $1 "* ]]; }

took=() # "SECONDS STEP", one for each step that ran
needs=()
{ wants interop || wants instructions; } && needs=(--interop)
. cmake/bootstrap.sh "${needs[@]}" || exit 1
took+=("$SECONDS packages")
mkdir -p build
rm -f build/*-tests.log
failed=()

# step NAME SECONDS COMMAND...   quietly, in at most SECONDS; its output is shown when it fails
step() {
    local name=$1 limit=$2 begin=$SECONDS log="build/${1// /-}.log" status
    shift 2
    timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null
    status=$?
    took+=("$((SECONDS - begin)) $name")
    if [ $status -eq 0 ]; then
        echo "== $name: passed in $((SECONDS - begin)) s"
        return 0
    fi
    [ $status -eq 124 ] && echo "stopped after $limit s" >>"$log"
    tail -n 150 "$log"
    echo "== $name: FAILED in $((SECONDS - begin)) s (all of it: $log)"
    failed+=("$name")
    return 1
}

check_format() { git ls-files -z '*.cpp' '*.cppm' '*.hpp' | xargs -0 -r clang-format-19 --dry-run -Werror; }
export -f check_format

# build PRESET SECONDS [OPTION...]   OPTIONs of `cmake --build`
build() {
    local preset=$1 limit=$2
    shift 2
    step "$preset configure" 120 cmake --preset "$preset" &&
        step "$preset build" "$limit" cmake --build --preset "$preset" -j 2 "$@"
}

wants format && step format 60 bash -c check_format
if wants instructions && build release 600 --target hot_paths; then
    step instructions 300 python3 bench/instructions.py build/release/bin/hot_paths && cat build/instructions.log
    # It is compiled and linked as the programs are, which would take minutes more.
    step hardening 60 python3 tests/programs/hardening.py CMakePresets.json --hardened build/release/bin/hot_paths
fi
wants fuzz && build fuzz 600 && step fuzz 600 bash tests/fuzz/run.sh 20 && grep '^fuzz ' build/fuzz.log
twice=(--repeat until-pass:2)
# second_tries LOG   names the tests that failed at first and not in the end
second_tries() {
    local name
    sed -nE '/\*\*\*Skipped/d; s/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: (.*[^.]) \.*\*\*\*.*/\1/p' "$1" | sort -u | while read -r name; do
        sed -n '/^The following tests FAILED/,$p' "$1" | grep -qF -- "- $name (" || echo "== passed at the second try alone (${1##*/}): $name"
    done
}
for preset in asan tsan; do
    wants $preset && build $preset 1200 && step "$preset tests" 1500 ctest --preset $preset "${twice[@]}" -LE 'interop|bench' &&
        tail -n 3 "build/$preset-tests.log"
done
if wants dev || wants interop; then
    filter=()
    wants dev || filter=(-L interop)
    wants interop || filter=(-LE interop)
    if build dev 1200; then
        begin=$SECONDS
        timeout --kill-after=10 1500 ctest --preset dev "${twice[@]}" "${filter[@]}" </dev/null 2>&1 | tee build/dev-tests.log
        [ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("dev tests")
        took+=("$((SECONDS - begin)) dev tests")
    fi
fi
for preset in asan tsan dev; do
    [ ! -e build/$preset-tests.log ] || second_tries build/$preset-tests.log
done
echo "== seconds: $(printf '%s, ' "${took[@]}")$SECONDS in all"
[ ${#failed[@]} -eq 0 ] && exit 0
for name in "${failed[@]}"; do
    echo "== FAILED: $name"
    log="build/${name// /-}.log"
    grep -aE '^(FAIL|FAILED|AssertionError|.*: FAILED:)' "$log" | sort -u | head -n 30
    sed -n '/^The following tests FAILED/,$p' "$log" | grep . || tail -n 20 "$log"
done
exit 1
