#!/usr/bin/env bash
# Benchmarks: a table, each figure beside its reference measured in the same run.
#
#   packaging/bench.sh           all of them
#   packaging/bench.sh audit     appends to the audit log, beside raw SQLite and fdatasync
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0"; }
case ${1:-all} in
    all | audit) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

# shellcheck source=packaging/setup.sh
. packaging/setup.sh
setup_all
printf 'machine: %s, %s cores, Linux %s\n\n' "$(uname -m)" "$(nproc)" "$(uname -r)"
cargo bench --locked --quiet --package holdfast-record-audit --bench append
