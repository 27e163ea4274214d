//! Keeping the store small: what was not used for longest goes first.
//!
//! It must never take what a session runs from, however large the store is.

use std::io;
use std::path::{Path, PathBuf};

use holdfast_protocol::Sha256Digest;

use super::shelf::size;
use super::{Store, UNFINISHED};

impl Store {
    /// Takes away what was not used for longest, until the store is within its bound.
    ///
    /// # Errors
    /// Whatever the host says; the store is still whole.
    pub(super) fn prune(&self) -> io::Result<()> {
        let mut things = Vec::new();
        for folder in [&self.place, &self.packages] {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                if let Some(digest) = named(&path) {
                    things.push((self.uses.last(digest), digest, size(&path), path));
                }
            }
        }
        let mut total = things
            .iter()
            .fold(0, |sum: u64, (_, _, size, _)| sum + size);
        things.sort_unstable_by_key(|(last, digest, ..)| (*last, *digest));
        for (_, digest, size, path) in things {
            if total <= self.bound {
                break;
            }
            self.shelf.unless_held(digest, || {
                discard(&path)?;
                self.uses.forget(digest);
                total = total.saturating_sub(size);
                Ok::<_, io::Error>(())
            })?;
        }
        Ok(())
    }
}

/// Removes a file or tree of the store; nobody finds it by its name from the first moment on.
pub(super) fn discard(path: &Path) -> io::Result<()> {
    let aside = path.with_file_name(format!(
        "{UNFINISHED}{}",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    remove(&aside)?;
    std::fs::rename(path, &aside)?;
    remove(&aside)
}

/// Removes a file or tree, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes what a broker that was killed had begun.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    let begun: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))
        .map(|entry| entry.path())
        .collect();
    begun.iter().try_for_each(|path| remove(path))
}

fn named(path: &Path) -> Option<Sha256Digest> {
    path.file_name()?.to_str()?.parse().ok()
}
