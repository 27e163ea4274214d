//! Answers in the words of the agents' hooks.
//!
//! An answer always carries a reason, and is `allow` or `deny`: an agent that is told to ask its own human would put
//! the question where Holdfast cannot see the answer. It must never decide.

use holdfast_protocol::hook::{HookExit, HookResponse};
use serde_json::json;

use crate::state::Final;

/// Claude Code's answer to a `PreToolUse` hook.
pub fn claude(decision: &Final) -> HookResponse {
    let (word, reason) = match decision {
        Final::Allow { because } => (
            "allow",
            format!("Holdfast: {} [{}]", because.text, because.rule),
        ),
        Final::Deny { because, .. } => (
            "deny",
            format!("Holdfast denied this: {} [{}]", because.text, because.rule),
        ),
    };
    HookResponse {
        stdout: json!({
            "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": word,
                "permissionDecisionReason": reason,
            }
        }),
        exit: HookExit::Answered,
    }
}

/// Claude Code's answer to a hook event that decides nothing.
pub fn claude_heard() -> HookResponse {
    HookResponse {
        stdout: json!({}),
        exit: HookExit::Answered,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_protocol::decision::{DeniedBy, Reason};

    use super::*;

    #[test]
    fn an_answer_is_allow_or_deny_with_a_reason() {
        let allow = claude(&Final::Allow {
            because: Reason::new(
                "default/run",
                "builds, tests and tools run inside the session",
            ),
        });
        let deny = claude(&Final::Deny {
            by: DeniedBy::Silence,
            because: Reason::new("approval/silence", "nobody answered in time"),
        });
        insta::assert_json_snapshot!([allow.stdout, deny.stdout, claude_heard().stdout], @r#"
        [
          {
            "hookSpecificOutput": {
              "hookEventName": "PreToolUse",
              "permissionDecision": "allow",
              "permissionDecisionReason": "Holdfast: builds, tests and tools run inside the session [default/run]"
            }
          },
          {
            "hookSpecificOutput": {
              "hookEventName": "PreToolUse",
              "permissionDecision": "deny",
              "permissionDecisionReason": "Holdfast denied this: nobody answered in time [approval/silence]"
            }
          },
          {}
        ]
        "#);
    }
}
