#!/usr/bin/env bash
# A fresh machine to the main job, end to end, on the simulator: told in steps, each with its time.
#
#   packaging/quickstart.sh           runs the story and leaves nothing running
#   packaging/quickstart.sh --stay    keeps broker and attestor running until Ctrl-C
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stay=
case ${1:-} in
    '') ;;
    --stay) stay=1 ;;
    -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

# --- telling the story -------------------------------------------------------------------------
story_began=$(date +%s%N)
step_began=$story_began
number=0
since() { awk -v a="$1" -v b="$(date +%s%N)" 'BEGIN { printf "%.2f s", (b - a) / 1e9 }'; }
step() {
    number=$((number + 1))
    step_began=$(date +%s%N)
    printf '\n%2d. %s\n' "$number" "$1"
}
done_step() { printf '    done in %s\n' "$(since "$step_began")"; }
tell() { printf '    %s\n' "$@"; }
show() { sed 's/^/    | /'; }
fail() {
    printf '\nquickstart: %s\n' "$1" >&2
    for log in "$world"/*.log; do
        [ -s "$log" ] && { printf '\n-- %s\n' "${log##*/}" >&2; tail -n 20 "$log" >&2; }
    done
    exit 1
}

# Everything lives in one folder, which goes when the story ends.
world=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-quickstart.XXXXXX")
chmod 700 "$world"
pids=()
clean_up() {
    local pid
    for pid in "${pids[@]:-}"; do
        [ -n "$pid" ] && kill "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]:-}"; do
        [ -n "$pid" ] && wait "$pid" 2>/dev/null || true
    done
    rm -rf "$world"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# wait_for SECONDS COMMAND…
wait_for() {
    local until=$(($(date +%s) + $1))
    shift
    until "$@" 2>/dev/null; do
        [ "$(date +%s)" -lt "$until" ] || return 1
        sleep 0.05
    done
}

# --- the story ---------------------------------------------------------------------------------
printf 'Holdfast quickstart: this machine, its (simulated) TPM, and an attestor of its own.\n'

step "Install what is missing, and build"
# shellcheck source=packaging/setup.sh
. packaging/setup.sh
setup_all
cargo build --locked --workspace --all-targets --quiet
bin=${CARGO_TARGET_DIR:-target}/debug
bin=$(cd "$bin" && pwd)
export PATH="$bin:$PATH"
done_step

step "Start a personal attestor, under a trust domain of its own"
cat >"$world/attestor.toml" <<TOML
trust-domain = "quickstart.holdfast"
state = "$world/attestor"
listen = "127.0.0.1:0"
[enrollment]
accept-simulated = true
TOML
holdfast-attestor --config "$world/attestor.toml" serve 2>"$world/attestor.log" &
pids+=($!)
wait_for 20 test -s "$world/attestor/address" || fail "the attestor did not start"
attestor=https://$(cat "$world/attestor/address")
tell "$attestor"
done_step

step "Start the broker, which alone opens the TPM"
cat >"$world/holdfastd.toml" <<TOML
state = "$world/holdfast"
run = "$world/run"
[tpm]
device = "simulator"
TOML
TSS2_LOG=all+none holdfastd --config "$world/holdfastd.toml" 2>"$world/holdfastd.log" &
broker=$!
pids+=("$broker")
export HOLDFAST_SOCKET=$world/run/management.sock
wait_for 30 test -S "$HOLDFAST_SOCKET" || fail "the broker did not start"
tell "SIMULATED TPM: the same code as with a real one, and no claim about hardware"
done_step

step "Enroll: the host shows its EK, opens a challenge that only this TPM can, and is attested"
holdfast-attestor --config "$world/attestor.toml" token create >"$world/token"
holdfast enroll "$attestor" --token-file "$world/token" >"$world/enrolled" || fail "the host was not enrolled"
show <"$world/enrolled"
done_step

step "Check the node SVID with a stranger's tool"
holdfast-attestor --config "$world/attestor.toml" bundle show >"$world/bundle.pem"
holdfast status --json | jq -r .node.chain_pem >"$world/svid.pem"
openssl verify -CAfile "$world/bundle.pem" "$world/svid.pem" >"$world/verified" 2>&1 || fail "openssl refuses the node SVID"
openssl x509 -in "$world/svid.pem" -noout -ext subjectAltName | tail -n 1 | show
sed 's|.*/||' "$world/verified" | show
done_step

step "Use the token again: it was for once"
if holdfast enroll "$attestor" --token-file "$world/token" 2>"$world/refused"; then
    fail "a used token was accepted"
fi
show <"$world/refused"
done_step

step "Freeze the audit log: the TPM signs a checkpoint, and its counter moves on"
holdfast audit checkpoint | show
holdfast audit tail | show
holdfast audit verify >"$world/report" || fail "the audit log does not verify"
tail -n 1 "$world/report" | show
done_step

step "Rewrite history as root would: stop the broker, change one byte, start it again"
kill "$broker"
wait "$broker" || fail "the broker did not stop in order"
database=$(find "$world/holdfast/audit" -maxdepth 1 -name '*.db' -o -maxdepth 1 -name '*.sqlite*' | grep -v -e '-wal' -e '-shm' | head -n 1)
tampered=$(sqlite3 "$database" "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'record%' LIMIT 1")
sqlite3 "$database" "UPDATE $tampered SET json = CAST(replace(CAST(json AS TEXT), 'quickstart', 'quickstarT') AS BLOB) WHERE rowid = (SELECT max(rowid) FROM $tampered WHERE CAST(json AS TEXT) LIKE '%quickstart%')"
TSS2_LOG=all+none holdfastd --config "$world/holdfastd.toml" 2>>"$world/holdfastd.log" &
broker=$!
pids+=("$broker")
if wait_for 15 holdfast status >/dev/null; then
    if holdfast audit verify >"$world/report" 2>&1; then
        fail "a changed record was not found"
    fi
    grep FOUND "$world/report" | show
else
    tail -n 1 "$world/holdfastd.log" | show
fi
done_step

printf '\nRung (a) reached in %s: this host has an identity that its TPM vouches for, and a record that\n' "$(since "$story_began")"
printf 'cannot be rewritten unnoticed. Not built yet: sealed sessions (b), credentials and approval (c), the window (d).\n'
if [ -n "$stay" ]; then
    printf '\nStill running; HOLDFAST_SOCKET=%s. Ctrl-C ends it.\n' "$HOLDFAST_SOCKET"
    wait
fi
