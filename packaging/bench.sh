#!/usr/bin/env bash
# Benchmarks: a table, each figure beside its reference measured in the same run.
#
#   packaging/bench.sh                all of them
#   packaging/bench.sh audit          appends to the audit log, beside raw SQLite and fdatasync
#   packaging/bench.sh hook           a tool call's decision, beside a bare spawn and one fdatasync
#   packaging/bench.sh identities     SVIDs from a session's socket, beside a bare gRPC server
#   packaging/bench.sh verification   quotes judged, beside P-256 verification alone
#   packaging/bench.sh start          a sealed start, beside a bare one
#   packaging/bench.sh memory         the daemons, beside swtpm and ssh-agent
#
# All but audit and verification seal sessions, which takes root: elsewhere they say so and are left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '/^# Benchmarks/,/^set /s/^# \{0,1\}//p' "$0"; }
name=${1:-all}
case $name in
    all | audit | hook | identities | verification | start | memory) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

# shellcheck source=packaging/setup.sh
. packaging/setup.sh
setup_all
printf 'machine: %s, %s cores, Linux %s\n\n' "$(uname -m)" "$(nproc)" "$(uname -r)"
if [ "$name" != audit ]; then
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
    all | audit) cargo bench --locked --quiet --package holdfast-record-audit --bench append ;;
esac
