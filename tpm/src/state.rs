//! What must be kept between runs to use the same keys and counters again.
//!
//! Nothing here is secret in itself: private parts are wrapped by the TPM. All of it is parsed again when it is read, because
//! whoever can write the file is not trusted for it.

use std::fmt;

use data_encoding::HEXLOWER;
use holdfast_proof::tpm::{Name, NvPublic, Public};
use serde::{Deserialize, Serialize};

/// What provisioning found or made in a TPM: the names that later runs insist on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmState {
    /// The endorsement key.
    pub endorsement_key: Public,
    /// The name of the storage root key, to which every session is salted.
    pub storage_root: Name,
    /// The attestation key, a child of the endorsement key.
    pub attestation_key: Public,
    /// The key that signs audit checkpoints.
    pub checkpoint_key: KeyBlob,
    /// The counter whose value is the revocation epoch.
    pub epoch_counter: NvPublic,
    /// The counter that makes audit checkpoints contiguous.
    pub audit_counter: NvPublic,
}

/// Which of the two counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterRole {
    /// One increment ends every lease.
    Epoch,
    /// One increment freezes the audit log so far.
    Audit,
}

impl TpmState {
    /// The public area of a counter, as it was when this host was provisioned.
    pub fn counter(&self, role: CounterRole) -> &NvPublic {
        match role {
            CounterRole::Epoch => &self.epoch_counter,
            CounterRole::Audit => &self.audit_counter,
        }
    }
}

/// A key or sealed data: its public area, and its private part wrapped by its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBlob {
    public: Public,
    private: Wrapped,
}

impl KeyBlob {
    /// From a public area and the content of a TPM2B_PRIVATE; `None` if that is longer than [`Self::MAX_PRIVATE`].
    pub fn new(public: Public, private: &[u8]) -> Option<Self> {
        (private.len() <= Self::MAX_PRIVATE).then(|| Self {
            public,
            private: Wrapped(private.to_vec()),
        })
    }

    /// The longest wrapped private part, in bytes: an RSA-2048 key's is under 300.
    pub const MAX_PRIVATE: usize = 1024;

    /// The public area.
    pub fn public(&self) -> &Public {
        &self.public
    }

    /// The wrapped private part.
    pub fn private(&self) -> &[u8] {
        &self.private.0
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Wrapped(Vec<u8>);

/// A stored private part is not one.
#[derive(Debug, thiserror::Error)]
#[error(
    "a wrapped private part is at most {} bytes of lowercase hex",
    KeyBlob::MAX_PRIVATE
)]
struct NotWrapped;

impl TryFrom<String> for Wrapped {
    type Error = NotWrapped;

    fn try_from(text: String) -> Result<Self, NotWrapped> {
        if text.len() > 2 * KeyBlob::MAX_PRIVATE {
            return Err(NotWrapped);
        }
        HEXLOWER
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| NotWrapped)
    }
}

impl From<Wrapped> for String {
    fn from(wrapped: Wrapped) -> Self {
        HEXLOWER.encode(&wrapped.0)
    }
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrapped({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_private_part_is_bounded_and_strict() {
        let most = "00".repeat(KeyBlob::MAX_PRIVATE);
        assert!(Wrapped::try_from(most.clone()).is_ok());
        assert!(Wrapped::try_from(most + "00").is_err());
        assert!(Wrapped::try_from("0g".to_owned()).is_err());
        assert!(Wrapped::try_from("0".to_owned()).is_err());
    }
}
