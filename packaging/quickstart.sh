#!/usr/bin/env bash
# A fresh machine to the main job, end to end, on the simulator: told in steps, each with its time.
#
#   packaging/quickstart.sh           runs the story and leaves nothing running
#   packaging/quickstart.sh --stay    keeps broker and attestor running until Ctrl-C
#
# HOLDFAST_AGENT=scripted takes the story's own small agent, even where Claude Code is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stay=
case ${1:-} in
    '') ;;
    --stay) stay=1 ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
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
    if [ -n "${cgroup:-}" ]; then
        # The launcher and whatever sessions are left; it may be another user's process than ours.
        as_root sh -c "echo 1 >'$cgroup/cgroup.kill'" 2>/dev/null || true
        wait_for 5 as_root sh -c "rmdir '$cgroup'/holdfast-sessions/* '$cgroup'/* '$cgroup' 2>/dev/null; test ! -d '$cgroup'" ||
            printf 'left behind: %s\n' "$cgroup" >&2
    fi
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
export PATH="$bin:$bin/examples:$PATH"
done_step

step "Start a personal attestor beside the broker: a user and a trust domain of its own"
# As root it runs as a user that has nothing else; a package makes one by name. Elsewhere it runs as you.
attestor_uid=$(id -u)
as_attestor=()
if [ "$attestor_uid" = 0 ]; then
    attestor_uid=69999
    as_attestor=(setpriv --reuid "$attestor_uid" --regid "$attestor_uid" --clear-groups --)
    # It reads its configuration, and its program wherever that was built.
    chmod 711 "$world"
    install -m 755 "$bin/holdfast-attestor" "$world/holdfast-attestor"
    install -d -m 700 -o "$attestor_uid" -g "$attestor_uid" "$world/attestor"
else
    ln -s "$bin/holdfast-attestor" "$world/holdfast-attestor"
fi
cat >"$world/attestor.toml" <<TOML
trust-domain = "quickstart.holdfast"
state = "$world/attestor"
listen = "127.0.0.1:0"
run-by = "owner"
[enrollment]
accept-simulated = true
TOML
attestor_does() { "${as_attestor[@]}" "$world/holdfast-attestor" --config "$world/attestor.toml" "$@"; }
"${as_attestor[@]}" "$world/holdfast-attestor" --config "$world/attestor.toml" serve >"$world/attestor.log" 2>&1 &
pids+=($!)
wait_for 20 test -s "$world/attestor/address" || fail "the attestor did not start"
attestor=https://$(cat "$world/attestor/address")
tell "$attestor, as uid $attestor_uid"
done_step

step "Start the launcher: small, root, the only part that makes sealed sessions"
hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
[ -n "$hierarchy" ] || fail "no cgroup v2 hierarchy is mounted; sealed sessions need one"
cgroup=$hierarchy/holdfast-quickstart-$$
as_root mkdir "$cgroup"
root_human=
[ "$(id -u)" != 0 ] || root_human=--allow-root-human
as_root sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup" "$bin/holdfast-launcher" \
    --broker-uid "$(id -u)" --uid-range 70000-70999 $root_human --bind "$world/launcher.sock" >"$world/launcher.log" 2>&1 &
wait_for 10 test -S "$world/launcher.sock" || fail "the launcher did not start"
done_step

step "Start the broker, which alone opens the TPM"
cat >"$world/holdfastd.toml" <<TOML
state = "$world/holdfast"
run = "$world/run"
[tpm]
device = "simulator"
[launcher]
socket = "$world/launcher.sock"
TOML
TSS2_LOG=all+none holdfastd --config "$world/holdfastd.toml" >"$world/holdfastd.log" 2>&1 &
broker=$!
pids+=("$broker")
export HOLDFAST_SOCKET=$world/run/management.sock
# Where snapshots of projects go.
export XDG_STATE_HOME=$world/human-state
wait_for 30 test -S "$HOLDFAST_SOCKET" || fail "the broker did not start"
tell "SIMULATED TPM: the same code as with a real one, and no claim about hardware"
done_step

step "Enroll: the host shows its EK, opens a challenge that only this TPM can, and is attested"
(umask 077; attestor_does token create >"$world/token")
holdfast enroll "$attestor" --token-file "$world/token" >"$world/enrolled" || fail "the host was not enrolled"
show <"$world/enrolled"
done_step

step "Check the node SVID with a stranger's tool"
attestor_does bundle show >"$world/bundle.pem"
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

step "Run a program in a sealed session: it sees the project and the system, and nothing else of you"
mkdir "$world/project"
git -C "$world/project" init -q -b main
git -C "$world/project" config user.name Agent
git -C "$world/project" config user.email agent@localhost
cp packaging/lib/scripted-agent.sh "$world/project/agent"
cat >"$world/project/look" <<'LOOK'
echo "network    $(grep -c . /proc/net/tcp | sed 's/.*/none but its own loopback, where the broker listens/')"
echo "processes  $(ls /proc | grep -c '^[0-9]') of its own, none of the host's"
echo "home       $(ls -A ~ | wc -l) files; the host's secrets: $(ls ~/.ssh /etc/shadow- 2>/dev/null | wc -l)"
echo "TPM        $(ls /dev/tpm* 2>/dev/null | wc -l) devices"
LOOK
(cd "$world/project" && holdfast run --verbose -- sh ./look) 2>"$world/session" | show || fail "no sealed session was made"
show <"$world/session"
done_step

step "Start what the agent works with: a scripted model and a git service, which want secrets"
mkdir "$world/rehearsal"
(umask 077
    printf 'sk-ant-%s' "$(openssl rand -hex 20)" >"$world/rehearsal/model-key"
    printf 'ghp-%s' "$(openssl rand -hex 20)" >"$world/rehearsal/git-token")
TMPDIR=$world rehearsal "$world/rehearsal" >"$world/rehearsal.log" 2>&1 &
pids+=($!)
wait_for 20 test -s "$world/rehearsal/git-url" || fail "model and git service did not start"
git_url=$(cat "$world/rehearsal/git-url")
git -C "$world/project" remote add origin "$git_url"
tell "model $(cat "$world/rehearsal/model-url"), git $git_url"
done_step

step "Put those secrets into the vault, which only this TPM opens; agents get placeholders"
holdfast secrets init --headless >/dev/null || fail "no vault was made"
holdfast secrets add anthropic --anthropic-key --base-url "$(cat "$world/rehearsal/model-url")" \
    --value-file "$world/rehearsal/model-key" >/dev/null || fail "the model's key was not kept"
holdfast secrets add origin --git "$git_url" --username agent \
    --value-file "$world/rehearsal/git-token" >/dev/null || fail "the git token was not kept"
holdfast secrets list | show
done_step

step "Enroll your approval: a key in the TPM, behind a PIN whose wrong guesses the TPM counts"
(umask 077; printf 'kelp-and-rock\n' >"$world/pin")
holdfast factors enroll --pin-file "$world/pin" | head -n 1 | show
done_step

# A real coding agent where there is one; the story's own small one where there is none, or where it is asked for.
claude=
[ "${HOLDFAST_AGENT:-}" = scripted ] || claude=$(ls "${HOLDFAST_AGENTS:-/opt/holdfast/agents}"/node_modules/@anthropic-ai/claude-code-linux-*/claude 2>/dev/null | head -n 1 || true)
[ "${HOLDFAST_AGENT:-}" = scripted ] || claude=${claude:-$(command -v claude || true)}
if [ -n "$claude" ]; then
    agent=("$claude" -p "Begin the project and push it" --output-format json)
    step "Let Claude Code work, sealed: it asks before each call; what matters waits for you"
else
    agent=(sh ./agent)
    step "Let an agent work, sealed: it asks before each call; what matters waits for you"
fi
(cd "$world/project" && exec holdfast run --purpose "quickstart" -- "${agent[@]}") >"$world/agent.log" 2>"$world/session.log" &
working=$!
pids+=("$working")
waiting() { [ "$(holdfast approvals --json | jq length)" -gt 0 ]; }
wait_for 60 waiting || fail "the agent's push did not ask"
question=$(holdfast approvals --json | jq -r '.[0].call')
holdfast approvals show "$question" | show
tell "… approved with the PIN: the TPM signs this call and no other"
holdfast approvals approve "$question" --pin-file "$world/pin" >/dev/null || fail "the approval was not taken"
wait "$working" || fail "the agent failed"
if [ -n "$claude" ]; then
    jq -r '"it says: \(.result)", (.permission_denials[] | "was denied: \(.tool_input.command)")' "$world/agent.log" | show
    [ "$(jq '.permission_denials | length' "$world/agent.log")" = 1 ] || fail "a forbidden call was not denied"
else
    show <"$world/agent.log"
    grep -q 'denied this' "$world/agent.log" || fail "a forbidden call was not denied"
fi
# What `holdfast run` itself has to say of the session: what of its work runs by itself, and how to undo it.
show <"$world/session.log"
pushed=$(git -C "$world/rehearsal" -c "http.extraHeader=Authorization: Basic $(printf 'agent:%s' "$(cat "$world/rehearsal/git-token")" | openssl base64 -A)" \
    ls-remote "$git_url" refs/heads/main | cut -f 1)
[ "$pushed" = "$(git -C "$world/project" rev-parse main)" ] || fail "the push did not arrive"
tell "the git service has $pushed"
done_step

step "Check the consent as anybody could, later"
holdfast audit verify-receipt "$question" >"$world/receipt" || fail "the receipt does not verify"
show <"$world/receipt"
done_step

step "Freeze the audit log: the TPM signs a checkpoint, and its counter moves on"
holdfast audit checkpoint | show
holdfast audit tail | show
holdfast audit verify >"$world/report" || fail "the audit log does not verify"
tail -n 1 "$world/report" | show
done_step

step "Compare it with the attestor's copy"
host=$(holdfast status --json | jq -r .node.spiffe_id | sed 's|.*/||')
mirrored() { holdfast status --json | jq -e '.mirror.mirror == "current"' >/dev/null; }
wait_for 30 mirrored || fail "the attestor did not get the log"
attestor_does audit verify "$host" >"$world/copy" || fail "the attestor's copy does not verify"
show <"$world/copy"
done_step

# What stays is left whole.
if [ -z "$stay" ]; then
step "Rewrite history as root would: stop the broker, change one byte, start it again"
kill "$broker"
wait "$broker" || fail "the broker did not stop in order"
database=$(find "$world/holdfast/audit" -maxdepth 1 -name '*.db' -o -maxdepth 1 -name '*.sqlite*' | grep -v -e '-wal' -e '-shm' | head -n 1)
tampered=$(sqlite3 "$database" "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'record%' LIMIT 1")
sqlite3 "$database" "UPDATE $tampered SET json = CAST(replace(CAST(json AS TEXT), 'quickstart', 'quickstarT') AS BLOB) WHERE rowid = (SELECT max(rowid) FROM $tampered WHERE CAST(json AS TEXT) LIKE '%quickstart%')"
TSS2_LOG=all+none holdfastd --config "$world/holdfastd.toml" >>"$world/holdfastd.log" 2>&1 &
broker=$!
pids+=("$broker")
settled() { ! kill -0 "$broker" 2>/dev/null || holdfast status >/dev/null; }
wait_for 15 settled || fail "the broker neither starts nor ends"
if kill -0 "$broker" 2>/dev/null; then
    if holdfast audit verify >"$world/report" 2>&1; then
        fail "a changed record was not found"
    fi
    grep FOUND "$world/report" | show
else
    tail -n 1 "$world/holdfastd.log" | show
fi
done_step
fi

printf '\nRung (d) reached in %s: an attested host; a sealed agent with an identity of its own, that works with\n' "$(since "$story_began")"
printf 'secrets it never holds and asks where it matters; a proof of each consent; and a record that is mirrored and\n'
printf 'cannot be rewritten unnoticed. The approval window is shown by packaging/test.sh, and by --stay on a desktop.\n'
if [ -n "$stay" ]; then
    if [ -n "${WAYLAND_DISPLAY:-}${DISPLAY:-}" ]; then
        holdfast-ui --socket "$HOLDFAST_SOCKET" >"$world/ui.log" 2>&1 &
        pids+=($!)
        printf '\nThe window waits in the background: start an agent in another terminal and it asks there.\n'
    fi
    printf '\nStill running; HOLDFAST_SOCKET=%s. Ctrl-C ends it.\n' "$HOLDFAST_SOCKET"
    wait
fi
