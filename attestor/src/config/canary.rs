//! What the configuration says of a group's canaries, and of the brake on its rollouts.
//!
//! Whether there are so many canaries is known only where a rollout begins.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::{GroupConfig, Ttl};
use crate::group::GroupName;
use crate::rollout::Rules;

/// How long canaries may have to run an update.
const LONGEST_HOLD: Duration = Duration::from_secs(90 * 24 * 3600);

/// A day and a night: what runs at certain hours has run.
const HOLD: Ttl = Ttl::from_minutes(24 * 60);

/// How many hosts may fail after an update until its rollout stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// So many stop it.
    Hosts(NonZeroU32),
    /// So many of a hundred, rounded up.
    Percent(NonZeroU32),
}

impl Default for Brake {
    fn default() -> Self {
        Self::Hosts(NonZeroU32::MIN)
    }
}

impl Brake {
    /// How many of `hosts` stop it: never more than there are, so that it stops where all fail.
    pub fn limit(self, hosts: NonZeroU32) -> NonZeroU32 {
        match self {
            Self::Hosts(limit) => limit.min(hosts),
            Self::Percent(percent) => {
                let all = u64::from(hosts.get());
                let part = (all * u64::from(percent.get())).div_ceil(100);
                let part = u32::try_from(part).ok().and_then(NonZeroU32::new);
                part.map_or(NonZeroU32::MIN, |part| part.min(hosts))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Brake {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(BrakeText)
    }
}

/// Reads `3` or `"5%"`.
struct BrakeText;

impl de::Visitor<'_> for BrakeText {
    type Value = Brake;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number of hosts from 1 on, or a share such as \"5%\" up to \"100%\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Brake, E> {
        let hosts = u32::try_from(number).ok().and_then(NonZeroU32::new);
        hosts
            .map(Brake::Hosts)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Brake, E> {
        let percent = text
            .strip_suffix('%')
            .and_then(|digits| digits.parse().ok());
        let percent = percent.filter(|percent: &NonZeroU32| percent.get() <= 100);
        percent
            .map(Brake::Percent)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl GroupConfig {
    /// What a rollout goes by that has so many canaries and hosts; `None` where as many canaries are asked for as there
    /// are not.
    pub fn rules(&self, canaries: NonZeroU32, hosts: NonZeroU32) -> Option<Rules> {
        let needed = self.canary_hosts.unwrap_or(canaries);
        let brake = self.brake.unwrap_or_default();
        (needed <= canaries).then(|| Rules {
            needed,
            hold: self.canary_hold.unwrap_or(HOLD).duration(),
            canary_limit: brake.limit(canaries),
            general_limit: brake.limit(hosts),
        })
    }
}

/// What is wrong with what is said of canaries.
pub(super) fn problem(groups: &BTreeMap<GroupName, GroupConfig>) -> Option<&'static str> {
    groups.iter().find_map(|(name, group)| {
        let Some(canary) = &group.canary else {
            let alone = group.canary_hold.is_some()
                || group.canary_hosts.is_some()
                || group.brake.is_some();
            return alone
                .then_some("has a `canary-hold`, `canary-hosts` or `brake`, and no `canary`");
        };
        if canary == name {
            return Some("has itself as its `canary`");
        }
        match groups.get(canary) {
            None => return Some("has a `canary` that is no group of this configuration"),
            Some(group) if group.canary.is_some() => {
                return Some("has a `canary` that has canaries of its own");
            }
            Some(_) => {}
        }
        let hold = group.canary_hold.map(Ttl::duration);
        hold.filter(|hold| *hold > LONGEST_HOLD)
            .map(|_| "has a `canary-hold` that is longer than 90 days")
    })
}
