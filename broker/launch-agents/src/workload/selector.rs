//! Selectors, spelled as SPIRE spells them (its plugin documents for `unix`, `systemd`, `docker`).
//!
//! Pure. A selector is compared as text; this module must never accept a kind that no evidence can
//! have, which would look like a rule and never fit.

use std::fmt;
use std::str::FromStr;

/// The longest selector, in bytes.
const MAX_SELECTOR: usize = 1024;

/// The kinds, with what each has for evidence.
const KINDS: &[&str] = &[
    "unix:uid",
    "unix:user",
    "unix:gid",
    "unix:group",
    "unix:supplementary_gid",
    "unix:supplementary_group",
    "unix:path",
    "unix:sha256",
    "systemd:id",
    "systemd:fragment_path",
    "docker:image_id",
    "docker:image_config_digest",
    "docker:label",
    "docker:env",
    "podman:image_id",
    "podman:image_config_digest",
    "podman:label",
    "podman:env",
];

/// The kinds that name a unit or a container by what only root, or the engine, decides.
const NAMING: &[&str] = &[
    "systemd:id",
    "docker:image_id",
    "docker:image_config_digest",
    "docker:label",
    "podman:image_id",
    "podman:image_config_digest",
    "podman:label",
];

/// One selector: a kind and a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Selector(String);

/// A text is no selector that could ever fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a selector: one of unix:, systemd:, docker:, podman: as SPIRE has them, with a value, was expected"
)]
pub struct InvalidSelector(String);

impl Selector {
    /// A piece of evidence; `None` if the value cannot be one.
    pub(crate) fn of(kind: &str, value: impl fmt::Display) -> Option<Self> {
        format!("{kind}:{value}").parse().ok()
    }

    /// Whether it is of this kind, `unix:path` for instance.
    pub fn is_of(&self, kind: &str) -> bool {
        self.0
            .strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with(':'))
    }

    /// Whether it names a unit or a container.
    pub fn names(&self) -> bool {
        NAMING.iter().any(|kind| self.is_of(kind))
    }
}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let kind = KINDS.iter().find(|kind| {
            text.strip_prefix(**kind)
                .and_then(|rest| rest.strip_prefix(':'))
                .is_some_and(|value| !value.is_empty())
        });
        let valid =
            kind.is_some() && text.len() <= MAX_SELECTOR && !text.chars().any(char::is_control);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSelector(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for Selector {
    type Error = InvalidSelector;

    fn try_from(text: String) -> Result<Self, InvalidSelector> {
        text.parse()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_kinds_that_have_evidence_are_selectors() {
        for good in ["unix:uid:0", "docker:label:a:b:c", "systemd:id:a@b.service"] {
            assert_eq!(good.parse::<Selector>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "unix",
            "unix:uid",
            "unix:uid:",
            "unix:pid:1",
            "k8s:ns:x",
            "unix:path:/a\nb",
            "systemd:unit:x",
        ] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
        let selector: Selector = "docker:label:a:b".parse().unwrap();
        assert!(selector.is_of("docker:label") && !selector.is_of("docker:lab"));
    }
}
