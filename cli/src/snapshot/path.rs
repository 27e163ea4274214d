//! Where something lies in a project: the way to it from the project's root, as bytes.
//!
//! It must never lead out of the project: no empty, `.` or `..` component, no NUL, not absolute.

use std::fmt;
use std::path::{Path, PathBuf};

use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The most bytes of a path that the kernel takes (PATH_MAX).
const MAX: usize = 4095;

/// A place in a project. It sorts after the folder that it lies in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The path, if it leads to something in a project.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        (bytes.len() <= MAX && bytes.split(|byte| *byte == b'/').all(plain))
            .then(|| Self(bytes.to_vec()))
    }

    /// The path in `folder` of this name; in the root, where there is no folder.
    pub fn within(folder: Option<&Self>, name: &[u8]) -> Option<Self> {
        let path = match folder {
            Some(Self(folder)) => [folder, name].join(&b'/'),
            None => name.to_vec(),
        };
        let one = !name.contains(&b'/');
        if one { Self::parse(&path) } else { None }
    }

    /// The path of `path` in `root`, if it is one.
    pub fn of(root: &Path, path: &Path) -> Option<Self> {
        Self::parse(path.strip_prefix(root).ok()?.as_os_str().as_bytes())
    }

    /// What a human means by `path`: from here or, if that is not in the project `root`, from there.
    pub fn named(root: &Path, path: &Path) -> Option<Self> {
        let here = std::env::current_dir().unwrap_or_default();
        let clean = |path: PathBuf| path.components().collect::<PathBuf>();
        let meant = [clean(here.join(path)), clean(root.join(path))];
        meant.iter().find_map(|path| Self::of(root, path))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its components.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.components().next_back().unwrap_or_default()
    }

    /// The folder that it lies in; none for what lies in the root.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0.get(..slash)?.to_vec()))
    }

    /// The folders that it lies in, the innermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Whether it is `folder` or lies in it.
    pub fn is_in(&self, folder: &Self) -> bool {
        let rest = self.0.strip_prefix(folder.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    /// It below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(self.to_path())
    }

    /// It as a relative path.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(std::ffi::OsString::from_vec(self.0.clone()))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_leads_out_of_the_project() {
        for path in [
            "", "/", "/etc", "..", "a/..", "a/../b", ".", "a/./b", "a//b", "a/", "a\0b",
        ] {
            assert_eq!(RelPath::parse(path.as_bytes()), None, "{path:?}");
        }
        let folder = RelPath::parse(b"a/b").unwrap();
        assert_eq!(RelPath::within(Some(&folder), b".."), None);
        assert_eq!(RelPath::within(Some(&folder), b"c/d"), None);
        let path = RelPath::within(Some(&folder), b"c").unwrap();
        assert_eq!(path.as_bytes(), b"a/b/c");
        assert_eq!(path.parent(), Some(folder.clone()));
        assert!(path.is_in(&folder) && folder.is_in(&folder));
        assert!(!RelPath::parse(b"a/bc").unwrap().is_in(&folder));
    }
}
