#!/usr/bin/env bash
# Searches every parser of foreign bytes for inputs that break it: each target's corpus, then new inputs for some seconds.
#
# Needs the pinned toolchain and a C++ compiler, nothing else. Whatever it writes goes into the target folder or into a
# temporary one; it must never change the committed corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD

usage() {
    cat <<'HELP'
usage: packaging/lib/fuzz.sh [--seconds N] [TARGET…]

Runs every target, or the named ones, over its corpus and then for N seconds (20) over inputs that it makes itself.
One line for each target; exits 1 if an input broke one, and says where that input is and how to run it again.
HELP
}
die() { printf 'fuzz: %s\n' "$*" >&2; exit 2; }

seconds=20
targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=${2-}; shift ;;
        --seconds=*) seconds=${1#*=} ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) targets+=("$1") ;;
    esac
    shift || { usage >&2; exit 2; }
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "--seconds takes a whole number above zero, not '$seconds'"
if [ ${#targets[@]} = 0 ]; then
    for source in fuzz/targets/*.rs; do targets+=("$(basename "$source" .rs)"); done
fi
for target in "${targets[@]}"; do
    [ -f "fuzz/targets/$target.rs" ] || die "no target '$target'; there are: $(cd fuzz/targets && echo *.rs | sed 's/\.rs//g')"
    [ -n "$(ls -A "fuzz/corpus/$target" 2>/dev/null)" ] || die "fuzz/corpus/$target has no seeds"
done

# The instrumentation that cargo-fuzz would ask for, by flags that the stable toolchain takes. Naming the machine's own
# target keeps it out of build scripts and procedural macros.
host=$(rustc -vV | sed -n 's/^host: //p')
folder=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")/fuzz
flags=(
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    --cfg=fuzzing
    -Cdebug-assertions
    -Coverflow-checks
    -Ccodegen-units=1
)
env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR="$folder" \
    cargo build --locked --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --bins
programs=$folder/$host/release

# longest TARGET: the longest input that is tried, in bytes; more only makes the search slower.
longest() {
    case $1 in
        ek_certificate | svid | systemd_log | wire_evidence) echo 4096 ;;
        signed_note | counter_chain | audit_event | tool_call | management_*) echo 2048 ;;
        *) echo 1024 ;;
    esac
}

work=$(mktemp -d)
running=()
# shellcheck disable=SC2317,SC2329 # run by the trap
clean_up() {
    local pid
    for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start TARGET: searches in the background. What the search finds interesting stays in the temporary folder.
start() {
    local artifacts=$folder/artifacts/$1
    mkdir -p "$work/$1" "$artifacts"
    "$programs/$1" "$work/$1" "fuzz/corpus/$1" \
        -max_total_time="$seconds" -max_len="$(longest "$1")" -timeout=10 -rss_limit_mb=512 \
        -print_final_stats=1 -artifact_prefix="$artifacts/" >"$work/$1.log" 2>&1 &
    running[$!]=$!
    name_of[$!]=$1
}

# finish PID STATUS: reports one target.
finish() {
    local target=${name_of[$1]} log=$work/${name_of[$1]}.log status=$2 runs coverage artifact
    unset "running[$1]"
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    if [ "$status" = 0 ] && [ "${runs:-0}" -gt 0 ] && [ "${coverage:-0}" -gt 0 ]; then
        printf '%-20s %10s runs  %6s edges  ok\n' "$target" "$runs" "$coverage"
        return
    fi
    failed=1
    printf '%-20s %10s runs  %6s edges  FAILED (status %s)\n' "$target" "${runs:-?}" "${coverage:-?}" "$status"
    # The panic and its message, or what libFuzzer itself has to say (a timeout, too much memory, no start at all).
    if grep -aq '^thread .* panicked' "$log"; then
        grep -a -m 1 -A 3 '^thread .* panicked' "$log"
    else
        grep -aE '^(==[0-9]+== ?ERROR|SUMMARY)' "$log" || tail -n 3 "$log"
    fi | cut -c 1-200 | sed 's/^/    /'
    cp "$log" "$folder/artifacts/$target.log"
    printf '    log:       %s\n' "$folder/artifacts/$target.log"
    artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    if [ -n "$artifact" ]; then
        printf '    input:     %s\n' "$artifact"
        printf '    reproduce: %s %s\n' "$programs/$target" "$artifact"
    fi
}

declare -A name_of=()
failed=
for target in "${targets[@]}"; do
    if [ ${#running[@]} -ge "$(nproc)" ]; then
        status=0
        wait -n -p pid "${running[@]}" || status=$?
        finish "$pid" "$status"
    fi
    start "$target"
done
while [ ${#running[@]} -gt 0 ]; do
    status=0
    wait -n -p pid "${running[@]}" || status=$?
    finish "$pid" "$status"
done
[ -z "$failed" ]
