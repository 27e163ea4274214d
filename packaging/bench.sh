#!/usr/bin/env bash
# Benchmarks: a table, each figure beside its reference measured in the same run.
#
#   packaging/bench.sh                all of them
#   packaging/bench.sh audit          appends to the audit log, beside raw SQLite and fdatasync
#   packaging/bench.sh hook           a tool call's decision, beside a bare spawn and one fdatasync
#   packaging/bench.sh identities     SVIDs from a session's socket, beside a bare gRPC server
#   packaging/bench.sh verification   quotes judged, beside P-256 verification alone
#   packaging/bench.sh fleet          evidence judged, beside P-256 alone; 100,000 hosts on one attestor
#   packaging/bench.sh start          a sealed start, beside a bare one
#   packaging/bench.sh sessions       freezing and ending; git, npm and cargo in a session, beside the same outside
#   packaging/bench.sh memory         the daemons, beside swtpm and ssh-agent
#
# All but audit, verification and fleet seal sessions, which takes root: elsewhere they say so and are left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '/^# Benchmarks/,/^set /s/^# \{0,1\}//p' "$0"; }
name=${1:-all}
case $name in
    all | audit | hook | identities | verification | fleet | start | sessions | memory) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

# shellcheck source=packaging/setup.sh
. packaging/setup.sh
setup_all
printf 'machine: %s, %s cores, Linux %s\n\n' "$(uname -m)" "$(nproc)" "$(uname -r)"
if [ "$name" != audit ] && [ "$name" != fleet ]; then
    # The same selection twice: another would unify features anew and build everything again.
    programs=()
    for package in attestor broker cli hook launcher hardware-tests; do
        programs+=(--package "holdfast-$package")
    done
    cargo build --locked --quiet --release "${programs[@]}" --bins --bench budgets
    names=()
    [ "$name" = all ] || names+=("$name")
    cargo bench --locked --quiet "${programs[@]}" --bench budgets -- "${names[@]}"
fi
if [ "$name" = all ]; then echo; fi
case $name in
    all | fleet)
        # They stand in the attestor's own tests, where its TPMs in software are.
        cargo build --locked --quiet --release --package holdfast-attestor
        cargo test --locked --quiet --release --package holdfast-attestor --lib -- --ignored --nocapture --test-threads 1 \
            evidence_judged_by_one_core a_fleet_of_a_hundred_thousand_on_one_attestor |
            grep -v -e '^$' -e '^running' -e '^test result' -e '^\.*$' -e '^test '
        ;;
esac
if [ "$name" = all ]; then echo; fi
case $name in
    all | audit) cargo bench --locked --quiet --package holdfast-record-audit --bench append ;;
esac
