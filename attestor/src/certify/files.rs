//! Files that are made once: keys and the authority's certificate; and the one that tells which of them are used.
//!
//! A file here is either wholly there or not at all. A key is never overwritten, and of two that make it at once one wins.
//! A key open to others than its owner is refused, not repaired: it may have been read.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::CertifyError;
use crate::random;

/// More than any key or certificate of ours has.
const MAX_LEN: u64 = 16 * 1024;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner alone.
    Owner,
    /// Everybody.
    Everybody,
}

/// The content of a file, which is made by `make` where it is not there.
pub(crate) fn load_or_make(
    path: &Path,
    access: Access,
    make: impl FnOnce() -> Result<Zeroizing<String>, CertifyError>,
) -> Result<Zeroizing<String>, CertifyError> {
    if let Some(text) = load(path, access)? {
        return Ok(text);
    }
    let made = make()?;
    beside(path, access, &made, |draft| {
        match std::fs::hard_link(draft, path) {
            // Somebody was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })?;
    // What is there now is ours, or that of whoever was faster.
    load(path, access)?.ok_or_else(|| CertifyError::Unusable {
        path: path.to_owned(),
        problem: "vanished while it was made",
    })
}

/// Replaces a file, so that a crash leaves either the old one or the new one, whole.
pub(crate) fn replace(path: &Path, access: Access, text: &str) -> Result<(), CertifyError> {
    beside(path, access, text, |draft| std::fs::rename(draft, path))
}

/// The content of a file, if there is one.
pub(crate) fn load(path: &Path, access: Access) -> Result<Option<Zeroizing<String>>, CertifyError> {
    let failed = |source| CertifyError::File {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if access == Access::Owner && mode & 0o077 != 0 {
        return Err(CertifyError::OpenKey {
            path: path.to_owned(),
            mode,
        });
    }
    // Reserved at once, so that no copy of a key is left behind by a growing buffer.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN as usize));
    file.take(MAX_LEN)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 == MAX_LEN {
        return Err(CertifyError::Unusable {
            path: path.to_owned(),
            problem: "is larger than 16 KiB",
        });
    }
    Ok(Some(text))
}

/// Writes the text beside `path`, durably, and has `put` give it that name. No draft is left, whatever happens.
fn beside(
    path: &Path,
    access: Access,
    text: &str,
    put: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), CertifyError> {
    let draft = u64::from_ne_bytes(random::bytes()?);
    let draft = path.with_extension(format!("{draft:016x}.draft"));
    let result = write(&draft, access, text).and_then(|()| put(&draft));
    // It is gone already where it was renamed.
    let _ = std::fs::remove_file(&draft);
    let folder = path.parent().unwrap_or(Path::new("."));
    result
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|source| CertifyError::File {
            path: path.to_owned(),
            source,
        })
}

/// Writes a new file, durably.
fn write(path: &Path, access: Access, text: &str) -> std::io::Result<()> {
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everybody => 0o644,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
