//! The state folder as a place of private keys: where they are, and how they lie there.
//!
//! It must never leave a plain key beside its encrypted one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::CertifyError;
use super::at_rest::{self, AtRest};
use super::files::{self, Access};

/// How the name of every private key's file ends.
const KEY: &str = ".key.pem";

/// Where private keys are.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    path: PathBuf,
    at_rest: AtRest,
}

impl KeyFolder {
    /// A folder where keys lie so.
    pub fn new(path: &Path, at_rest: AtRest) -> Self {
        Self {
            path: path.to_owned(),
            at_rest,
        }
    }

    /// A folder of plain keys.
    #[cfg(test)]
    pub(crate) fn plain(path: &Path) -> Self {
        Self::new(path, AtRest::Plain)
    }

    /// Where a file of it is.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// The key in one of its files, which `make` makes, as plain PKCS#8 in PEM, where it is not there.
    pub(crate) fn key(
        &self,
        path: &Path,
        make: impl FnOnce() -> Result<Zeroizing<String>, CertifyError>,
    ) -> Result<Zeroizing<PrivatePkcs8KeyDer<'static>>, CertifyError> {
        let text = files::load_or_make(path, Access::Owner, || self.at_rest.seal(path, make()?))?;
        self.at_rest.open(path, &text)
    }

    /// A key that others have put somewhere, and that has to be there; it may lie as ours do.
    pub(super) fn open_key(
        &self,
        path: &Path,
    ) -> Result<Zeroizing<PrivatePkcs8KeyDer<'static>>, CertifyError> {
        let text = files::load(path, Access::Owner)?.ok_or_else(|| CertifyError::Unusable {
            path: path.to_owned(),
            problem: "is not there",
        })?;
        self.at_rest.open(path, &text)
    }

    /// Writes every plain key anew, encrypted, and removes what a crash has left of making one; the keys' files. Without a
    /// passphrase it does nothing.
    ///
    /// # Errors
    /// [`CertifyError`] naming the file that could not be read or written; those before it are encrypted.
    pub fn encrypt(&self) -> Result<Vec<PathBuf>, CertifyError> {
        if matches!(self.at_rest, AtRest::Plain) {
            return Ok(Vec::new());
        }
        let mut encrypted = Vec::new();
        for path in self.files()? {
            if is_draft(&path) {
                std::fs::remove_file(&path).map_err(failed(&path))?;
            } else if path.to_string_lossy().ends_with(KEY)
                && self.encrypt_one(&path)? == Was::Plain
            {
                encrypted.push(path);
            }
        }
        Ok(encrypted)
    }

    fn encrypt_one(&self, path: &Path) -> Result<Was, CertifyError> {
        let Some(text) = files::load(path, Access::Owner)? else {
            return Ok(Was::NotPlain);
        };
        if at_rest::is_encrypted(&text) {
            return Ok(Was::NotPlain);
        }
        let sealed = self.at_rest.seal(path, text)?;
        files::replace(path, Access::Owner, &sealed)?;
        Ok(Was::Plain)
    }

    fn files(&self) -> Result<Vec<PathBuf>, CertifyError> {
        let entries = std::fs::read_dir(&self.path).map_err(failed(&self.path))?;
        let mut paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed(&self.path))?;
        paths.sort();
        Ok(paths)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Was {
    Plain,
    NotPlain,
}

/// Whether a file is a key that was being made: `ca.key.0123456789abcdef.draft`.
fn is_draft(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.contains(".key.") && name.ends_with(".draft")
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> CertifyError {
    move |source| CertifyError::File {
        path: path.to_owned(),
        source,
    }
}
