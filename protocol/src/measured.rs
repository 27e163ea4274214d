//! What a session's program was measured to be, beside the digest of what is executed.
//!
//! It says what ran, not who wrote it: names in it are those that the files give themselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Sha256Digest;

/// The files that an interpreter's script runs from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredPackage {
    /// The Merkle digest over its files, links and folders.
    pub digest: Sha256Digest,
    /// The script that the interpreter is given, relative to the package's root.
    pub script: String,
    /// What the script's own `package.json` calls itself, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PackageName>,
}

/// A package's name as npm has it: `opencode-ai`, `@openai/codex`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageName(String);

/// The text is no package's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a package's name")]
pub struct InvalidPackageName(String);

impl PackageName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackageName {
    type Err = InvalidPackageName;

    fn from_str(text: &str) -> Result<Self, InvalidPackageName> {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
        };
        // npm's own bound (validate-npm-package-name).
        let valid = text.len() <= 214
            && match text.strip_prefix('@').map(|rest| rest.split_once('/')) {
                Some(Some((scope, name))) => plain(scope) && plain(name),
                Some(None) => false,
                None => plain(text),
            };
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPackageName(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for PackageName {
    type Error = InvalidPackageName;

    fn try_from(text: String) -> Result<Self, InvalidPackageName> {
        text.parse()
    }
}

impl From<PackageName> for String {
    fn from(name: PackageName) -> Self {
        name.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_npms() {
        for good in ["opencode-ai", "@openai/codex", "a.b_c~d", "JSONStream"] {
            assert_eq!(good.parse::<PackageName>().unwrap().to_string(), good);
        }
        for bad in ["", ".x", "@x", "@/x", "@x/", "a/b", "@a/b/c", "a b", "ä"] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad}");
        }
        assert!("x".repeat(215).parse::<PackageName>().is_err());
    }
}
