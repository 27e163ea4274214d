//! Files of the human's that are changed: whole or not at all, through links, with the rights that they had.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Act, Edit, PartState};

/// The longest file that is changed, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// As much of a file as tells whether it is ours.
const BEGINNING: u64 = 512;

/// A file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The host fails.
    #[error("`{0}` cannot be read or written")]
    Host(PathBuf, #[source] std::io::Error),
    /// It is not what such a file is.
    #[error("`{0}` is no text, or longer than {MAX_FILE} bytes")]
    NoText(PathBuf),
}

/// What is to become of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Ours is in it.
    There,
    /// Ours is not, and is not to be.
    Absent,
    /// Somebody else's is in its place.
    Foreign,
    /// This, with ours.
    Add(String),
    /// This, without ours.
    Remove(String),
}

/// Changes a text that is the human's own.
///
/// # Errors
/// [`FileError`]; the file is as it was.
pub fn edit(file: &Path, act: Act, change: Edit<'_>) -> Result<PartState, FileError> {
    let text = match read(file)? {
        Some(text) => text,
        None if act == Act::Write => String::new(),
        None => return Ok(PartState::Absent),
    };
    Ok(match change(&text) {
        Change::There => PartState::There,
        Change::Absent => PartState::Absent,
        Change::Foreign => PartState::Foreign,
        Change::Add(text) => {
            replace(file, &text, 0o644)?;
            PartState::Added
        }
        Change::Remove(text) => {
            replace(file, &text, 0o644)?;
            PartState::Removed
        }
    })
}

/// Writes a program that is wholly ours.
///
/// # Errors
/// [`FileError::Host`].
pub fn write_program(file: &Path, text: &str) -> Result<PartState, FileError> {
    if read(file)?.is_some_and(|there| there == text) && is_program(file) {
        return Ok(PartState::There);
    }
    replace(file, text, 0o755)?;
    Ok(PartState::Added)
}

/// Removes a file, and the folder that it leaves empty.
///
/// # Errors
/// [`FileError::Host`].
pub fn remove(file: &Path) -> Result<(), FileError> {
    fs::remove_file(file).map_err(|error| FileError::Host(file.to_owned(), error))?;
    if let Some(folder) = file.parent() {
        // It may hold others.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// How a file begins; `None` where there is none.
///
/// # Errors
/// [`FileError::Host`].
pub fn beginning(file: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let read = || -> std::io::Result<Option<Vec<u8>>> {
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(file)?.take(BEGINNING).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map_err(|error| FileError::Host(file.to_owned(), error)),
    }
}

/// Whether it can be run.
pub fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

fn read(file: &Path) -> Result<Option<String>, FileError> {
    let host = |error| FileError::Host(file.to_owned(), error);
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(host(error)),
    };
    let mut bytes = Vec::new();
    let plain = opened.metadata().map_err(host)?.is_file();
    if plain {
        let mut bounded = opened.take(MAX_FILE.saturating_add(1));
        bounded.read_to_end(&mut bytes).map_err(host)?;
    }
    let fits = plain && u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE);
    match String::from_utf8(bytes) {
        Ok(text) if fits => Ok(Some(text)),
        Ok(_) | Err(_) => Err(FileError::NoText(file.to_owned())),
    }
}

/// Puts a new file in the place of what a link leads to.
fn replace(file: &Path, text: &str, mode: u32) -> Result<(), FileError> {
    let host = |error| FileError::Host(file.to_owned(), error);
    let target = match file.canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => file.to_owned(),
        Err(error) => return Err(host(error)),
    };
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(host)?;
    let kept = target.metadata().map(|facts| facts.permissions());
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".holdfast-{}", std::process::id()));
    let beside = folder.join(name);
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut new = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        new.write_all(text.as_bytes())?;
        new.set_permissions(kept.unwrap_or_else(|_| Permissions::from_mode(mode)))?;
        new.sync_all()?;
        fs::rename(&beside, &target)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&beside);
        host(error)
    })
}
