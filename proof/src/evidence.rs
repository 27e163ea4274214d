//! What a quote and its certifications are bound to: one nonce, one TLS channel, one CSR, one event log (DESIGN §8).
//!
//! Every input has a fixed length or is hashed first, so that no two inputs share an encoding. Never add a part of
//! variable length.

use holdfast_protocol::Sha256Digest;

use crate::hash::{sha256, sha256_of};

const EVIDENCE: &[u8] = b"holdfast-evidence-v1";
const ENROLL: &[u8] = b"holdfast-enroll-v1";

/// The attestor's challenge: 256 random bits, used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 32]);

/// The TLS 1.3 connection that evidence travels on: its exporter under the label of RFC 9266 §2 (`tls-exporter`), 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelBinding([u8; 32]);

impl Nonce {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// Wraps 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ChannelBinding {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// The exporter label (RFC 9266 §2); its context is empty.
    pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

    /// Wraps the exporter's output.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The extraData of an attestation's quote and certifications:
/// `SHA-256("holdfast-evidence-v1" ‖ nonce ‖ exporter ‖ SHA-256(CSR) ‖ SHA-256(event log))`. A host without an event log
/// hashes the empty one.
pub fn evidence_binding(
    nonce: &Nonce,
    channel: &ChannelBinding,
    csr_der: &[u8],
    event_log: &[u8],
) -> Sha256Digest {
    sha256_of(&[
        EVIDENCE,
        nonce.as_bytes(),
        channel.as_bytes(),
        sha256(csr_der).as_bytes(),
        sha256(event_log).as_bytes(),
    ])
}

/// The extraData of what is certified at enrollment: `SHA-256("holdfast-enroll-v1" ‖ nonce ‖ exporter)`.
pub fn enroll_binding(nonce: &Nonce, channel: &ChannelBinding) -> Sha256Digest {
    sha256_of(&[ENROLL, nonce.as_bytes(), channel.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(nonce: u8, channel: u8, csr: &[u8], log: &[u8]) -> Sha256Digest {
        evidence_binding(
            &Nonce::new([nonce; 32]),
            &ChannelBinding::new([channel; 32]),
            csr,
            log,
        )
    }

    #[test]
    fn evidence_binding_is_the_documented_concatenation() {
        use sha2::{Digest as _, Sha256};

        let mut expected = b"holdfast-evidence-v1".to_vec();
        expected.extend([1; 32]);
        expected.extend([2; 32]);
        expected.extend(Sha256::digest(b"csr"));
        expected.extend(Sha256::digest(b"log"));
        let expected: [u8; 32] = Sha256::digest(&expected).into();
        assert_eq!(binding(1, 2, b"csr", b"log").as_bytes(), &expected);
    }

    #[test]
    fn every_part_is_bound() {
        let base = binding(1, 2, b"csr", b"log");
        assert_ne!(base, binding(9, 2, b"csr", b"log"));
        assert_ne!(base, binding(1, 9, b"csr", b"log"));
        assert_ne!(base, binding(1, 2, b"other", b"log"));
        assert_ne!(base, binding(1, 2, b"csr", b"other"));
        // Bytes cannot wander from one variable part into the next.
        assert_ne!(base, binding(1, 2, b"csrl", b"og"));
    }

    #[test]
    fn enrollment_and_attestation_never_share_a_binding() {
        let (nonce, channel) = (Nonce::new([1; 32]), ChannelBinding::new([2; 32]));
        assert_ne!(
            enroll_binding(&nonce, &channel),
            evidence_binding(&nonce, &channel, b"", b"")
        );
        assert_ne!(
            enroll_binding(&nonce, &channel),
            enroll_binding(&nonce, &ChannelBinding::new([3; 32]))
        );
    }
}
