//! Names inside a session: where a tree appears, what the program and its user are called.
//!
//! None of them is a path of the host: they are resolved component by component below the root that
//! the launcher has just made, and never through a symbolic link. Nothing here touches a file.

use std::fmt;

/// The longest [`Place`], in bytes.
pub const MAX_PLACE: usize = 1024;
/// The deepest [`Place`], in components.
pub const MAX_DEPTH: usize = 40;
/// What the launcher makes itself; nothing is mounted over it.
const RESERVED: [&str; 4] = ["dev", "proc", "run", "sys"];

/// The text names nothing inside a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlace {
    /// Not 1 to [`MAX_DEPTH`] plain components in [`MAX_PLACE`] bytes.
    #[error("`{0}` is not a plain absolute place")]
    Shape(String),
    /// Below a folder that the launcher makes itself.
    #[error("`{0}` lies in a folder that every session has of its own")]
    Reserved(String),
    /// A program's name is 1 to 64 of `[A-Za-z0-9._+-]` and does not start with a dot.
    #[error("`{0}` is not a program's name")]
    Program(String),
    /// A user's name is 1 to 32 of `[a-z0-9_-]`.
    #[error("`{0}` is not a user's name")]
    User(String),
}

/// A place inside a session's root, such as `/home/alice/src/kelp`; stored without its first slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

impl Place {
    /// Parses an absolute place.
    ///
    /// # Errors
    /// [`InvalidPlace`] for anything but plain components, and for what is reserved.
    pub fn parse(text: &str) -> Result<Self, InvalidPlace> {
        let shape = || InvalidPlace::Shape(excerpt(text));
        let inner = text.strip_prefix('/').ok_or_else(shape)?;
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.len() <= 255
                && !part.bytes().any(|b| b.is_ascii_control())
        };
        if inner.len() > MAX_PLACE
            || inner.split('/').count() > MAX_DEPTH
            || !inner.split('/').all(plain)
        {
            return Err(shape());
        }
        if RESERVED
            .iter()
            .any(|top| inner.split('/').next() == Some(top))
        {
            return Err(InvalidPlace::Reserved(excerpt(text)));
        }
        Ok(Self(inner.to_owned()))
    }

    /// The components, outermost first; at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// What stands after `outer`, of which this is a part; empty where it is `outer` itself, or lies elsewhere.
    pub fn within(&self, outer: &Place) -> &str {
        let rest = self.0.strip_prefix(outer.0.as_str());
        rest.and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or_default()
    }

    /// Whether this is `outer` or lies below it.
    pub fn is_within(&self, outer: &Place) -> bool {
        self.0
            .strip_prefix(outer.0.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// What the program is called inside: it is mounted and run as `/opt/holdfast/bin/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProgramName(String);

impl ProgramName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidPlace::Program`].
    pub fn parse(text: &str) -> Result<Self, InvalidPlace> {
        let valid = (1..=64).contains(&text.len())
            && !text.starts_with('.')
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPlace::Program(excerpt(text)))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the human is called inside, for the session's own `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserName(String);

impl UserName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidPlace::User`].
    pub fn parse(text: &str) -> Result<Self, InvalidPlace> {
        let valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPlace::User(excerpt(text)))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_plain_places_pass() {
        for good in ["/work", "/home/alice/src/a b", "/root", "/procfs/x"] {
            assert_eq!(Place::parse(good).unwrap().to_string(), good);
        }
        let long = format!("/{}", "x/".repeat(60));
        for bad in [
            "",
            "/",
            "relative",
            "/a/",
            "//a",
            "/a//b",
            "/a/../b",
            "/..",
            "/.",
            "/a\nb",
            "/a\0",
            "/dev/x",
            "/proc",
            "/run/holdfast",
            "/sys/fs",
            &long,
        ] {
            assert!(Place::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_counts_whole_components() {
        let home = Place::parse("/home/al").unwrap();
        assert!(Place::parse("/home/al/x").unwrap().is_within(&home));
        assert!(home.is_within(&home));
        let inner = Place::parse("/home/al/x/y").unwrap();
        assert_eq!((inner.within(&home), home.within(&home)), ("x/y", ""));
        assert!(!Place::parse("/home/alice").unwrap().is_within(&home));
    }

    #[test]
    fn names_carry_no_path() {
        assert!(ProgramName::parse("claude-2.1").is_ok());
        for bad in ["", ".x", "a/b", "a b", "ä"] {
            assert!(ProgramName::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "a:b", "A", "x\ny"] {
            assert!(UserName::parse(bad).is_err(), "{bad}");
        }
    }
}
