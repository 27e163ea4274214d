//! `[launch]`: what the host's owner lets be launched.

use std::num::NonZeroU32;

use holdfast_launch_agents::policy::{Allow, Listed, Policy, Privileged, SharedUid};
use holdfast_launch_agents::profile::Profile;
use serde::Deserialize;

/// The most programs of the list.
const MAX_PROGRAMS: usize = 1024;

/// What may be launched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LaunchConfig {
    /// How much.
    pub allow: Allow,
    /// The programs that the host's owner knows.
    pub programs: Vec<Listed>,
    /// Whether setuid and setgid programs are refused.
    pub refuse_setuid: bool,
    /// Whether there is no session where it would have to run under its human's uid.
    pub refuse_shared_uid: bool,
    /// How much the content store keeps, besides what is in use.
    pub store_mebibytes: NonZeroU32,
}

impl Default for LaunchConfig {
    fn default() -> Self {
        Self {
            allow: Allow::Any,
            programs: Vec::new(),
            refuse_setuid: true,
            refuse_shared_uid: false,
            store_mebibytes: NonZeroU32::MIN.saturating_add(8191),
        }
    }
}

impl LaunchConfig {
    /// As job 2 takes it.
    pub fn policy(&self) -> Policy {
        Policy {
            allow: self.allow,
            programs: self.programs.clone(),
            privileged: if self.refuse_setuid {
                Privileged::Refuse
            } else {
                Privileged::Run
            },
            shared_uid: if self.refuse_shared_uid {
                SharedUid::Refuse
            } else {
                SharedUid::Allow
            },
        }
    }

    /// The store's bound, in bytes.
    pub fn store_bytes(&self) -> u64 {
        u64::from(self.store_mebibytes.get()) << 20
    }

    pub(super) fn check(&self, profiles: &[Profile]) -> Result<(), (&'static str, &'static str)> {
        const PROGRAMS: &str = "launch.programs";
        let known = |listed: &Listed| profiles.iter().any(|profile| profile.kind == listed.kind);
        if self.programs.len() > MAX_PROGRAMS {
            return Err((PROGRAMS, "may list 1024 programs at most"));
        }
        if !self.programs.iter().all(Listed::pins) {
            return Err((PROGRAMS, "has an entry with neither `sha256` nor `package`"));
        }
        if !self.programs.iter().all(known) {
            return Err((PROGRAMS, "names a kind of agent that has no profile"));
        }
        if self.allow == Allow::Listed && self.programs.is_empty() {
            return Err((
                PROGRAMS,
                "is empty, and `allow` is \"listed\": nothing could be launched",
            ));
        }
        Ok(())
    }
}
