//! What the template data of a listed file are, so that their hash is made once and not for every host that ran it.
//!
//! It only ever spares hashing: data that differ in one byte from those of a listed file are hashed as they come.

use super::template;
use crate::hash::sha256_of;
use crate::tpm::{Digest, HashAlg};

/// `sha256:` and its zero, behind their length and that of the digest.
const PREFIX: &[u8; 12] = b"\x28\0\0\0sha256:\0";

/// SHA-256 over the template data (`ima-ng`) of a file with this SHA-256; zeros for other digests, which are not looked for.
pub(super) fn hash(digest: &Digest, path: &[u8]) -> [u8; 32] {
    let Ok(length) = u32::try_from(path.len() + 1) else {
        return [0; 32];
    };
    if digest.alg() != HashAlg::Sha256 {
        return [0; 32];
    }
    let parts = [PREFIX, digest.as_bytes(), &length.to_le_bytes(), path, &[0]];
    *sha256_of(&parts).as_bytes()
}

/// The SHA-256 and the path of template data, if they are of that form and have nothing else.
pub(super) fn read(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = data.strip_prefix(PREFIX)?;
    let (digest, rest) = rest.split_at_checked(HashAlg::Sha256.digest_len())?;
    let (path, behind) = template::sized(rest)?;
    let path = path.strip_suffix(&[0])?;
    behind.is_empty().then_some((digest, path))
}
