//! Sub-agents: what they are called, how a process in a session asks to become one, what it is told.
//!
//! A sub-agent is part of its session, with an identity below it and never more rights than whoever
//! asked. No field names a process: the kernel says who asks, and that one becomes the sub-agent.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, SpiffeId};

/// The most hosts that a [`SubRequest`] may name.
pub const MAX_HOSTS: usize = 32;

/// A sub-agent's place below its session: `sub/2`, or `sub/2/sub/1`, which is as deep as it goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubPath {
    first: NonZeroU16,
    second: Option<NonZeroU16>,
}

/// The text names no sub-agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSub {
    /// Not `sub/N` or `sub/N/sub/M`.
    #[error("a sub-agent is `sub/N` or `sub/N/sub/M`, with numbers from 1 to 65535")]
    Path,
    /// Not a session's id, alone or with a sub-agent's place.
    #[error("a session's id was expected, alone or with `/sub/N`")]
    Target,
    /// Not a name for people.
    #[error("a sub-agent's name is 1 to 32 of [A-Za-z0-9._-]")]
    Name,
}

impl SubPath {
    /// The sub-agent `number` of a session.
    pub const fn of_session(number: NonZeroU16) -> Self {
        Self {
            first: number,
            second: None,
        }
    }

    /// The sub-agent `number` of this one, if it may have any.
    pub const fn below(self, number: NonZeroU16) -> Option<Self> {
        match self.second {
            None => Some(Self {
                first: self.first,
                second: Some(number),
            }),
            Some(_) => None,
        }
    }

    /// The sub-agent that this one is of, if it is not its session's own.
    pub const fn parent(self) -> Option<Self> {
        match self.second {
            None => None,
            Some(_) => Some(Self::of_session(self.first)),
        }
    }

    /// Its number among those of its parent.
    pub const fn number(self) -> NonZeroU16 {
        match self.second {
            None => self.first,
            Some(second) => second,
        }
    }
}

impl fmt::Display for SubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sub/{}", self.first)?;
        match self.second {
            None => Ok(()),
            Some(second) => write!(f, "/sub/{second}"),
        }
    }
}

impl fmt::Debug for SubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for SubPath {
    type Err = InvalidSub;

    fn from_str(text: &str) -> Result<Self, InvalidSub> {
        let mut segments = text.split('/');
        let mut number = || match (segments.next(), segments.next()) {
            (None, None) => Ok(None),
            (Some("sub"), Some(digits))
                if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0') =>
            {
                digits.parse().map(Some).map_err(|_| InvalidSub::Path)
            }
            (_, _) => Err(InvalidSub::Path),
        };
        let path = Self {
            first: number()?.ok_or(InvalidSub::Path)?,
            second: number()?,
        };
        match number() {
            Ok(None) => Ok(path),
            Ok(Some(_)) | Err(_) => Err(InvalidSub::Path),
        }
    }
}

impl TryFrom<String> for SubPath {
    type Error = InvalidSub;

    fn try_from(text: String) -> Result<Self, InvalidSub> {
        text.parse()
    }
}

impl From<SubPath> for String {
    fn from(path: SubPath) -> Self {
        path.to_string()
    }
}

/// A session, or a sub-agent of it, as a human names it: `ID`, or `ID/sub/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session.
    pub session: SessionId,
    /// Which of its sub-agents, if not all of it.
    pub sub: Option<SubPath>,
}

impl FromStr for Target {
    type Err = InvalidSub;

    fn from_str(text: &str) -> Result<Self, InvalidSub> {
        let (session, sub) = match text.split_once('/') {
            None => (text, None),
            Some((session, sub)) => (session, Some(sub.parse()?)),
        };
        Ok(Self {
            session: session.parse().map_err(|_| InvalidSub::Target)?,
            sub,
        })
    }
}

/// What people call a sub-agent: 1 to 32 of `[A-Za-z0-9._-]`. It names nothing to the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubName(String);

impl SubName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubName {
    type Err = InvalidSub;

    fn from_str(text: &str) -> Result<Self, InvalidSub> {
        let valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSub::Name)
        }
    }
}

impl TryFrom<String> for SubName {
    type Error = InvalidSub;

    fn try_from(text: String) -> Result<Self, InvalidSub> {
        text.parse()
    }
}

impl From<SubName> for String {
    fn from(name: SubName) -> Self {
        name.0
    }
}

/// A wish to become a sub-agent. What it leaves out stays as the one who asks has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubRequest {
    /// What people are to call it.
    pub name: Option<SubName>,
    /// Which secrets it may use.
    pub secrets: SubSecrets,
    /// Which hosts it may reach.
    pub hosts: SubHosts,
    /// What it may do with the project.
    pub project: SubProject,
}

/// Which secrets a sub-agent may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubSecrets {
    /// Those of the one who asks.
    #[default]
    Parents,
    /// None.
    None,
}

/// Which hosts a sub-agent may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubHosts {
    /// Those of the one who asks.
    #[default]
    Parents,
    /// These, as far as the one who asks may reach them: names.
    Only(Vec<String>),
    /// None.
    None,
}

/// What a sub-agent may do with the project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubProject {
    /// What the one who asks may.
    #[default]
    Parents,
    /// Read it.
    Read,
}

impl SubRequest {
    /// Whether it asks for less than the one who asks has.
    pub fn narrows(&self) -> bool {
        *self
            != Self {
                name: self.name.clone(),
                ..Self::default()
            }
    }
}

/// What became of a [`SubRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum SubResponse {
    /// The process that asked is the sub-agent now.
    Made(Made),
    /// It is not, and is what it was.
    Refused {
        /// Why, in words.
        why: String,
    },
}

/// A sub-agent, as it is told to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its place below its session.
    pub sub: SubPath,
    /// Its identity.
    pub spiffe_id: SpiffeId,
    /// The port of its own way out, on the session's loopback.
    pub bridge: u16,
    /// Variables that are the parent's and not its.
    pub unset: Vec<String>,
    /// Variables that are its own.
    pub set: Vec<(String, String)>,
    /// The project's place.
    pub project: String,
    /// The home's place.
    pub home: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_refused_or_survives(text in "(sub/[0-9]{1,6}/?){0,4}|\\PC{0,20}") {
            if let Ok(path) = text.parse::<SubPath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }

    #[test]
    fn places_are_two_deep_at_most() {
        let first: SubPath = "sub/2".parse().unwrap();
        let second = first.below(NonZeroU16::MIN).unwrap();
        assert_eq!(second.to_string(), "sub/2/sub/1");
        assert_eq!(second.parent(), Some(first));
        assert_eq!(second.below(NonZeroU16::MIN), None);
        for bad in [
            "",
            "sub",
            "sub/0",
            "sub/01",
            "sub/+1",
            "sub/65536",
            "sub/1/",
            "sub/1/sub",
            "sub/1/sub/1/sub/1",
            "/sub/1",
        ] {
            assert!(bad.parse::<SubPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_a_session_or_one_of_its_sub_agents() {
        let session = SessionId::from_random([3; 16]);
        let whole: Target = session.to_string().parse().unwrap();
        assert_eq!(whole, Target { session, sub: None });
        let sub: Target = format!("{session}/sub/4").parse().unwrap();
        assert_eq!(sub.sub.unwrap().to_string(), "sub/4");
        assert!(format!("{session}/").parse::<Target>().is_err());
        assert!("sub/1".parse::<Target>().is_err());
    }

    #[test]
    fn only_a_wish_for_less_narrows() {
        let named = SubRequest {
            name: Some("tests".parse().unwrap()),
            ..SubRequest::default()
        };
        assert!(!named.narrows());
        let hosts = SubHosts::Only(vec![]);
        assert!(SubRequest { hosts, ..named }.narrows());
    }
}
