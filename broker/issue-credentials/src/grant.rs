//! A session's use of a secret: what the session holds instead of it, and how the secret is fetched
//! for one use.
//!
//! A placeholder is worth nothing outside its session's bridge. This module must never put a secret
//! where a session could read it.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::vault::{SecretName, SecretUse};
use tonic::async_trait;
use zeroize::Zeroizing;

/// How every placeholder begins.
pub const PREFIX: &str = "hf_";

/// What a session holds instead of a secret: [`PREFIX`] and 160 random bits in lowercase base32.
#[derive(Clone, PartialEq, Eq)]
pub struct Placeholder(String);

impl Placeholder {
    /// The placeholder of these random bits.
    pub fn from_random(bits: [u8; 20]) -> Self {
        let text = BASE32_NOPAD.encode(&bits).to_ascii_lowercase();
        Self(format!("{PREFIX}{text}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is this placeholder; takes as long whatever it is.
    pub fn is(&self, shown: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), shown).is_ok()
    }
}

impl fmt::Debug for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Placeholder(hf_..)")
    }
}

/// A secret whose use a session was granted.
#[derive(Clone, Debug)]
pub struct Granted {
    /// Its name.
    pub name: SecretName,
    /// What it is for, and so where it may go.
    pub purpose: SecretUse,
    /// What the session shows instead.
    pub placeholder: Placeholder,
}

/// Fetches a secret out of its lease.
#[async_trait]
pub trait Reveal: Send + Sync + 'static {
    /// The secret, for one use. It is to be dropped once it was sent.
    ///
    /// # Errors
    /// [`NotRevealed`]; nothing may be sent then.
    async fn reveal(
        &self,
        session: SessionId,
        name: &SecretName,
    ) -> Result<Zeroizing<String>, NotRevealed>;
}

/// A secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NotRevealed {
    /// The session was not granted it, or has ended: the caller.
    #[error("the session has no lease on `{0}`")]
    NotGranted(SecretName),
    /// The TPM refuses the lease, and the vault does not give another: the environment.
    #[error("the lease on `{name}` is over and cannot be renewed: {why}")]
    Over {
        /// The secret.
        name: SecretName,
        /// Why.
        why: String,
    },
}
