//! The enrollment, as this host keeps it.
//!
//! Written whole or not at all; read back as strictly as a peer's message, for whoever could write
//! the file is not trusted for it. It holds no secret.

use std::path::{Path, PathBuf};

use holdfast_protocol::id::{HostId, SpiffeId, TrustDomain};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::pin::Pin;
use crate::url::AttestorUrl;

/// The largest file that is read.
const MAX_FILE: u64 = 256 * 1024;

/// Where this host is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The attestor.
    pub attestor: AttestorUrl,
    /// Its trust domain.
    pub trust_domain: TrustDomain,
    /// The identity that it assigned.
    pub host: HostId,
    /// The trust domain's X.509 authorities, PEM.
    pub authorities_pem: String,
}

/// The enrollment cannot be kept or read back.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The file cannot be read or written.
    #[error("the enrollment in `{path}` cannot be kept")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not an enrollment.
    #[error("`{path}` is not an enrollment")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

impl Registration {
    /// This host's SPIFFE ID.
    pub fn spiffe_id(&self) -> SpiffeId {
        SpiffeId::host(&self.trust_domain, self.host)
    }

    /// What pins the attestor: its authorities.
    pub fn pin(&self) -> Pin {
        let certificates = CertificateDer::pem_slice_iter(self.authorities_pem.as_bytes())
            .filter_map(Result::ok)
            .collect();
        Pin::Authorities {
            trust_domain: Some(self.trust_domain.clone()),
            certificates,
        }
    }

    /// Reads the enrollment; `None` where there is none.
    ///
    /// # Errors
    /// [`RegistrationError`] if there is something else.
    pub fn load(path: &Path) -> Result<Option<Self>, RegistrationError> {
        let kept = durable::load(path, MAX_FILE).map_err(|source| RegistrationError::Io {
            path: path.to_owned(),
            source,
        })?;
        let Some(text) = kept else {
            return Ok(None);
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| RegistrationError::Invalid {
                path: path.to_owned(),
                source,
            })
    }

    /// Writes the enrollment, durably, whole or not at all.
    ///
    /// # Errors
    /// [`RegistrationError`] if it cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), RegistrationError> {
        let text =
            serde_json::to_vec_pretty(self).map_err(|source| RegistrationError::Invalid {
                path: path.to_owned(),
                source,
            })?;
        durable::replace(path, &text).map_err(|source| RegistrationError::Io {
            path: path.to_owned(),
            source,
        })
    }
}
