#!/bin/sh
# The quickstart's own small agent: it has no model, only a list of what it wants to do. Like a real
# coding agent it asks its hook before each tool call, and does what it is allowed to.
hook=/opt/holdfast/libexec/holdfast-hook
call=0
want() {
    call=$((call + 1))
    said=$(jq -cn --arg cwd "$PWD" --arg command "$1" --arg id "toolu_$call" \
        '{hook_event_name: "PreToolUse", cwd: $cwd, tool_name: "Bash", tool_use_id: $id,
          tool_input: {command: $command}}' | "$hook" claude)
    answer=$(printf '%s' "$said" | jq -r .hookSpecificOutput.permissionDecision)
    because=$(printf '%s' "$said" | jq -r .hookSpecificOutput.permissionDecisionReason)
    printf 'wants: %s\n  %s\n' "$1" "$because"
    [ "$answer" = allow ] || return 0
    sh -c "$1" 2>&1 | sed 's/^/  > /'
}
want 'echo "fn main() {}" > main.rs && git add main.rs && git commit -qm "Begin" && git log --oneline'
want 'cat ~/.ssh/id_ed25519'
want 'git push origin main'
