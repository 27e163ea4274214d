//! What the log asks of the TPM, as the broker hands it in: one key that signs, one counter that certifies and counts.
//!
//! The log never learns how the TPM is reached, and never believes it: what comes back is checked before it is stored.

use std::error::Error;
use std::pin::Pin;

use holdfast_proof::counter::CounterEvidence;
use holdfast_proof::tpm::PublicKey;
use holdfast_protocol::Sha256Digest;

/// The answer to a TPM command, later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, TpmFailed>> + Send + 'a>>;

/// The environment: the TPM did not do it. The command may have taken effect all the same.
#[derive(Debug, thiserror::Error)]
#[error("the tpm failed")]
pub struct TpmFailed(#[source] pub Box<dyn Error + Send + Sync>);

/// The checkpoint key: ECDSA P-256, in the TPM.
pub trait CheckpointSigner: Send + Sync {
    /// Its public part.
    fn public_key(&self) -> PublicKey;

    /// Signs a SHA-256 digest: ECDSA-Sig-Value, DER.
    fn sign(&self, digest: Sha256Digest) -> Answer<'_, Vec<u8>>;
}

/// The audit counter, an NV index that only the log increments.
pub trait CheckpointCounter: Send + Sync {
    /// Its value.
    fn value(&self) -> Answer<'_, u64>;

    /// TPM2_NV_Certify of the whole counter by the AK, with `body` as qualifying data.
    fn certify(&self, body: Sha256Digest) -> Answer<'_, CounterEvidence>;

    /// TPM2_NV_Increment; the value after it.
    fn increment(&self) -> Answer<'_, u64>;
}
