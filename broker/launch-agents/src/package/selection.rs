//! Which part of a tree a script needs.
//!
//! Pure. A part is a plain path below the root; a part within another changes nothing.

use std::collections::BTreeMap;

use super::MAX_DEPTH;

/// The longest part, in bytes.
const MAX_PART: usize = 1024;

/// The text names nothing below a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a plain path within a package")]
pub struct InvalidPart(String);

/// What is taken of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything in it.
    All,
    /// These of its entries, each as far as it says.
    Parts(BTreeMap<String, Selection>),
}

impl Selection {
    /// The whole where no parts are named.
    ///
    /// # Errors
    /// [`InvalidPart`].
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPart> {
        let mut selection = Self::Parts(BTreeMap::new());
        for part in parts {
            let components = components(part)?;
            selection.add(&components);
        }
        Ok(match selection {
            Self::Parts(parts) if parts.is_empty() => Self::All,
            selection @ (Self::Parts(_) | Self::All) => selection,
        })
    }

    /// Whether this plain path is taken.
    pub fn has(&self, path: &str) -> bool {
        let mut here = self;
        for name in path.split('/') {
            match here {
                Self::All => return true,
                Self::Parts(parts) => match parts.get(name) {
                    Some(below) => here = below,
                    None => return false,
                },
            }
        }
        matches!(here, Self::All)
    }

    fn add(&mut self, components: &[&str]) {
        let Self::Parts(parts) = self else {
            return;
        };
        match components {
            [] => *self = Self::All,
            [name, below @ ..] => parts
                .entry((*name).to_owned())
                .or_insert_with(|| Self::Parts(BTreeMap::new()))
                .add(below),
        }
    }
}

/// The components of a plain path below a root.
pub(crate) fn components(path: &str) -> Result<Vec<&str>, InvalidPart> {
    let plain = |name: &&str| {
        !matches!(*name, "" | "." | "..")
            && name.len() <= 255
            && !name.bytes().any(|byte| byte.is_ascii_control())
    };
    let components: Vec<&str> = path.split('/').collect();
    let valid =
        path.len() <= MAX_PART && components.len() <= MAX_DEPTH && components.iter().all(plain);
    if valid {
        Ok(components)
    } else {
        Err(InvalidPart(path.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_part_within_another_changes_nothing() {
        let one = Selection::of(["a/b", "a", "a/c", "d/e"]).unwrap();
        assert_eq!(one, Selection::of(["d/e", "a"]).unwrap());
        assert!(one.has("a/anything") && one.has("d/e") && one.has("d/e/f"));
        assert!(!one.has("d") && !one.has("d/f") && !one.has("x"));
        assert!(Selection::of([]).unwrap().has("x"));
    }

    #[test]
    fn only_plain_paths_are_parts() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\nb"] {
            assert!(Selection::of([bad]).is_err(), "{bad:?}");
        }
        assert!(Selection::of([&*"a/".repeat(60)]).is_err());
    }
}
