//! What a session was given beyond its profile's usual world, and by whose word.
//!
//! It stands in the record of the session's launch and in what a listing knows of it. It must never be made from
//! anything but what was judged, and what is then done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decision::Reason;
use crate::id::CallId;
use crate::run::RunKept;
use crate::widening::Widening;

/// What a session was given beyond its profile's usual world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beyond {
    /// What its human added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widenings: Vec<Widening>,
    /// Who let them be added, if any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<LeaveGiven>,
    /// Places outside the project that its tools, its agent and its git need, to be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
    /// Hosts that the human's own profile names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Whether it has what earlier sessions of its project left.
    #[serde(default)]
    pub kept: RunKept,
}

/// By whose word a session was widened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveGiven {
    /// The call that was decided; a question about it and its receipt bear the same name.
    pub call: CallId,
    /// The rule, or the human's answer.
    pub because: Reason,
}

impl Beyond {
    /// Whether there is nothing to be told of.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What its human added, and took away: what its tools need is not said.
impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.widenings.iter().map(ToString::to_string).collect();
        if let Some(LeaveGiven { call, because }) = &self.leave {
            let given = format!("({}, {}, call {call})", because.text, because.rule);
            match parts.last_mut() {
                Some(last) => *last = format!("{last} {given}"),
                None => parts.push(given),
            }
        }
        if !self.hosts.is_empty() {
            parts.push(format!(
                "hosts of their own profile: {}",
                self.hosts.join(" ")
            ));
        }
        if self.kept == RunKept::Fresh {
            parts.push("--fresh: nothing of earlier sessions".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_usual_world_takes_no_room_in_a_record() {
        let usual = Beyond::default();
        assert!(usual.is_nothing());
        assert_eq!(usual.to_string(), "");
        let fresh = Beyond {
            kept: RunKept::Fresh,
            ..Beyond::default()
        };
        assert!(!fresh.is_nothing());
        let read: Beyond = serde_json::from_value(serde_json::to_value(&fresh).unwrap()).unwrap();
        assert_eq!(read, fresh);
    }

    /// A launch as it was recorded when there was nothing else in it than the usual world.
    #[test]
    fn an_older_record_of_a_launch_reads_as_the_usual_world() {
        let old = r#"{"uid":"01890a5d-ac96-774b-bcce-b302099a8057","at":1800000000000,"what":{
            "event":"session-started","session":"aeaqcaibaeaqcaibaeaqcaibae","spiffe_id":
            "spiffe://a.example/host/aeaqcaibaeaqcaibaeaqcaibae/agent/claude/aeaqcaibaeaqcaibaeaqcaibae",
            "human":1000,"program":"0909090909090909090909090909090909090909090909090909090909090909"}}"#;
        let read: crate::audit::AuditEvent = serde_json::from_str(old).unwrap();
        let crate::audit::What::SessionStarted { beyond, .. } = &read.what else {
            panic!("{read:?}");
        };
        assert!(beyond.is_nothing());
        let again = serde_json::to_value(&read).unwrap();
        assert_eq!(
            again,
            serde_json::from_str::<serde_json::Value>(old).unwrap()
        );
    }

    #[test]
    fn it_is_told_with_whose_word_it_is() {
        let beyond = Beyond {
            widenings: vec![
                "--rw /srv/data".parse().unwrap(),
                "--unguard .mcp.json".parse().unwrap(),
            ],
            leave: Some(LeaveGiven {
                call: CallId::from_random([1; 16]),
                because: Reason::new("approval/click", "the human approved it"),
            }),
            needed: vec!["/home/ann/.cargo/bin".to_owned()],
            hosts: vec!["models.example".to_owned()],
            kept: RunKept::Fresh,
        };
        insta::assert_snapshot!(beyond, @"--rw /srv/data, --unguard .mcp.json (the human approved it, approval/click, call aeaqcaibaeaqcaibaeaqcaibae), hosts of their own profile: models.example, --fresh: nothing of earlier sessions");
    }
}
