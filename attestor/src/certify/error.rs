//! Why the authority cannot be used, did not sign, or did not take a step.

use std::path::PathBuf;

use holdfast_proof::svid::SvidError;

use super::generations::NotNow;
use super::keys::MAX_ROOTS;
use crate::random::NoRandomness;

/// Why the authority cannot be used, or did not sign.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// A file of the state folder cannot be read or written: the environment is to blame.
    #[error("`{path}` cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A key can be read by others than its owner: the environment is to blame.
    #[error("`{path}` has mode {mode:04o}; a key may be open to its owner alone (0600)")]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A key is encrypted and there is no passphrase: the operator is to blame.
    #[error("`{path}` is encrypted, and the configuration names no passphrase")]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// A key is encrypted under another passphrase; a damaged file may look the same.
    #[error("`{path}` is not opened by the configured passphrase, or is damaged")]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// A file is not what we wrote there.
    #[error("`{path}` {problem}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An upstream authority cannot sign ours: the operator is to blame, or the upstream.
    #[error("`{path}` {problem}")]
    Upstream {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What is signed would not verify.
    #[error("what `{path}` signs does not verify by a root of `{roots}`")]
    NoChain {
        /// The chain.
        path: PathBuf,
        /// The roots.
        roots: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// There are more roots than hosts take.
    #[error("the trust domain would have more than {MAX_ROOTS} roots")]
    TooManyRoots,
    /// A certificate could not be made.
    #[error("the certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// What we made is not an X.509-SVID, and does not leave.
    #[error("the certificate that was made is not an x.509-svid")]
    NotAnSvid(#[from] SvidError),
    /// There are no random bytes.
    #[error("no random bytes could be drawn")]
    Random(#[from] NoRandomness),
    /// Another part of cryptography failed.
    #[error("{0} failed")]
    Crypto(&'static str),
    /// The authority itself ends before the SVID would.
    #[error("the authority has expired or is about to")]
    Expired,
}

/// A step from generation to generation was not made.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// It is not to be made now.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// It cannot be made.
    #[error(transparent)]
    Certify(#[from] CertifyError),
}
