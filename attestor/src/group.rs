//! Groups of hosts, which policy may hold to other things than the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::verify_host::EvidencePolicy;

/// A group's name: 1 to 63 of `[a-z0-9-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

/// The text is not a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group's name is 1 to 63 lowercase letters, digits or `-`")]
pub struct InvalidGroupName;

impl FromStr for GroupName {
    type Err = InvalidGroupName;

    fn from_str(text: &str) -> Result<Self, InvalidGroupName> {
        let valid = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidGroupName)
        }
    }
}

impl TryFrom<String> for GroupName {
    type Error = InvalidGroupName;

    fn try_from(text: String) -> Result<Self, InvalidGroupName> {
        text.parse()
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> Self {
        name.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What hosts are held to, and how long their SVIDs live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPolicy {
    /// What is wanted of their evidence.
    pub evidence: EvidencePolicy,
    /// How long X.509-SVIDs live.
    pub x509_ttl: Duration,
}

/// The policies of all hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Of those in no group. What quotes cover and what measurement lists mean is the same for all.
    pub rest: HostPolicy,
    /// Of those in one.
    pub groups: BTreeMap<GroupName, HostPolicy>,
}

impl Policies {
    /// What a host is held to; `None` if nothing is said of its group: such a host must not get by on what others may.
    pub fn of(&self, group: Option<&GroupName>) -> Option<&HostPolicy> {
        match group {
            None => Some(&self.rest),
            Some(group) => self.groups.get(group),
        }
    }
}
