//! The attestor: it enrolls hosts by their TPM, verifies their evidence, and signs SVIDs.
//!
//! It judges bytes alone: it must never open a TPM or link the TPM software stack. What it refuses
//! it refuses with a reason for the operator and one short answer for the host.
#![forbid(unsafe_code)]

pub mod attestation_key;
pub mod certify;
pub mod cli;
pub mod config;
pub mod csr;
pub mod ek_hashes;
pub mod ek_roots;
pub mod enroll_host;
pub mod federation;
pub mod group;
pub mod mirror_audit;
mod random;
pub mod reference;
pub mod registry;
pub mod rollout;
pub mod serve;
#[cfg(test)]
mod software_tpm;
pub mod store;
#[cfg(test)]
mod test_engines;
pub mod verify_host;

/// A time for people and logs: RFC 3339, UTC, whole seconds.
pub(crate) fn rfc3339(at: holdfast_protocol::Timestamp) -> String {
    i64::try_from(at.as_secs())
        .ok()
        .and_then(|secs| jiff::Timestamp::from_second(secs).ok())
        .map_or_else(|| at.to_string(), |at| at.to_string())
}
