//! SHA-256 over bytes and over canonical JSON (RFC 8785).
//!
//! What gets hashed is always bytes in hand; nothing here re-reads or normalizes a stored record.

use holdfast_protocol::Sha256Digest;
use serde::Serialize;

/// SHA-256 (FIPS 180-4) of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    sha256_of(&[bytes])
}

/// SHA-256 of the concatenation of `parts`. The caller answers for its being unambiguous.
pub(crate) fn sha256_of(parts: &[&[u8]]) -> Sha256Digest {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let digest = context.finish();
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Sha256Digest::new(bytes)
}

/// The value has no canonical JSON. The caller's type is to blame: it has a map whose keys are not strings, a number that
/// is not finite, or a failing `Serialize`.
#[derive(Debug, thiserror::Error)]
#[error("the value has no canonical JSON form")]
pub struct NotCanonicalizable(#[source] serde_json::Error);

/// The canonical JSON of `value` (JCS, RFC 8785): the form that Holdfast hashes, signs and stores.
pub fn canonical_json(value: &impl Serialize) -> Result<Vec<u8>, NotCanonicalizable> {
    serde_json_canonicalizer::to_vec(value).map_err(NotCanonicalizable)
}

/// SHA-256 over the canonical JSON of `value`.
pub fn canonical_digest(value: &impl Serialize) -> Result<Sha256Digest, NotCanonicalizable> {
    Ok(sha256(&canonical_json(value)?))
}
