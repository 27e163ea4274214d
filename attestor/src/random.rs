//! Random bytes from the system, for nonces, secrets, ids and names of drafts.
//!
//! Where they cannot be had nothing goes on: there is no fallback.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct NoRandomness;

/// So many random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(bytes)
}
