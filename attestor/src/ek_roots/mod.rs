//! The folder of roots that EK certificates may lead to: what may be added to it.
//!
//! A file that is offered is either taken whole or not at all, and one that is refused keeps the others out as well.

mod vendors;

#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use der::pem::LineEnding;
use holdfast_proof::ek_certificate::{Certificate, EkCertificateError};
use holdfast_protocol::Timestamp;

pub use vendors::{KNOWN, KnownRoot, known};

/// A certificate and the file that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The file.
    pub file: PathBuf,
    /// The certificate.
    pub certificate: Certificate,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportRefused {
    /// It may not issue certificates, or not now.
    #[error("`{file}` has a certificate that no path may end at: {which}")]
    NotARoot {
        /// The file that was offered.
        file: PathBuf,
        /// Its subject and fingerprint.
        which: String,
        /// Why not.
        #[source]
        source: EkCertificateError,
    },
    /// It is there already, or was offered twice.
    #[error("`{file}` has a certificate that `{before}` has, too: {which}")]
    Duplicate {
        /// The file that was offered.
        file: PathBuf,
        /// The file that has it, too.
        before: PathBuf,
        /// Its subject and fingerprint.
        which: String,
    },
    /// It cannot be written.
    #[error("`{file}` cannot be written")]
    Unwritable {
        /// The file in the folder.
        file: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Judges whether all that is `offered` may join what is `kept`.
///
/// # Errors
/// [`ImportRefused`] for the first that may not.
pub fn check(kept: &[Filed], offered: &[Filed], now: Timestamp) -> Result<(), ImportRefused> {
    let mut known: Vec<&Filed> = kept.iter().collect();
    for one in offered {
        let (file, certificate) = (one.file.clone(), &one.certificate);
        let which = format!(
            "`{}`, {}",
            certificate.subject_words(),
            certificate.fingerprint()
        );
        if let Some(before) = known.iter().find(|other| other.certificate == *certificate) {
            return Err(ImportRefused::Duplicate {
                file,
                before: before.file.clone(),
                which,
            });
        }
        certificate
            .check_authority(now)
            .map_err(|source| ImportRefused::NotARoot {
                file,
                which,
                source,
            })?;
        known.push(one);
    }
    Ok(())
}

/// Writes certificates into the folder, each into a file named by its fingerprint; the files' names, in that order. After a
/// failure the folder is as before.
///
/// # Errors
/// [`ImportRefused::Unwritable`] if one cannot be written.
pub fn write(folder: &Path, certificates: &[Filed]) -> Result<Vec<PathBuf>, ImportRefused> {
    let mut written = Vec::new();
    for one in certificates {
        let file = folder.join(format!("{}.pem", one.certificate.fingerprint()));
        if let Err(source) = write_one(&file, &one.certificate, &mut written) {
            // The failure to report is the first one.
            written
                .iter()
                .for_each(|file| drop(std::fs::remove_file(file)));
            return Err(ImportRefused::Unwritable { file, source });
        }
    }
    Ok(written)
}

fn write_one(
    file: &Path,
    certificate: &Certificate,
    written: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    let pem = der::pem::encode_string("CERTIFICATE", LineEnding::LF, certificate.as_der())
        .map_err(std::io::Error::other)?;
    let mut open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(file)?;
    written.push(file.to_owned());
    open.write_all(pem.as_bytes())?;
    open.sync_all()
}
