//! The last good bundles on the disk, and how it stands with each: one file for each trust domain, in the state folder.
//!
//! Written whole or not at all, before anybody is given what is in it; read back as strictly as a server's answer. It holds
//! public keys alone.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use holdfast_protocol::id::TrustDomain;
use holdfast_protocol::{Sha256Digest, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::{Document, DocumentError, MAX_BYTES};
use super::state::{Known, Peer};
use crate::certify::CertifyError;
use crate::certify::files::{self, Access};

/// The folder in the state folder.
const FOLDER: &str = "federation";

/// Room for what stands beside the bundle.
const MAX_FILE: u64 = MAX_BYTES as u64 * 2;

/// What is kept of one trust domain.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Kept {
    bundle: Option<Value>,
    fetched: Option<Timestamp>,
    initial: Option<Sha256Digest>,
    next: Timestamp,
    error: Option<String>,
}

/// What is kept cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A file or folder cannot be used: the environment is to blame.
    #[error("`{path}` cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what we wrote there.
    #[error("`{path}` is not what is kept of a trust domain; remove it to fetch its bundle anew")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The bundle in it is none.
    #[error("`{path}` has no bundle that can be used; remove it to fetch it anew")]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: DocumentError,
    },
    /// It could not be written.
    #[error("the bundle could not be kept")]
    Write(#[source] CertifyError),
}

/// Where the last good bundles are.
#[derive(Clone, Debug)]
pub struct Keep(PathBuf);

impl Keep {
    /// In a state folder.
    pub fn new(state: &Path) -> Self {
        Self(state.join(FOLDER))
    }

    fn file(&self, of: &TrustDomain) -> PathBuf {
        self.0.join(format!("{of}.json"))
    }

    /// What is kept of a trust domain; nothing, where it was never asked for.
    ///
    /// # Errors
    /// [`KeepError`] if its file cannot be read or is something else.
    pub fn load(&self, of: &TrustDomain, now: Timestamp) -> Result<Peer, KeepError> {
        let path = self.file(of);
        let io = |source| KeepError::Io {
            path: path.clone(),
            source,
        };
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(MAX_FILE).read_to_end(&mut bytes).map_err(io)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Peer::new(None, None, now));
            }
            Err(error) => return Err(io(error)),
        };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|source| KeepError::Invalid {
            path: path.clone(),
            source,
        })?;
        let known = match (kept.bundle, kept.fetched) {
            (Some(bundle), Some(fetched)) => {
                let document = Document::parse(bundle.to_string().as_bytes());
                let document = document.map_err(|source| KeepError::Bundle {
                    path: path.clone(),
                    source,
                })?;
                Some(Known { document, fetched })
            }
            (Some(_) | None, _) => None,
        };
        let mut peer = Peer::new(known, kept.initial, now);
        peer.due = kept.next;
        peer.error = kept.error;
        Ok(peer)
    }

    /// Keeps it, durably.
    ///
    /// # Errors
    /// [`KeepError`] if it cannot be written; what was kept before is there then.
    pub fn store(&self, of: &TrustDomain, peer: &Peer) -> Result<(), KeepError> {
        let path = self.file(of);
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                return Err(KeepError::Io {
                    path: self.0.clone(),
                    source,
                });
            }
            Ok(()) | Err(_) => {}
        }
        let kept = Kept {
            bundle: peer.known.as_ref().map(|known| known.document.to_json()),
            fetched: peer.known.as_ref().map(|known| known.fetched),
            initial: peer.initial,
            next: peer.due,
            error: peer.error.clone(),
        };
        let text = serde_json::to_string_pretty(&kept).map_err(|source| KeepError::Invalid {
            path: path.clone(),
            source,
        })?;
        files::replace(&path, Access::Everybody, &text).map_err(KeepError::Write)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::super::state::{Jitter, Voucher};
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn what_was_known_is_known_again_and_what_was_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::new(folder.path());
        let of: TrustDomain = "other.example".parse().unwrap();
        assert_eq!(keep.load(&of, NOW).unwrap(), Peer::new(None, None, NOW));
        let mut peer = Peer::new(None, None, NOW);
        let bundle = json!({ "keys": [], "spiffe_sequence": 4 }).to_string();
        let document = Document::parse(bundle.as_bytes()).unwrap();
        let voucher = Voucher::Operator(Sha256Digest::new([1; 32]));
        peer.offered(document, voucher, NOW, Jitter(9)).unwrap();
        keep.store(&of, &peer).unwrap();
        assert_eq!(keep.load(&of, NOW).unwrap(), peer);

        let path = folder.path().join("federation/other.example.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(
            &path,
            text.replace("\"keys\": []", "\"keys\": [{\"use\": \"x509-svid\"}]"),
        )
        .unwrap();
        assert!(matches!(keep.load(&of, NOW), Err(KeepError::Bundle { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(
            keep.load(&of, NOW),
            Err(KeepError::Invalid { .. })
        ));
    }
}
